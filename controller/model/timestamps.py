"""RFC 3339 UTC timestamps, the one form in which the store, the audit and the status carry time."""

from __future__ import annotations

from datetime import UTC, datetime


def format_timestamp(epoch: float) -> str:
    """Return `2026-01-31T08:15:00.123456Z` for seconds since the epoch."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_timestamp(timestamp: str) -> float:
    """Return the seconds since the epoch. Raises ValueError."""
    return datetime.fromisoformat(timestamp).timestamp()
