"""Imperative package operations: what `pvctl install` and `pvctl uninstall` do, by the same parts as a pass."""

from __future__ import annotations

import asyncio
import filecmp
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from controller.errors import Code, PackageError, StoreError
from controller.model.desired import Revision
from controller.model.package import PackageRef, Receipt
from controller.planning.needs import why_needed
from controller.planning.registry_rows import registry_rows
from controller.reconciler.observe import Observer
from controller.reconciler.ports import Packages
from controller.store.audit import AuditRecord
from controller.store.store import Store

_NO_REVISION = Revision.model_validate({"id": "none", "source": "", "loadedAt": ""})


@dataclass(frozen=True, slots=True)
class PackageOperations:
    """Installs and uninstalls by hand. The caller holds the controller lock. `actor` is noted in the audit."""

    store: Store
    packages: Packages
    observer: Observer
    actor: str

    async def install(self, zip_path: Path, progress: Callable[[str], None]) -> Receipt:
        """Install a zip from anywhere and keep the zip in the store. Raises PackageError, StoreError."""
        manifest, digest = await asyncio.to_thread(self.packages.survey, zip_path)
        kept_already = await asyncio.to_thread(self._is_kept, zip_path)
        revision = self._revision()
        self._audit("install", manifest.ref, revision, digest, "started")
        try:
            receipt = await asyncio.to_thread(self.packages.install, zip_path, progress=progress)
            if not kept_already:
                await asyncio.to_thread(self._keep_zip, zip_path)
        except (PackageError, StoreError) as error:
            self._audit("install", manifest.ref, revision, digest, f"failed: {error}")
            raise
        self._audit("install", manifest.ref, revision, digest, "succeeded")
        await self._write_registry(revision)
        return receipt

    async def uninstall(self, package: PackageRef) -> None:
        """Remove an installed package that nothing needs.

        Raises:
            PackageError: it is not installed, or something still needs it (2007).
            StoreError: the disk refused.
        """
        revision = self._revision()
        observed = await self.observer.observe(revision, {}, ways_back=True)
        if package not in observed.installed:
            raise PackageError(
                Code.unsafe_uninstall, f"{package} is not installed", next_step="see `pvctl status -o json`, packages"
            )
        if reasons := why_needed(package, revision, observed):
            raise PackageError(
                Code.unsafe_uninstall,
                f"{package} is still needed: {'; '.join(reasons)}",
                next_step="move its PIDs to another version in the desired state and reconcile first",
                details={"needed_by": list(reasons)},
            )
        digest = observed.installed[package].receipt.digest
        self._audit("uninstall", package, revision, digest, "started")
        await asyncio.to_thread(self.packages.uninstall, package)
        self._audit("uninstall", package, revision, digest, "succeeded")
        await self._write_registry(revision)

    def _revision(self) -> Revision:
        return self.store.revision.read() or _NO_REVISION

    def _is_kept(self, zip_path: Path) -> bool:
        """Whether the store holds this zip already. Raises StoreError where another zip has its file name there."""
        kept = self.store.layout.zips / zip_path.name
        if not kept.exists():
            return False
        if not filecmp.cmp(zip_path, kept, shallow=False):
            raise StoreError(
                f"{kept} exists already and is another file; nothing was installed",
                next_step="rename the zip; file names are free",
            )
        return True

    def _keep_zip(self, zip_path: Path) -> None:
        kept = self.store.layout.zips / zip_path.name
        partial = kept.with_name(f".{kept.name}.part")
        try:
            shutil.copyfile(zip_path, partial)
            partial.replace(kept)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StoreError(f"cannot keep {zip_path} in the store: {error.strerror}") from error

    async def _write_registry(self, revision: Revision) -> None:
        observed = await self.observer.observe(revision, {})
        self.store.registry.write(registry_rows(observed.zips, observed.installed, {}))

    def _audit(self, action: str, package: PackageRef, revision: Revision, digest: str, outcome: str) -> None:
        before, after = (None, digest) if action == "install" else (digest, None)
        self.store.audit.append(
            AuditRecord(
                self.actor, revision.id, action, f"package/{package}", before, after, "asked for by hand", outcome
            )
        )
