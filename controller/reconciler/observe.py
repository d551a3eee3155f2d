"""Observe: gather what is on disk and what runs into one frozen value for the planner."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from controller.errors import StoreError
from controller.model.desired import Revision
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.observed import Failure, HistoryEntry, Observed, ObservedProcess
from controller.model.package import PackageRef
from controller.model.replay import ReplayReport
from controller.model.rollout import Rollout, RolloutRecord
from controller.planning.retention import exceeds
from controller.reconciler.ports import Packages, Zips
from controller.reconciler.zips import ZipFolder
from controller.store.store import Store
from controller.store.tally_store import TallyStore

log = logging.getLogger(__name__)

_TAIL_BYTES, _TAIL_LINES = 4096, 10


class Observer:
    """Looks at one store and its processes. Reads only."""

    def __init__(
        self,
        store: Store,
        packages: Packages,
        processes: Callable[[], Awaitable[Mapping[ProcessKey, ObservedProcess]]],
        tally_store: TallyStore | None = None,
        zips: Zips | None = None,
        replays: Callable[[], Mapping[str, ReplayReport]] = dict,
    ) -> None:
        self._store = store
        self._packages = packages
        self._zips = zips or ZipFolder(store.layout, packages)
        self._processes = processes
        self._replays = replays
        self._tally_store = tally_store or TallyStore(store.layout)
        self._told: tuple[str, ...] = ()
        self._kept: Counter[ProcessKey] = Counter()

    def look_again(self) -> None:
        """Read the zips that were refused once more the next time."""
        self._zips.look_again()

    @contextmanager
    def keeping(self, keys: Collection[ProcessKey]) -> Iterator[None]:
        """Have processes seen as kept meanwhile: a command is about to need them, and no pass may end them."""
        self._kept.update(keys)
        try:
            yield
        finally:
            self._kept.subtract(keys)
            self._kept += Counter()  # drops those that nobody keeps any more

    async def observe(
        self, revision: Revision, failures: Mapping[ObjectRef, Failure], *, ways_back: bool = False
    ) -> Observed:
        """Return the present state, as far as the planner needs it to serve `revision`.

        With `ways_back`, every PID's history is read, not only those of PIDs that may move. Raises StoreError.
        """
        seen = Observed(
            processes=await self._processes(),
            failures=failures,
            tallies=self._tally_store.tallies,
            recent=self._tally_store.recent(_windows(revision)),
            kept=frozenset(self._kept),
            shadows=self._tally_store.shadows.agreements,
            shadow_differences=self._tally_store.shadows.differing,
            replays=self._replays(),
        )
        return await asyncio.to_thread(self._look_at_disk, revision, seen, ways_back=ways_back)

    def _look_at_disk(self, revision: Revision, seen: Observed, *, ways_back: bool) -> Observed:
        """Return what was seen with what the store's files hold, in a thread: the calls' loop waits for no disk."""
        known_since, registry = self._store.registry.written_at(), self._store.registry.read()
        memory = self._store.rollouts.memory()
        rollouts = {name: record.rollout for name, record in memory.records.items() if record.rollout}
        seen = replace(
            seen,
            zips=self._zips.survey(registry or (), known_since),
            installed=self._packages.installations(),
            active=self._store.active.read_all(),
            records=memory.records,
            holds=memory.holds,
            restored=memory.restored,
            lost=memory.lost,
            last_words={name: self._last_words(rollout) for name, rollout in rollouts.items()},
        )
        every = ways_back or exceeds(revision, seen)
        pids = dict.fromkeys((*_may_move(revision, seen), *(seen.active if every else ())))
        seen = replace(seen, **self._histories(pids), registry_lost=registry is None and bool(seen.installed))
        self._tell_lost(seen)
        return replace(seen, unmanaged=(*_strange_mappings(revision, seen), *self._strange_folders()))

    def _histories(self, pids: Iterable[str]) -> dict[str, Any]:
        """Return the fields of what was observed of histories: what they hold, and which cannot be read."""
        histories, lost = {}, {}
        for pid in pids:
            try:
                if entries := self._store.history.read(pid):
                    histories[pid] = _latest_of_each(entries)
            except StoreError as error:
                lost[pid] = str(error)
        return {"history": histories, "lost_history": lost}

    def _tell_lost(self, seen: Observed) -> None:
        """Log what cannot be read, where that is news."""
        for why in seen.forgotten:
            if why not in self._told:
                log.error("%s", why)
        self._told = seen.forgotten

    def _last_words(self, rollout: Rollout) -> tuple[str, ...]:
        """The last errors of a version that failed, and the last lines that it has logged."""
        if not rollout.failed:
            return ()
        errors = self._tally_store.last_errors.items()
        words = tuple(f"{pid}: {error}" for (pid, ref), error in errors if ref == rollout.target)
        return (*words, *self._log_tail(rollout))

    def _log_tail(self, rollout: Rollout) -> tuple[str, ...]:
        log_of = partial(self._store.layout.process_log, rollout.deployment, rollout.target.version, 0)
        try:
            line, shadow = log_of(), log_of(shadow=True)  # a version that was stopped as a shadow has no other
            with (line if line.exists() else shadow).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return tuple(file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:])
        except OSError:  # it never wrote any, or they are gone: there is less evidence, that is all
            return ()

    def _strange_folders(self) -> tuple[str, ...]:
        """Folders of packages without a receipt: a store may be older than this controller."""
        root = self._store.layout.root
        folders = (path for path in sorted(self._store.layout.deployed.glob("*/*")) if path.is_dir())
        return tuple(str(path.relative_to(root)) for path in folders if not (path / "receipt.json").exists())


def _latest_of_each(entries: tuple[HistoryEntry, ...]) -> tuple[HistoryEntry, ...]:
    """Return when each version came last, in order: all that decisions ask of a history, however long it has become."""
    latest: dict[PackageRef | None, HistoryEntry] = {}
    for entry in reversed(entries):
        latest.setdefault(entry.ref, entry)
    return tuple(reversed(latest.values()))


def _windows(revision: Revision) -> frozenset[float]:
    """The windows of the limits in force (seconds), those for PIDs that no deployment has among them."""
    limits = (
        limit
        for health in (*(each.spec.health for each in revision.deployments), revision.policy.defaults.health)
        for limit in (health.error_rate, health.timeout_rate, health.latency_p95)
    )
    return frozenset(limit.window for limit in limits if limit is not None)


def _may_move(revision: Revision, seen: Observed) -> Iterator[str]:
    """Yield the PIDs whose history matters now: of deployments that are not as desired, and those nobody desires."""
    yield from (pid for pid in seen.active if pid not in revision.by_pid)
    for deployment in revision.deployments:
        wanted = deployment.spec.wanted
        as_desired = all(seen.active_ref(pid) == ref for pid, ref in wanted.items())
        if not as_desired or _unfinished(seen.records.get(deployment.name)):
            yield from wanted


def _unfinished(record: RolloutRecord | None) -> bool:
    """Whether PIDs may move, or have moved, otherwise than by the desired state alone."""
    rollout = record.rollout if record else None
    return record is not None and bool(record.quarantine or (rollout and rollout.state != "completed"))


def _strange_mappings(revision: Revision, seen: Observed) -> Iterator[str]:
    """Yield the mappings of PIDs that no deployment names or ever managed."""
    strange = (pid for pid in seen.active if pid not in revision.by_pid and not seen.managed(pid))
    return (f"active/{pid}.json" for pid in strange)
