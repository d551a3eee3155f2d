"""Observe: gather what is on disk and what runs into one frozen value for the planner."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

from controller.errors import PackageError, StoreError
from controller.model.desired import Revision
from controller.model.observed import (
    ActiveMapping,
    BrokenMapping,
    Failure,
    HistoryEntry,
    Observed,
    ObservedProcess,
    ProcessKey,
)
from controller.model.package import Installation, PackageRecord, PackageRef
from controller.model.rollout import Rollout, RolloutRecord
from controller.planning.retention import exceeds
from controller.reconciler.ports import Packages
from controller.store.store import Store
from controller.store.tally_store import TallyStore

_TAIL_BYTES, _TAIL_LINES = 4096, 10

Mappings = Mapping[str, ActiveMapping | BrokenMapping]


class Observer:
    """Looks at one store and its processes. Reads only."""

    def __init__(
        self,
        store: Store,
        packages: Packages,
        processes: Callable[[], Awaitable[Mapping[ProcessKey, ObservedProcess]]],
        tally_store: TallyStore | None = None,
    ) -> None:
        self._store = store
        self._packages = packages
        self._processes = processes
        self._tally_store = tally_store or TallyStore(store.layout)

    async def observe(self, revision: Revision, failures: Mapping[str, Failure]) -> Observed:
        """Return the present state, as far as the planner needs it to serve `revision`. Raises StoreError."""
        registry = self._store.registry.read()
        zips = await asyncio.to_thread(self._survey_zips, registry or ())
        installed = self._packages.installations()
        active = self._store.active.read_all()
        records = self._store.rollouts.read_all()
        history = self._histories(revision, active, installed, records)
        observed = Observed(
            zips=zips,
            installed=installed,
            active=active,
            history=history,
            processes=await self._processes(),
            failures=failures,
            registry_lost=registry is None and bool(installed),
            records=records,
            last_words={name: self._last_words(record.rollout) for name, record in records.items() if record.rollout},
            holds=self._store.rollouts.read_holds(),
            tallies=self._tally_store.tallies,
            recent=self._tally_store.recent(),
            unmanaged=(*self._strange_mappings(revision, active, history), *self._strange_folders()),
        )
        if exceeds(revision, observed):
            observed = replace(observed, history={pid: self._store.history.read(pid) for pid in {*active, *history}})
        return observed

    def _last_words(self, rollout: Rollout) -> tuple[str, ...]:
        """The last errors of a version that failed, and the last lines that it has logged."""
        if not rollout.failed:
            return ()
        errors = self._tally_store.last_errors.items()
        said = tuple(f"{pid}: {words}" for (pid, ref), words in errors if ref == rollout.target)
        return (*said, *self._log_tail(rollout))

    def _log_tail(self, rollout: Rollout) -> tuple[str, ...]:
        path = self._store.layout.process_log(rollout.deployment, rollout.target.version, 0)
        try:
            with path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return tuple(file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:])
        except OSError:  # it never wrote any, or they are gone: there is less evidence, that is all
            return ()

    @staticmethod
    def _strange_mappings(
        revision: Revision, active: Mappings, history: Mapping[str, tuple[HistoryEntry, ...]]
    ) -> tuple[str, ...]:
        strange = (pid for pid in active if pid not in revision.by_pid and not _managed(history.get(pid, ())))
        return tuple(f"active/{pid}.json" for pid in strange)

    def _strange_folders(self) -> tuple[str, ...]:
        """Folders of packages without a receipt: a store may be older than this controller."""
        root = self._store.layout.root
        folders = (path for path in sorted(self._store.layout.deployed.glob("*/*")) if path.is_dir())
        return tuple(str(path.relative_to(root)) for path in folders if not (path / "receipt.json").exists())

    def _survey_zips(self, known: tuple[PackageRecord, ...]) -> tuple[PackageRecord, ...]:
        """Return a record for each zip; one that has not changed since the registry was written is not read again."""
        by_zip = {record.zip_name: record for record in known if record.zip_name is not None}
        surveyed = (self._survey(path, by_zip.get(path.name)) for path in self._zip_paths())
        return tuple(record for record in surveyed if record is not None)

    def _zip_paths(self) -> list[Path]:
        try:
            return sorted(self._store.layout.zips.glob("*.zip"))
        except OSError as error:
            raise StoreError(f"cannot read {self._store.layout.zips}: {error.strerror}") from error

    def _survey(self, path: Path, known: PackageRecord | None) -> PackageRecord | None:
        try:
            stat = path.stat()
        except FileNotFoundError:  # taken away since the folder was listed
            return None
        fingerprint = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if known is not None and known.fingerprint == fingerprint:
            return known if not known.version else _as_candidate(known)
        try:
            manifest, digest = self._packages.survey(path)
        except PackageError as error:
            return PackageRecord(
                path.name, "", "", "invalid", int(error.code), str(error), None, path.name, fingerprint
            )  # fmt: skip
        return PackageRecord(
            manifest.name, manifest.version, digest, "discovered", None, "", manifest.supported_pids, path.name,
            fingerprint,
        )  # fmt: skip

    def _histories(
        self,
        revision: Revision,
        active: Mappings,
        installed: Mapping[PackageRef, Installation],
        records: Mapping[str, RolloutRecord],
    ) -> dict[str, tuple[HistoryEntry, ...]]:
        """Read the histories that matter now: of deployments that are not as desired, and of PIDs nobody desires."""
        pids = [pid for pid in active if pid not in revision.by_pid]
        for deployment in revision.deployments:
            wanted = deployment.spec.wanted
            as_desired = all(_observed_ref(active.get(pid), installed) == ref for pid, ref in wanted.items())
            if not as_desired or _may_move(records.get(deployment.name)):
                pids += wanted
        return {pid: entries for pid in pids if (entries := self._store.history.read(pid))}


def _may_move(record: RolloutRecord | None) -> bool:
    """Whether PIDs may move, or have moved, otherwise than by the desired state alone."""
    rollout = record.rollout if record else None
    return record is not None and bool(record.quarantine or (rollout and rollout.state != "completed"))


def _observed_ref(
    mapping: ActiveMapping | BrokenMapping | None, installed: Mapping[PackageRef, Installation]
) -> PackageRef | None:
    return mapping.ref if isinstance(mapping, ActiveMapping) and mapping.ref in installed else None


def _as_candidate(known: PackageRecord) -> PackageRecord:
    """Return a registry row as what its zip is: whether it can be installed is found out anew, not remembered."""
    if known.state == "discovered":
        return known
    return PackageRecord(
        known.name, known.version, known.digest, "discovered", None, "", known.supported_pids, known.zip_name,
        known.fingerprint,
    )  # fmt: skip


def _managed(history: tuple[HistoryEntry, ...]) -> bool:
    return bool(history) and history[-1].deployment is not None
