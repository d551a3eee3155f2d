"""What a worker is told to do, as data that goes through its stdin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from controller.model.last_part import PartOutcome
from controller.model.package import PackageRef
from controller.model.recording import RecordingFilter
from controller.processes.spec import ProcessSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTask:
    """Show recorded pictures to one version, and keep what comes of each in `journal`. Paths are absolute.

    `root`: the store in whose `run` its processes stand; `recordings`: the store, or the exported file, that has the
    pictures. Shown are the newest `last` of the `pids` (empty: of all) with one of `verdicts` (empty: whichever), but
    none that `not_packages` answered; `answered_by`: those of each PID that this package answered; `name`: of packages.
    `mark` tells this replay from another one in the same journal: where it is the same, it goes on where it was left.
    `baseline`: the journal of the version to compare with; empty: what was recorded is compared. `iou` None: verdicts
    are compared, else the places of defects too; `whole`: the defects are kept also where nothing differs. `gives_way`:
    it stands back behind everything else on the machine; else it has a small share.
    """

    root: str
    recordings: str
    journal: str
    spec: ProcessSpec
    mark: Mapping[str, Any]
    pids: tuple[str, ...] = ()
    last: int | None = None
    verdicts: tuple[PartOutcome, ...] = ()
    not_packages: tuple[PackageRef, ...] = ()
    answered_by: tuple[tuple[str, PackageRef], ...] = ()
    name: str | None = None
    baseline: str = ""
    iou: float | None = None
    memory_max: int | None = None
    jobs: int = 1
    whole: bool = False
    gives_way: bool = True

    @property
    def wanted(self) -> RecordingFilter:
        """The recorded calls that are meant."""
        return RecordingFilter(
            pids=frozenset(self.pids),
            not_packages=frozenset(self.not_packages),
            answered_by=frozenset(self.answered_by),
            name=self.name,
            verdicts=frozenset(self.verdicts),
            last=self.last,
        )

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ReplayTask:
        """Return the task that `to_document` gave. Raises TypeError, KeyError."""
        values = {
            **document,
            "spec": ProcessSpec.from_document(document["spec"]),
            "pids": tuple(document["pids"]),
            "verdicts": tuple(document["verdicts"]),
            "not_packages": tuple(PackageRef(**each) for each in document["not_packages"]),
            "answered_by": tuple((pid, PackageRef(**ref)) for pid, ref in document["answered_by"]),
        }
        return cls(**values)
