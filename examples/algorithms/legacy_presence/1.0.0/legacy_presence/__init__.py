__all__ = ["LegacyPresenceAlgorithm"]
