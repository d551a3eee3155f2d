"""Why a call is recorded, and which recorded calls are meant: for who asks for them. Light: no pydantic.

The section of a deployment and the recorded call itself are in `model/recording.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from controller.model.last_part import PartOutcome
from controller.model.package import PackageRef

RecordingKind = Literal["NG", "ERROR", "disagreement", "sample"]
"""Why a call is recorded: the verdict NG; a failure of the version; a shadowed version that said something else of the
picture; or chance."""
KINDS: tuple[RecordingKind, ...] = get_args(RecordingKind)


@dataclass(frozen=True, slots=True)
class RecordingFilter:
    """Which recorded calls are meant; None and empty: whichever. `last`: the newest so many of those, newest first.

    `answered_by`: only calls of these PIDs, each answered by that package. `name`: of packages.
    """

    ids: frozenset[str] = frozenset()
    pids: frozenset[str] = frozenset()
    deployment: str | None = None
    package: PackageRef | None = None
    not_packages: frozenset[PackageRef] = frozenset()
    answered_by: frozenset[tuple[str, PackageRef]] = frozenset()
    name: str | None = None
    versions: frozenset[str] = frozenset()
    verdicts: frozenset[PartOutcome] = frozenset()
    kinds: frozenset[RecordingKind] = frozenset()
    since: float | None = None
    until: float | None = None
    before: str | None = None
    last: int | None = None
