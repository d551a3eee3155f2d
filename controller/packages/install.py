"""The readable sequence: zip → checked → unpacked → environment → proof → durable → renamed into place.

`Installer` is what the floors above use. What is visible under `deployed/` is complete; everything before that stands
in a staging folder that is removed whatever happens, or by `sweep` when the process was killed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from packaging.utils import parse_wheel_filename

from controller.errors import Code, PackageError, RetryableError
from controller.model.package import Installation, Manifest, PackageRef, Receipt, Verdict
from controller.packages import durability, venv
from controller.packages.build import UNPACKED, Build
from controller.packages.checks import OPENING, PLACE, PROVING, READING, examining, warn
from controller.packages.examination import Examination, Place
from controller.packages.interpreters import Interpreters
from controller.packages.journal import Journal, kept
from controller.packages.leftovers import disk_errors, remove, sweep
from controller.packages.limits import Limits, limits_of
from controller.packages.names import invalid_zip
from controller.packages.receipts import find_installations, installed_receipt, is_ours, is_whole, store_receipt
from controller.packages.unpacking import prune_wheels
from controller.store.atomic import sync_folder
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from controller.store.store import Store

Progress = Callable[[str], None]

_LOOK_AGAIN_S = 1.0


def _silent(_: str) -> None:
    """Say nothing."""


class Installer:
    """Installs packages into one store and removes them. Blocking: call it in a thread.

    `pythons` returns further interpreters and `limits` the bounds: what the StationPolicy says by the time it is asked,
    which is before each check of a zip. `now` returns an RFC 3339 timestamp.
    """

    def __init__(
        self,
        layout: StoreLayout,
        lock: MutationLock,
        *,
        now: Callable[[], str],
        pythons: Callable[[], Sequence[str]] = tuple,
        limits: Callable[[], Limits] = Limits,
    ) -> None:
        self._layout = layout
        self._lock = lock
        self._now = now
        self._limits = limits
        self._pythons = pythons

    @classmethod
    def of(cls, store: Store, now: Callable[[], str]) -> Installer:
        """Return the installer of a store, under the policy that is in force there."""
        revision = store.revision
        return cls(
            store.layout, store.lock, now=now, pythons=revision.pythons, limits=lambda: limits_of(revision.read())
        )

    def survey(self, zip_path: Path | str) -> tuple[Manifest, str]:
        """Return manifest and digest after a cheap look: structure and names are checked, no member is unpacked.

        Raises PackageError 2001 or 2002, StoreError.
        """
        with examining(self._begin(zip_path)) as found:
            found.run(OPENING)
            found.require()
            return found.known_manifest, found.digest

    def judge(self, zip_path: Path | str, digest: str) -> Verdict | None:
        """Return what names, manifest and requirements show to be wrong; None where that is nothing.

        Wheels are not read, so this is cheap. Raises PackageError, StoreError.
        """
        with examining(self._begin(zip_path, in_full=False)) as found:
            found.run((*OPENING, *READING))
            if found.opened is None:
                found.require()
            return Verdict(found.digest, int(found.errors[0].code), str(found.errors[0])) if found.errors else None

    def look(self, zip_path: Path | str) -> Examination:
        """Return what reading tells of a zip, with everything that is wrong with it. Raises StoreError."""
        found = self._begin(zip_path)
        with examining(found):
            self._read(found)
            found.leave_out(PROVING, "it was not asked for")
        return found

    def install(
        self,
        zip_path: Path | str,
        *,
        expect: PackageRef | None = None,
        expect_digest: str | None = None,
        progress: Progress = _silent,
    ) -> Receipt:
        """Install a package and return its receipt; where the same digest is installed already, that receipt.

        `expect` and `expect_digest` are what the caller believes the zip to be. `progress` is told each step.

        Raises:
            PackageError: 2001–2005; nothing is left on the disk.
            RetryableError: the zip is not the one of `expect_digest` any more.
            StoreError: the disk failed; nothing is left under `deployed/`.
        """
        with examining(self._begin(zip_path, self._same_or_refuse)) as found:
            progress("checking")
            found.run(OPENING)
            found.require()
            _check_expected(found, expect, expect_digest)
            found.run((PLACE,))
            found.require()
            if found.installed is not None:
                return found.installed
            self._read_on(found)
            found.require()
            journal = Journal(self._now, progress)
            with kept(self._layout.install_log(found.known_manifest.ref), journal):
                journal.note(f"{found.path.name}, {found.digest}")
                return self._install(found, journal)

    def _install(self, found: Examination, journal: Journal) -> Receipt:
        """Build a checked package and put it into place; see `install`."""
        for warning in found.warnings:
            journal.note(f"warning: {warning}")
        with disk_errors(self._layout.root), self._staging() as staging:
            folder = staging / "package"
            with durability.cache_in_use(self._layout.cache, staging.name):
                build = Build(self._layout, self._limits(), folder, journal)
                found.run(build.checks())
                found.require()
                receipt = build.receipt(found, self._now())
                journal.step("writing to disk")
                store_receipt(folder / "receipt.json", receipt)
                durability.sync_file_system(folder)
            return self._publish(folder, receipt)

    def trial(
        self, zip_path: Path | str, progress: Progress = _silent, *, beside: bool = False, prove: bool = True
    ) -> Examination:
        """Do everything that an install does, in a temporary folder of which nothing is kept.

        Returns everything that is wrong with the zip; what reading finds wrong is not built. With `beside`, what is
        installed in the store counts, and the folder is in the store's staging; without `prove`, nothing is built.
        Raises StoreError.
        """
        found = self._begin(zip_path, self._same_or_refuse if beside else None)
        staging = self._layout.staging if beside else None
        with examining(found):
            progress("checking")
            self._read(found)
            if not prove:
                found.leave_out(PROVING, "it was not asked for")
                return found
            with _trial_folder(staging) as layout, disk_errors(layout.root):
                layout.cache.mkdir(parents=True)
                journal = Journal(self._now, progress)
                found.run(Build(layout, self._limits(), layout.root / "package", journal).checks())
        return found

    def _begin(self, zip_path: Path | str, place: Place | None = None, *, in_full: bool = True) -> Examination:
        return Examination(
            Path(zip_path), self._limits(), Interpreters(self._pythons()), in_full=in_full, place=place
        )  # fmt: skip

    def _read(self, found: Examination) -> None:
        found.run((*OPENING, PLACE))
        self._read_on(found)

    @staticmethod
    def _read_on(found: Examination) -> None:
        found.run(READING)
        warn(found)

    def uninstall(self, ref: PackageRef) -> None:
        """Remove an installed package; the caller has made sure that nothing needs it. Raises StoreError.

        It vanishes with one rename. Wheels that no other package uses leave the cache too.
        """
        folder = self._layout.package(ref)
        with disk_errors(self._layout.root), self._staging() as staging:
            with self._lock.held():
                if not folder.exists():
                    return
                folder.rename(staging / "removed")
                with suppress(OSError):  # other versions stand there
                    folder.parent.rmdir()
            for parent in (folder.parent, self._layout.deployed):  # the first is gone where nothing else stood there
                if parent.exists():
                    sync_folder(parent)
        with disk_errors(self._layout.root):
            self._prune_cache()
            self._layout.install_log(ref).unlink(missing_ok=True)

    def installations(self) -> dict[PackageRef, Installation]:
        """Return what is installed, by its receipts; folders without one are not listed. Raises StoreError."""
        return {installation.ref: installation for installation in find_installations(self._layout)}

    def sweep(self) -> tuple[str, ...]:
        """Remove what interrupted work left, and return its paths. Raises StoreError."""
        return sweep(self._layout)

    def _same_or_refuse(self, ref: PackageRef, digest: str) -> Receipt | None:
        """Return the receipt where this very package is installed whole, None where it is to be made."""
        receipt = installed_receipt(self._layout, ref)
        if receipt is not None:
            if receipt.digest == digest:
                return receipt if is_whole(self._layout.package(ref), receipt) else None
            raise PackageError(
                Code.invalid_zip,
                f"{ref} is installed already from another zip: {receipt.digest} is there, {digest} was given",
                next_step="give the new package a new version, or uninstall the old one first",
                details={"installed": receipt.digest, "given": digest},
            )
        folder = self._layout.package(ref)
        if folder.exists() and not is_ours(folder):
            raise PackageError(
                Code.install_failed,
                f"{folder} is in the way: it has no receipt, so it is not this controller's to replace",
                next_step="move it away",
            )
        return None

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        self._layout.staging.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._layout.staging))
        try:
            yield folder
        finally:
            with suppress(OSError):  # the first error is the one to report; sweep removes the rest
                remove(folder)

    def _publish(self, folder: Path, receipt: Receipt) -> Receipt:
        """Rename a complete installation into place; where another process was faster, its receipt decides."""
        target = self._layout.package(receipt.ref)
        with self._lock.held():
            if (other := self._same_or_refuse(receipt.ref, receipt.digest)) is not None:
                return other
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                target.rename(folder.with_name("damaged"))  # it goes with the staging folder
            folder.rename(target)
        for parent in (target.parent, self._layout.deployed, folder.parent):
            sync_folder(parent)
        return receipt

    def _prune_cache(self) -> None:
        if files := prune_wheels(self._layout.cache / "wheels"):
            names = sorted({parse_wheel_filename(file)[0] for file in files})
            venv.forget_projects(self._layout.cache / UNPACKED, names)


def _check_expected(found: Examination, expect: PackageRef | None, expect_digest: str | None) -> None:
    ref, name = found.known_manifest.ref, found.path.name
    if expect is not None and ref != expect:
        raise invalid_zip(f"{name} holds {ref}, not {expect}", next_step="correct the name or the version")
    if expect_digest is not None and found.digest != expect_digest:
        raise RetryableError(
            f"{name} was changed since it was looked at: its digest was {expect_digest} and is {found.digest}",
            delay=_LOOK_AGAIN_S,
            next_step="nothing: it is looked at again",
        )


@contextmanager
def _trial_folder(parent: Path | None) -> Iterator[StoreLayout]:
    """Yield a store of its own that goes away: in a folder of ours, else where temporary folders are."""
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix="pvctl-trial-", ignore_cleanup_errors=True) as temporary:
        yield StoreLayout.at(temporary)
