"""How long ago, and how long still: as `kubectl` says it (`45s`, `3m20s`, `5h12m`, `3d`)."""

from __future__ import annotations

from datetime import datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def epoch_of(timestamp: str | None) -> float | None:
    """Return the seconds since 1970 of an RFC 3339 timestamp; None where it is none."""
    try:
        return datetime.fromisoformat(timestamp or "").timestamp()
    except ValueError:
        return None


def age(timestamp: str | None, now: float) -> str:
    """Return how long ago a moment was; empty where there is none, and as it stands where it is no timestamp."""
    at = epoch_of(timestamp)
    return (timestamp or "") if at is None else span(now - at)


def span(seconds: float) -> str:
    """Return a time in at most two units."""
    whole = max(0, round(seconds))
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    if whole < 10 * _MINUTE:
        return _two(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _two(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    return _two(whole, _DAY, "d", _HOUR, "h") if whole < 8 * _DAY else f"{whole // _DAY}d"


def _two(whole: int, large: int, large_name: str, small: int, small_name: str) -> str:
    rest = whole % large // small
    return f"{whole // large}{large_name}" + (f"{rest}{small_name}" if rest else "")
