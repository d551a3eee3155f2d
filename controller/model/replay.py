"""What came of showing pictures to a new version: counts, and the pictures on which it differs."""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.comparison import Agreement, Answer, Difference
from controller.model.package import PackageRef

_NONE, _NOTHING_YET = Difference(), Agreement()
MOST_DIFFERENCES = 100
"""Differing pictures that are remembered one by one; the others are counted."""


@dataclass(frozen=True, slots=True)
class DifferingPicture:
    """One picture on which two versions differ, or on which the new one failed.

    `recording` is the id under which the picture is recorded; empty where it is not. `at` is RFC 3339 UTC.
    """

    pid: str
    request_id: str
    recording: str
    at: str
    before: Answer
    after: Answer
    difference: Difference = _NONE


@dataclass(frozen=True, slots=True)
class ReplayKey:
    """Which replay it is: that of one step of one rollout. `began` is the rollout's `started_at`.

    `again` counts how often an operator had the step's replay begun anew.
    """

    deployment: str
    target: PackageRef
    digest: str
    began: str
    step: int
    again: int = 0


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """How far a replay has come. `wanted` pictures are to be shown in all, fixed at its beginning.

    `problem` says why it cannot go on now: the host's or the recordings' trouble, never the version's. `failure` says
    how the version failed otherwise than on a picture: no process of it became ready, or one used more memory than its
    limit. `refused` are pictures, all of them dropped, whose recorded arguments it does not take. Latencies (s), and
    the most memory (bytes) of the new version; None while nothing is known.
    """

    key: ReplayKey
    wanted: int = 0
    agreement: Agreement = _NOTHING_YET
    done: bool = False
    problem: str = ""
    failure: str = ""
    differing: tuple[DifferingPicture, ...] = ()
    recorded_p95: float | None = None
    latency_p95: float | None = None
    memory_bytes: int | None = None
    refused: int = 0

    @property
    def shown(self) -> int:
        """Pictures that the new version has been shown, or that could not be shown to it."""
        counts = self.agreement
        return counts.calls + counts.excused + counts.dropped
