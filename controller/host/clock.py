"""What the machine's clocks say, as plain values. Who reckons with them gets them as an argument."""

from __future__ import annotations

import time

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def utc_now() -> str:
    """Return the present as an RFC 3339 UTC timestamp, such as `2026-01-31T08:15:00.123456Z`.

    The form is that of `model/timestamps.py`, which is pure and above this floor.
    """
    seconds, rest = divmod(time.time_ns(), 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1000:06d}Z"


def epoch_seconds() -> float:
    """Return the seconds since 1970 by the wall clock, which somebody may set: for people, never for reckoning."""
    return time.time()


def boot_id() -> str:
    """Return which boot of the machine this is."""
    with open(_BOOT_ID, encoding="ascii") as file:  # noqa: PTH123 - loading pathlib would cost every command 4 ms
        return file.read().strip()


def boot_seconds() -> float:
    """Return the seconds since the boot, by the clock that neither stands still in a suspend nor can be set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
