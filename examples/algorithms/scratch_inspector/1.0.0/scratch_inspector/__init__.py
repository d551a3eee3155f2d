__all__ = ["ScratchInspectorAlgorithm"]
