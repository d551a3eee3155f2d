"""What `pvctl install` and `pvctl uninstall` do: the same acts as a pass makes, asked for by hand."""

from __future__ import annotations

import asyncio
import filecmp
import os
import shutil
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from controller.errors import Code, NotSynced, PackageError, StoreError
from controller.model.actions import Deactivate, Install, RemovePackage, Retire
from controller.model.desired import Revision
from controller.model.observed import Observed
from controller.model.package import PackageRef
from controller.planning.needs import why_needed
from controller.reconciler.acts import ActionResult
from controller.reconciler.apply import Applier
from controller.reconciler.observe import Observer
from controller.reconciler.ports import Packages
from controller.station.between import NO_REVISION, BetweenPasses
from controller.station.commands.packages import PackageState
from controller.station.port import Caller
from controller.station.subjects import installed_instead
from controller.store.atomic import place_durably, sync_data, sync_folder
from controller.store.store import Store

_REASON = "asked for by hand"


@dataclass(frozen=True, slots=True)
class PackageOperations:
    """Installs and uninstalls by hand on one store, beside its passes."""

    store: Store
    packages: Packages
    observer: Observer
    applier: Applier
    between_passes: BetweenPasses
    _names: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary, init=False)
    """One install at a time for each file name: two must not place, or remove, the same file."""

    async def install(self, zip_path: Path, caller: Caller) -> PackageState:
        """Install a zip from anywhere and keep it in the store.

        Raises:
            PackageError: 2001–2005; nothing of it is left.
            StoreError: the disk refused, or another zip has its file name there.
        """
        return await asyncio.shield(asyncio.ensure_future(self._install(zip_path, caller)))

    async def _install(self, zip_path: Path, caller: Caller) -> PackageState:
        """Install; a task of its own, because whoever asked may leave and what fails then must not be kept either."""
        lock = self._names.setdefault(zip_path.name, asyncio.Lock())
        async with lock:
            return await self._place_and_install(zip_path, caller)

    async def _place_and_install(self, zip_path: Path, caller: Caller) -> PackageState:
        manifest, digest = await asyncio.to_thread(self.packages.survey, zip_path)
        placed = await asyncio.to_thread(self._place, zip_path)
        action = Install(manifest.ref, zip_path.name, digest, _REASON)
        try:
            result = await self.applier.perform(action, self._revision(), caller.name, caller.worker)
            if result.error is not None:
                raise result.error
        except BaseException:  # also where the controller stops
            if placed:
                await asyncio.to_thread(self._kept(zip_path).unlink, missing_ok=True)
            raise
        return PackageState(manifest.name, manifest.version, digest)

    async def install_stored(self, zip_name: str, caller: Caller) -> PackageState:
        """Install a zip that the store has already; see `install`."""
        return await self.install(self.store.layout.zips / zip_name, caller)

    async def uninstall(self, package: PackageRef, caller: Caller, *, force: bool = False) -> PackageState:
        """Remove an installed package that nothing needs.

        With `force`, PIDs that it answers and no deployment has are deactivated first, its processes for them end when
        their calls have, and ways back to it are given up.

        Raises:
            PackageError: it is not installed, or something still needs it (2007).
            StoreError: the disk refused.
        """
        if force:
            await self._set_free(package, caller)
        digest, removal = await self.between_passes(lambda: self._begin_removal(package, caller, force=force))
        result = await self.applier.result_of(removal)
        if result.error is not None:
            raise result.error
        return PackageState(package.name, package.version, digest)

    async def _set_free(self, package: PackageRef, caller: Caller) -> None:
        """Deactivate the PIDs of a package that no deployment has, then end its processes for them.

        Raises PackageError 2007 where that would not do.
        """
        while begun := await self.between_passes(lambda: self._begin_to_free(package, caller)):
            for each in begun:
                result = await each
                if result is not None and result.error is not None:
                    raise result.error

    async def _begin_to_free(self, package: PackageRef, caller: Caller) -> list[Awaitable[ActionResult | None]]:
        revision, observed = await self._look(package, force=True)
        reason = f"{_REASON}: {package} is uninstalled by force"
        acts: list[Deactivate | Retire] = [
            Deactivate(pid, package, reason) for pid in observed.active if observed.mapped_ref(pid) == package
        ] or [Retire(key, reason) for key in observed.processes if key.ref == package]
        return [
            self.applier.settled(act.object)
            if self.applier.works_on(act.object)
            else self.applier.result_of(self.applier.begin(act, revision, caller.name, caller.worker))
            for act in acts
        ]

    async def _begin_removal(
        self, package: PackageRef, caller: Caller, *, force: bool
    ) -> tuple[str, asyncio.Future[ActionResult]]:
        """Check that nothing needs a package and begin to remove it, before anything else may come to need it."""
        revision, observed = await self._look(package, force=force)
        digest = observed.installed[package].receipt.digest
        action = RemovePackage(package, _REASON, by_hand=True, digest=digest)
        if self.applier.works_on(action.object):
            raise _needed(package, ("it is being worked on",))
        return digest, self.applier.begin(action, revision, caller.name, caller.worker)

    async def _look(self, package: PackageRef, *, force: bool) -> tuple[Revision, Observed]:
        """Return what is in force and what there is. Raises PackageError 2007 where a package has to stay."""
        revision = self._revision()
        observed = await self.observer.observe(revision, {}, ways_back=True)
        if package not in observed.installed:
            raise PackageError(
                Code.unsafe_uninstall, f"{package} is not installed",
                next_step=installed_instead(package.name, observed),
            )  # fmt: skip
        if reasons := why_needed(package, revision, observed, force=force):
            raise _needed(package, reasons)
        return revision, observed

    def _revision(self) -> Revision:
        return self.store.revision.read() or NO_REVISION

    def _kept(self, zip_path: Path) -> Path:
        return self.store.layout.zips / zip_path.name

    def _place(self, zip_path: Path) -> bool:
        """Put a zip where the store keeps zips; return whether it was not there already.

        Raises:
            StoreError: the disk refused, or another zip has its file name there.
        """
        kept = self._kept(zip_path)
        if kept.exists():
            if kept.samefile(zip_path) or filecmp.cmp(zip_path, kept, shallow=False):
                self._sync(kept)
                return False
            raise StoreError(
                f"{kept} exists already and is another file; nothing was installed",
                next_step="rename the zip; file names are free",
            )
        partial = kept.with_name(f".{kept.name}.part")
        try:
            partial.unlink(missing_ok=True)
            if zip_path.is_relative_to(self.store.layout.staging):  # an upload of ours: nobody else writes to it
                os.link(zip_path, partial)
            else:
                shutil.copyfile(zip_path, partial)
            place_durably(partial, kept)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StoreError(f"cannot keep {zip_path} in the store: {error.strerror}") from error
        except NotSynced:
            kept.unlink(missing_ok=True)
            raise
        return True

    @staticmethod
    def _sync(kept: Path) -> None:
        """Make a zip durable that somebody copied there. Raises StoreError."""
        try:
            sync_data(kept)
        except OSError as error:
            raise StoreError(f"cannot sync {kept}: {error.strerror}", next_step="check the disk") from error
        sync_folder(kept.parent)


def _needed(package: PackageRef, reasons: Sequence[str]) -> PackageError:
    return PackageError(
        Code.unsafe_uninstall,
        f"{package} is still needed: {'; '.join(reasons)}",
        next_step="move its PIDs to another version in the desired state and reconcile first; a PID's way back is kept "
        "until it has had one more version, a rollout's until its rollbackWindow is over; force gives up the ways back "
        "of PIDs, and PIDs that no deployment has",
        details={"needed_by": list(reasons)},
    )
