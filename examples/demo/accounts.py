"""How every call of the demo ended, held against what the station says was active when."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from examples.demo.load import Call
from examples.demo.stage import Stage
from examples.demo.station import Station, demand

SWITCH_TAKES = 1.0
"""Seconds from a switch's time stamp to its rename, at most: so long a call may still be given to the old version."""


def check(stage: Stage, pids: Sequence[str], bad: tuple[str, str]) -> None:
    """Show how the calls ended. Raises Unexpected unless each ended rightly, and only `bad` (PID, version) failed."""
    load = stage.load
    calls = load.ended()
    seen = Counter((call.pid, call.version, call.status) for call in calls if call.error is None)
    failed, lost = [call for call in calls if call.error is not None], load.began - len(calls)
    strange = [call for pid in pids for call in _wrongly_answered(stage, pid)]
    for version in sorted({version for _, version, _ in seen}):
        verdicts, errors = (
            sum(count for (_, each, status), count in seen.items() if (each, status == "ERROR") == (version, error))
            for error in (False, True)
        )
        print(f"  {version}: {verdicts} answered OK or NG, {errors} ERROR")
    print(f"  {load.began} calls: {len(failed)} failed, {lost} lost, {len(strange)} by a version that was not active")
    demand(not failed, f"calls failed: {Counter(str(call.error) for call in failed).most_common(3)}")
    demand(lost == 0, f"{lost} calls never ended")
    demand(not strange, f"answered by a version that was not active: {strange[:3]}")
    with_errors = {(pid, version) for pid, version, status in seen if status == "ERROR"}
    demand(with_errors == {bad}, f"ERROR came from {with_errors}, not from {bad} alone")


def versions_of(station: Station, pid: str) -> set[str]:
    """Return every version that was active for a PID."""
    return {version for _, version in _history(station, pid)}


def _history(station: Station, pid: str) -> list[tuple[float, str]]:
    """Return from when (seconds since 1970) which version was active for a PID."""
    entries = json.loads(station.run("-o", "json", "history", pid, show=False))
    return [(datetime.fromisoformat(each["at"]).timestamp(), each["version"]) for each in entries]


def _wrongly_answered(stage: Stage, pid: str) -> list[Call]:
    """Return the calls of a PID whose answer came from a version that was not active at any time of theirs."""
    entries = _history(stage.station, pid)
    ends = [since + SWITCH_TAKES for since, _ in entries[1:]] + [float("inf")]
    times = [(version, since, end) for (since, version), end in zip(entries, ends, strict=True)]
    return [
        call
        for call in stage.load.ended()
        if call.pid == pid and call.error is None and not any(
            version == call.version and call.ended >= since and call.began <= end for version, since, end in times
        )
    ]  # fmt: skip
