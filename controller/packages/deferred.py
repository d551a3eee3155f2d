"""The packages of a daemon's store: what installs and checks zips is loaded when a zip is first to be read.

Most daemons read none in their life: all is installed, and each zip known by its row in the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from controller.model.package import Installation, Manifest, PackageRef, Receipt, Verdict
from controller.packages.leftovers import sweep
from controller.packages.receipts import find_installations
from controller.store.store import Store

if TYPE_CHECKING:
    from controller.packages.install import Installer


class DeferredInstaller:
    """An `Installer` of a store; see there. `now` returns an RFC 3339 timestamp. Blocking: call it in a thread."""

    def __init__(self, store: Store, now: Callable[[], str]) -> None:
        self._store = store
        self._now = now

    def survey(self, zip_path: Path) -> tuple[Manifest, str]:
        """Return a zip's manifest and digest; see `Installer.survey`."""
        return self._installer.survey(zip_path)

    def judge(self, zip_path: Path, digest: str) -> Verdict | None:
        """Return what a cheap look finds wrong with a zip; see `Installer.judge`."""
        return self._installer.judge(zip_path, digest)

    def install(
        self,
        zip_path: Path,
        *,
        expect: PackageRef | None = None,
        expect_digest: str | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Receipt:
        """Install a package; see `Installer.install`."""
        return self._installer.install(zip_path, expect=expect, expect_digest=expect_digest, progress=progress)

    def uninstall(self, ref: PackageRef) -> None:
        """Remove an installed package; see `Installer.uninstall`."""
        self._installer.uninstall(ref)

    def installations(self) -> dict[PackageRef, Installation]:
        """Return what is installed, by its receipts. Raises StoreError."""
        return {each.ref: each for each in find_installations(self._store.layout)}

    def sweep(self) -> tuple[str, ...]:
        """Remove what interrupted work left, and return its paths. Raises StoreError."""
        return sweep(self._store.layout)

    @cached_property
    def _installer(self) -> Installer:
        from controller.packages.install import Installer  # noqa: PLC0415 - 2 MB that few daemons need

        return Installer.of(self._store, self._now)
