"""What a child process inherits from us, and by which variables our own children are found again."""

from __future__ import annotations

TOKEN_VARIABLE = "PVCTL_TOKEN"  # noqa: S105  (the name of a variable, not a secret)
"""In the environment of an algorithm process and all that it starts: which process of which store it is."""
STAGING_VARIABLE = "PVCTL_STAGING"
"""In the environment of whatever works in a staging folder: which folder."""
