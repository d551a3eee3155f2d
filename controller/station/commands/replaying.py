"""Showing recorded calls to an installed version, beside the line: what differs from what was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt, Interval, Le

from controller.errors import CallError, Code
from controller.replay.document import USUAL_LIMITS, ReplayDocument, ReplayLimits
from controller.station.port import Access, Command, Operation, Route, TreeUse

Verdict = Literal["OK", "NG", "ERROR", "FAILED"]
MOST = 10_000
"""Pictures of one replay that somebody asks for."""
MOST_JOBS = 16
Share = Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class ReplayRecorded(Command[ReplayDocument]):
    """Show the newest recorded calls of a deployment's PIDs to a version, and compare what it says with them.

    `version` None: the desired one. Shown are the `last` ones that another version answered; `only` those verdicts, and
    of `pids` only (empty: all). Shares are 0–1; `iou` None: verdicts are compared, else the places of the defects too.
    `jobs`: processes at once.
    """

    act: ClassVar = "replay"
    deployment: str
    version: str | None = None
    last: Annotated[int, Interval(ge=1, le=MOST)] = 500
    only: tuple[Verdict, ...] = ()
    pids: tuple[str, ...] = ()
    max_newly_ok: Share = USUAL_LIMITS.max_newly_ok
    max_newly_ng: Share = USUAL_LIMITS.max_newly_ng
    max_errors: Share = USUAL_LIMITS.max_errors
    iou: Annotated[float, Gt(0), Le(1)] | None = None
    jobs: Annotated[int, Interval(ge=1, le=MOST_JOBS)] = 1
    operation: ClassVar = Operation(
        Access.operator,
        "Show recorded calls to an installed version, beside the line, and say what differs.",
        (
            Route(
                "POST", "/v1/deployments/{name}/replay", "Its progress; the last line is outcome or error.",
                (400, 404, 409, 413, 500, 503), {"name": "deployment"},
            ),
        ),
        ReplayDocument,
        TreeUse.acts,
        long=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        shares = (self.max_newly_ok, self.max_newly_ng, self.max_errors, 1.0 if self.iou is None else self.iou)
        wrong = ""
        if not 1 <= self.last <= MOST:
            wrong = f"last must be from 1 to {MOST:,}"
        elif not 1 <= self.jobs <= MOST_JOBS:
            wrong = f"jobs must be from 1 to {MOST_JOBS}"
        elif not all(0 <= share <= 1 for share in shares) or self.iou == 0:
            wrong = "limits and iou are shares from 0 to 1"
        if wrong:
            raise CallError(Code.invalid_params, wrong, next_step="correct it")

    @property
    def about(self) -> str:
        """The deployment."""
        return self.deployment

    @property
    def limits(self) -> ReplayLimits:
        """What may differ."""
        return ReplayLimits(self.max_newly_ok, self.max_newly_ng, self.max_errors)


@dataclass(frozen=True, slots=True)
class ReplayExported(Command[ReplayDocument]):
    """The same with the recorded calls of an exported file in place of the store's; no daemon has to do with it."""

    replay: ReplayRecorded
    recordings: Path
    operation: ClassVar = Operation(Access.operator, "Show the recorded calls of a file to an installed version.")
