"""Checks of files for which no station is needed: a desired tree, a zip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from controller.model.package import PackageRef
from controller.packages import journal
from controller.packages.examination import Examination
from controller.packages.install import Installer
from controller.packages.journal import Installed
from controller.packages.receipts import installed_receipt
from controller.replay.document import ReplayDocument
from controller.sources.folder import FolderSource, Loaded, load_text
from controller.station.commands.replaying import ReplayRecorded
from controller.station.port import Report
from controller.store.layout import StoreLayout
from controller.store.store import Store


class StationlessChecks:
    """The checks, with the interpreters that the policy in force names where there is a store."""

    def __init__(self, layout: StoreLayout, now: Callable[[], str]) -> None:
        self._layout = layout
        self._now = now

    def tree(self, path: Path) -> Loaded:
        """Return what a desired tree or one file of it says. Raises DesiredStateError."""
        return FolderSource(path, now=self._now).read()

    def text(self, data: bytes, shown: str) -> Loaded:
        """Return what the text of one file says, which is shown under that name. Raises DesiredStateError."""
        return load_text(data, shown, now=self._now)

    def trial(self, zip_path: Path, report: Report) -> Examination:
        """Check a zip as an install would, in a temporary folder; return all that was found. Raises StoreError."""
        return self._installer().trial(zip_path, progress=report)

    def look(self, zip_path: Path) -> Examination:
        """Return what reading tells about a zip, whatever it was packed for. Raises StoreError."""
        return self._installer().look(zip_path)

    def installed(self, package: PackageRef) -> Installed:
        """Return what is kept of the last installation of a package, one that failed too. Raises StoreError."""
        receipt = installed_receipt(self._layout, package)
        return Installed(receipt, journal.read(self._layout.install_log(package)))

    def replay(
        self, wanted: ReplayRecorded, zips: tuple[Path, ...], recordings: Path, call_timeout: float | None,
        report: Report,
    ) -> ReplayDocument:  # fmt: skip
        """Show recorded calls of a file to packages; see `replay_packages`. Raises PackageError, ControllerError."""
        from controller.replay.asked import Asked, replay_packages  # noqa: PLC0415 - only who asks for it

        asked = Asked(
            recordings=recordings, pids=wanted.pids, last=wanted.last, verdicts=wanted.only, limits=wanted.limits,
            iou=wanted.iou, jobs=wanted.jobs, call_timeout=call_timeout,
        )  # fmt: skip
        return replay_packages(asked, zips, self._now, report)

    def _installer(self) -> Installer:
        store = Store.at(self._layout, self._now)
        return Installer.of(store, self._now)
