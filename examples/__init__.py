"""Runnable examples: algorithm projects, desired trees, the demo and a git-driven pipeline. Nothing imports them."""
