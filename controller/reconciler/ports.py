"""What the reconciler needs from the floor below, as protocols: the real classes and the simulator both fit them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from controller.model.actions import Replay
from controller.model.desired import Revision
from controller.model.objects import ProcessKey
from controller.model.observed import ObservedProcess
from controller.model.package import Installation, Manifest, PackageRecord, PackageRef, Receipt, Verdict
from controller.model.replay import ReplayKey, ReplayReport
from controller.processes.spec import ProcessSpec


class Source(Protocol):
    """Where desired state comes from."""

    def load(self) -> Revision:
        """Return the present revision. Raises DesiredStateError with every problem of it."""

    def fingerprint(self) -> str:
        """Return a text that is another one whenever `load` may return something else; empty where nobody can say."""


class Packages(Protocol):
    """Zips and installations. Blocking: callers run it in a thread."""

    def survey(self, zip_path: Path) -> tuple[Manifest, str]:
        """Return a zip's manifest and digest. Raises PackageError where it cannot be one."""

    def judge(self, zip_path: Path, digest: str) -> Verdict | None:
        """Return what a cheap look finds wrong with a zip of which the digest is known; None where that is nothing.

        Raises as `survey` does.
        """

    def install(
        self,
        zip_path: Path,
        *,
        expect: PackageRef | None = None,
        expect_digest: str | None = None,
        progress: Callable[[str], None] = ...,
    ) -> Receipt:
        """Install a zip, or return the receipt where that artefact is installed. Raises PackageError, StoreError."""

    def installations(self) -> dict[PackageRef, Installation]:
        """Return every complete installation."""

    def uninstall(self, ref: PackageRef) -> None:
        """Remove an installation. The caller has made sure that nothing needs it."""

    def sweep(self) -> tuple[str, ...]:
        """Remove leftovers of interrupted installations; return their names."""


class Zips(Protocol):
    """The zips that packages can be installed from. Blocking: callers run it in a thread."""

    def survey(self, known: Iterable[PackageRecord], known_since: int) -> tuple[PackageRecord, ...]:
        """Return a record for each zip, reading no more than what is not `known` yet, or was changed `known_since`.

        That is a time in ns. Raises StoreError.
        """

    def look_again(self) -> None:
        """Read what was refused once more the next time: the limits that refused it have changed."""


class ZipCheck(Protocol):
    """The full check of a zip, as an install would make it, in the background."""

    async def check(self, zip_path: Path) -> Verdict | None:
        """Return its verdict, None where it came to none. May be cancelled. Raises OSError."""


class Processes(Protocol):
    """Algorithm processes."""

    async def start(self, spec: ProcessSpec) -> ObservedProcess:
        """Start a process, or replace the one under its key, and prove it ready. Raises StartFailed."""

    async def stop(self, key: ProcessKey, *, drain: float) -> None:
        """Let the call in flight end (`drain` seconds at most), then end the process."""


class Replays(Protocol):
    """Recorded pictures that are shown to the versions of rollouts, beside the line."""

    async def run(self, action: Replay, spec: ProcessSpec, memory_max: int | None) -> None:
        """Show what is still to be shown, from where it was left; return when that is done, or is not wanted any more.

        `spec` is that of a process of the line; `memory_max` (bytes) is what one may use. What it comes to is in
        `reports`, a failure of the version too. Raises StoreError, HostError: it cannot go on now.
        """

    def keep(self, wanted: Collection[ReplayKey], deployments: Collection[str]) -> None:
        """End the runs that are not wanted, and forget what is known of deployments that are not there any more."""

    def reports(self) -> Mapping[str, ReplayReport]:
        """Return how far the latest replay of each deployment has come, of an earlier controller's too."""
