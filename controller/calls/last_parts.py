"""The last part of each PID: noted as its call ends, made into a row only where somebody asks.

Kept of an answer is only what a row is made of, so that a part's other data (masks, traces) goes with its call.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from controller.client.answers import Detection
from controller.errors import Code, CodedError, ControllerError
from controller.model.last_part import LONGEST_WORDS, LastPart, PartPicture, defects_of, outcome_of
from controller.model.package import PackageRef
from controller.model.timestamps import format_timestamp

NOWHERE = PackageRef("", "")
"""The version of a part whose call reached none."""


@dataclass(slots=True, eq=False)
class Part:
    """One part; `picture` comes later, where there is one. `at` in seconds since 1970."""

    pid: str
    request_id: str
    at: float
    ref: PackageRef
    status: str
    message: str
    latency_ms: float | None = None
    result_status: object = None
    ng_reason: object = None
    defect_rects: object = None
    error: ControllerError | None = None
    picture: PartPicture | None = None

    def row(self) -> LastPart:
        """Return the part as everybody may see it."""
        if self.error is None:
            verdict, odd = outcome_of(self.status, self.result_status)
            reason = self.ng_reason if isinstance(self.ng_reason, str) else ""
            message = self.message or odd or reason
        else:
            verdict, message = "FAILED", self.message
        defects, malformed = defects_of(self.defect_rects)
        code = self.error.code if isinstance(self.error, CodedError) else Code.unknown
        return {
            "pid": self.pid,
            "request_id": self.request_id,
            "at": format_timestamp(self.at),
            "name": self.ref.name,
            "version": self.ref.version,
            "verdict": verdict,
            "message": message[:LONGEST_WORDS],
            "latency_ms": self.latency_ms,
            "defects": defects,
            "defects_malformed": malformed,
            "error": None if self.error is None else {"code": int(code), "name": code.name},
            "picture": self.picture,
        }


class LastParts:
    """The last part of each PID, of the calls since the daemon's start."""

    def __init__(self) -> None:
        self._last: dict[str, Part] = {}

    def answered(self, detection: Detection, ref: PackageRef) -> Part:
        """Note an answer about a part. For every call: it costs next to nothing."""
        data = detection.data
        return self._note(
            Part(
                detection.pid, detection.request_id, time.time(), ref, detection.status, detection.message,
                detection.latency_ms, data.get("result_status"), data.get("ng_reason"), data.get("defect_rects"),
            )
        )  # fmt: skip

    def failed(self, pid: str, request_id: str, error: ControllerError, ref: PackageRef) -> Part:
        """Note a part that got no answer."""
        return self._note(Part(pid, request_id, time.time(), ref, "ERROR", error.message[:LONGEST_WORDS], error=error))

    def _note(self, part: Part) -> Part:
        self._last[part.pid] = part
        return part

    def last(self, pid: str) -> Part | None:
        """Return the last part of a PID; None where none came."""
        return self._last.get(pid)

    def latest(self) -> list[Part]:
        """Return the last part of each PID."""
        return list(self._last.values())

    def forget(self, pids: Iterable[str]) -> None:
        """Drop the parts of PIDs that nobody serves any more."""
        for pid in pids:
            self._last.pop(pid, None)
