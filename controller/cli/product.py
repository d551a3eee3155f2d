"""What the composition root gives to the command line: the station, the checks that need none, and the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from controller.host.listening import Listening
    from controller.model.package import PackageRef
    from controller.packages.examination import Examination
    from controller.packages.journal import Installed
    from controller.replay.document import ReplayDocument
    from controller.sources.folder import Loaded
    from controller.station.commands.replaying import ReplayRecorded
    from controller.station.port import Caller, Report, Station


class Checks(Protocol):
    """Checks of files that need no station."""

    def tree(self, path: Path) -> Loaded:
        """Return what a desired tree or one file of it says. Raises DesiredStateError with every problem of it."""

    def text(self, data: bytes, shown: str) -> Loaded:
        """Return what the text of one file says, shown under that name. Raises DesiredStateError."""

    def trial(self, zip_path: Path, report: Report) -> Examination:
        """Check a zip as an install would, environment and entry point included. Raises StoreError."""

    def look(self, zip_path: Path) -> Examination:
        """Return what reading tells about a zip, whatever it was packed for. Raises StoreError."""

    def replay(
        self, wanted: ReplayRecorded, zips: tuple[Path, ...], recordings: Path, call_timeout: float | None,
        report: Report,
    ) -> ReplayDocument:  # fmt: skip
        """Show the recorded calls of a file to the last of one or two packages; see `replay_packages`.

        Raises PackageError: one of them is not valid. ControllerError: it could not be carried out.
        """

    def installed(self, package: PackageRef) -> Installed:
        """Return what is kept of the last installation of a package, one that failed too. Raises StoreError."""


class Product(Protocol):
    """The parts of the product for one command line's options."""

    @property
    def caller(self) -> Caller:
        """Who types."""

    def station(self) -> Station:
        """Return the station that the options name; its coroutines never wait for an event loop."""

    def checks(self) -> Checks:
        """Return the checks that need no station."""

    def openapi(self) -> dict[str, object]:
        """Return the OpenAPI document of the API that a daemon serves."""

    def run_daemon(self, socket_group: str | None, listening: Listening | None) -> None:
        """Be the daemon, until told to stop; `listening`: also at an address of the network."""
