"""The HTTP surface: one resource per file. It turns requests into calls of two ports (`ports.py`) and has no rules."""
