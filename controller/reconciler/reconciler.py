"""The steps of a pass, and `reconcile --once`: pass after pass until nothing is left to do."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial

import orjson

from controller.errors import Code, ControllerError, PackageError, StartFailed, StoreError
from controller.model.actions import Plan, SaveRollout
from controller.model.desired import Revision
from controller.model.objects import ObjectRef
from controller.model.observed import Observed
from controller.model.rollout import Instant, RolloutRecord
from controller.model.status import DaemonStatus, HostStatus, RevisionStatus, Status, WaitingStatus
from controller.model.status_document import StatusDocument
from controller.model.tally import Counted
from controller.model.timestamps import format_timestamp
from controller.packages.limits import Limits, limits_of
from controller.planning.plan import plan
from controller.planning.registry_rows import registry_rows
from controller.reconciler.acts import ActionResult
from controller.reconciler.apply import Applier
from controller.reconciler.backoff import Backoff, some_jitter
from controller.reconciler.exits import Exit, worst
from controller.reconciler.host_watch import HostWatch, pressing
from controller.reconciler.later import Later
from controller.reconciler.observe import Observer
from controller.reconciler.patch import patches
from controller.reconciler.report import process_rows, report
from controller.reconciler.revisions import Desired
from controller.rollouts.counted import no_longer_counted
from controller.store.audit import AuditHead
from controller.store.store import Store

log = logging.getLogger(__name__)

_REGISTRY = "registry.json"
_MOST_ACTS = 10
_FIGURES_EVERY = 60.0
"""Seconds between two writes of the status for the sake of figures alone; a daemon tells the present ones."""
_LOOK = 0.25
"""Seconds between two looks at a rollout that is waited for."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reconcile ended."""

    desired: Desired
    plan: Plan
    status: Status
    exit: Exit
    uncounted: frozenset[Counted] = frozenset()
    """The counts that nobody will ask for again."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """How the store's own records stand: the audit's head, what cannot be kept and why, whether the status is ours."""

    head: AuditHead
    troubles: tuple[tuple[str, str], ...]
    untouched: bool


@dataclass(slots=True)
class Reconciler:
    """Makes one station match its desired state, pass by pass: observe → plan → note → launch → conclude.

    `clock` gives the boot-time clock, `jitter` a factor around one for back-offs. `daemon` is what the status says of
    who makes it, `file_events` why the system tells of no changes of files (empty: it does), `listener` why the address
    of the network is not served (None: there is none), `recording` why no calls are recorded (None: none is to be).
    """

    store: Store
    observer: Observer
    applier: Applier
    clock: Callable[[], Instant]
    jitter: Callable[[], float] = some_jitter
    daemon: DaemonStatus = field(default_factory=DaemonStatus)
    file_events: Callable[[], str] = lambda: ""
    listener: Callable[[], str | None] = lambda: None
    recording: Callable[[], str | None] = lambda: None
    host: HostWatch = field(init=False)
    backoff: Backoff = field(init=False)
    _pythons: tuple[str, ...] | None = field(default=None, init=False)
    _limits: Limits | None = field(default=None, init=False)
    later: Later = field(default_factory=Later, init=False)
    _last: tuple[tuple[Desired, Observed, Plan, _Recorded, tuple[str, ...]], Status] | None = field(
        default=None, init=False
    )
    _document: StatusDocument | None = field(default=None, init=False)
    _told: float = field(default=-math.inf, init=False)
    _head: AuditHead = field(default_factory=AuditHead, init=False)
    _unrecorded: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.backoff = Backoff(self.clock, self.jitter)
        self.host = HostWatch(self.store.layout, self.file_events, self.listener, self.recording)

    async def converge(
        self, desired: Desired, *, serve: bool = True, wait: bool = False, timeout: float | None = None
    ) -> Outcome:
        """Make passes until nothing is left that can be done now, or `timeout` seconds are over.

        With `wait`, a rollout that bakes or pauses is waited for as well.
        """
        results: list[ActionResult] = []
        deadline = None if timeout is None else self.clock().seconds + timeout
        while True:
            observed = await self.observe(desired)
            planned = self.plan(desired, observed, serve=serve)
            await self.note(observed, planned)
            in_time = deadline is None or self.clock().seconds < deadline
            if in_time and self._makes_progress(results):
                self.launch(desired, planned)
            if self.applier.in_flight and (in_time or not self.applier.only_replays):
                results.extend(await self.wait_for_results(_LOOK if self.applier.only_replays else None))
            elif wait and in_time and planned.under_way:
                await asyncio.sleep(_LOOK)
            else:
                outcome = await self.conclude(desired, observed, planned, results)
                await self.later.flush()
                return outcome

    # --- the steps of a pass, in their order

    async def observe(self, desired: Desired) -> Observed:
        """Look at the station. Reads only. Raises StoreError."""
        self._heed(desired.revision)
        due = self.later.is_due(_REGISTRY)  # then it is not lost, where it is not there yet
        observed = await self.observer.observe(desired.revision, self.backoff.failures)
        return replace(observed, registry_lost=False) if due else observed

    def _heed(self, revision: Revision) -> None:
        """Where the policy has other interpreters or limits, let what those refused be tried without more delay."""
        pythons, limits = revision.policy.pythons, limits_of(revision)
        if self._pythons not in {None, pythons}:
            self.backoff.forgive(Code.incompatible_python)
            self.observer.look_again()
        if self._limits not in {None, limits}:
            self.backoff.forgive(Code.invalid_zip, Code.install_failed)
            self.observer.look_again()
        self._pythons, self._limits = pythons, limits

    def plan(self, desired: Desired, observed: Observed, *, serve: bool = True) -> Plan:
        """Decide what is to be done now."""
        return plan(desired.revision, observed, self.clock(), serve=serve)

    async def note(self, observed: Observed, planned: Plan) -> None:
        """Write down what was seen of packages, and rollouts of which only counters moved; decisions are actions.

        A full disk must not keep a pass from restarting what died: all of this is known elsewhere, and the next pass
        writes it.
        """
        if not observed.registry_lost:
            rows = registry_rows(observed.zips, observed.installed, observed.failures)
            self.later.write(_REGISTRY, partial(self.store.registry.write, rows))
        if self.store.unrecorded or self._unrecorded:
            self._unrecorded = await asyncio.to_thread(self.store.unrecorded.settle, self.store)
        counted = tuple(self._counted(observed, planned))
        if counted:  # waited for: a later decision must not be overtaken by an earlier count
            await asyncio.to_thread(self._write_counted, counted)

    def _write_counted(self, counted: Iterable[tuple[str, RolloutRecord]]) -> None:
        for name, record in counted:
            try:
                self.store.rollouts.write(name, record)
            except StoreError as error:
                log.warning("%s", error)

    def launch(self, desired: Desired, planned: Plan) -> None:
        """Begin what the plan holds, except what failed a moment ago."""
        self.applier.launch(planned, desired.revision, self.backoff.rests)

    async def conclude(
        self, desired: Desired, observed: Observed, planned: Plan, results: Sequence[ActionResult] = ()
    ) -> Outcome:
        """Tell and judge the status. Where all is as it was last time, so is the status, but for what it uses.

        It is written later; a status that the disk does not take is told all the same, and that it does not.
        """
        recorded, host = await asyncio.to_thread(self._look_around)
        seen = (desired, _at_rest(observed), planned, recorded, pressing(host))
        if self._last is not None and self._last[0] == seen:
            status = replace(self._last[1], processes=process_rows(observed), host=host)
        else:
            status = self._report(desired, observed, planned, recorded, host)
        self._last = (seen, status)
        uncounted = no_longer_counted(desired.revision, observed)
        verdict = judge(desired.problems, planned, results, recorded.troubles)
        return Outcome(desired, planned, status, verdict, uncounted)

    def _look_around(self) -> tuple[_Recorded, HostStatus]:
        """Return how the store's own records stand, and the host. Blocking."""
        if self._document is None:
            self._document, self._told = self.store.status.read(), self.clock().seconds
            self.host.remember(self._document)
        now = format_timestamp(self.clock().epoch)
        return self._look_at_records(), self.host.look(now, self.backoff.failures.values())

    def _look_at_records(self) -> _Recorded:
        troubles = self.later.failing | {f"the record of {each}": why for each, why in self._unrecorded.items()}
        try:
            self._head = self.store.audit.head()
        except StoreError as error:
            troubles["logs/audit.jsonl"] = str(error)
        return _Recorded(self._head, tuple(troubles.items()), self.store.status.untouched)

    async def restate(self) -> None:
        """Write registry and status as they are now: something was done by hand, and no pass will follow.

        What is in force stays, and so does what the last status says of the desired tree. Raises StoreError.
        """
        desired = Desired(self.store.revision.read() or Revision(id="", source="", loaded_at=""))
        if (previous := self.store.status.read()) is not None:
            row = previous["revision"]
            desired = Desired(desired.revision, tuple(row["errors"]), row.get("fingerprint", ""))
            self.daemon = replace(self.daemon, source=previous.get("daemon", {}).get("source", self.daemon.source))
        observed = await self.observe(desired)
        if not observed.registry_lost:
            rows = registry_rows(observed.zips, observed.installed, observed.failures)
            self.later.write(_REGISTRY, partial(self.store.registry.write, rows))
        await self.conclude(desired, observed, self.plan(desired, observed))
        await self.later.flush()

    # --- between passes

    async def wait_for_results(self, timeout: float | None = None) -> tuple[ActionResult, ...]:
        """Return what has ended since, waiting for something to end; failures are noted for the back-off."""
        results = await self.applier.next_results(timeout)
        for result in results:
            if result.error is None:
                self.backoff.succeeded(result.action.object)
            else:
                self.backoff.failed(result.action.object, result.error, getattr(result.action, "digest", ""))
        return results

    def _counted(self, observed: Observed, planned: Plan) -> Iterator[tuple[str, RolloutRecord]]:
        """Yield the records that changed without a decision being made, or written down at this moment."""
        decided = {action.object for action in planned.actions if isinstance(action, SaveRollout)}
        for name, record in planned.records.items():
            object_ = ObjectRef("rollout", name)
            changed = record != observed.records.get(name, RolloutRecord())
            rests = object_ not in decided and object_ not in self.applier.in_flight
            rests = rests and name not in observed.restored and not observed.unknown(name)
            if changed and rests:
                yield name, record

    @staticmethod
    def _makes_progress(results: Sequence[ActionResult]) -> bool:
        """Whether no object was acted on again and again: two parts of the station would then be at odds."""
        acts = Counter(result.action.object for result in results)
        return all(count < _MOST_ACTS for count in acts.values())

    async def refuse(self, problems: Sequence[str], source: str) -> StatusDocument:
        """Tell in the status that no revision is valid, and return it; whatever runs goes on."""
        _, host = await asyncio.to_thread(self._look_around)
        document = deepcopy(self._document) or Status(RevisionStatus("", source, valid=False), False).to_document()
        document["revision"]["valid"], document["revision"]["errors"] = False, list(problems)
        document["converged"] = False
        self._document, self._last = document, None
        here = replace(Status(RevisionStatus("", source, valid=False), False), daemon=self.daemon, host=host)
        document |= {"daemon": here.to_document()["daemon"], "host": here.to_document()["host"]}
        self.later.write("status.json", partial(self.store.status.write, document))
        return document

    def _report(
        self, desired: Desired, observed: Observed, planned: Plan, recorded: _Recorded, host: HostStatus
    ) -> Status:
        """Return the status, and have it written where it says something new."""
        previous = self._document
        status = report(desired, observed, planned, previous, self.clock())
        head = {"seq": recorded.head.seq, "hash": recorded.head.hash}
        status = replace(status, audit=head, daemon=self.daemon, host=host)
        if recorded.troubles:
            rows = tuple(WaitingStatus(what, None, why) for what, why in recorded.troubles)
            status = replace(status, waiting=(*status.waiting, *rows), converged=False)
        document = status.to_document()
        news = previous is None or not recorded.untouched or _lasting(previous) != _lasting(document)
        if news or self.clock().seconds - self._told >= _FIGURES_EVERY:
            self._document, self._told = document, self.clock().seconds
            self.later.write("status.json", partial(self.store.status.write, document))
            self.later.write("status.patch.yaml", partial(self.store.patch.offer, patches(status.deployments)))
        return status


def judge(
    problems: Sequence[str], planned: Plan, results: Sequence[ActionResult] = (), troubles: Sequence[object] = ()
) -> Exit:
    """Return the exit code of a reconcile that ended with this plan still to do, and records that cannot be kept."""
    exits = [Exit.done]
    if problems:
        exits.append(Exit.invalid)
    if troubles:
        exits.append(Exit.failed)
    last = {result.action.object: result.error for result in results}
    exits += [_exit_of(error) for error in last.values() if error is not None]
    if planned.blocked:
        exits.append(Exit.degraded)
    if planned.actions or planned.waiting or planned.under_way:
        exits.append(Exit.progressing)
    return worst(*exits)


def _exit_of(error: ControllerError) -> Exit:
    """A package or algorithm at fault degrades the station; anything else is the controller's own failure."""
    return Exit.degraded if isinstance(error, PackageError | StartFailed) else Exit.failed


def _at_rest(observed: Observed) -> Observed:
    """Return what was observed without what every process uses at the moment."""
    quiet = {key: replace(each, rss_bytes=None, cpu_percent=None) for key, each in observed.processes.items()}
    return replace(observed, processes=quiet)


def _lasting(document: StatusDocument) -> bytes:
    """Return a status document without what changes from moment to moment: an idle pass rewrites nothing."""
    lasting = {
        **document,
        "processes": [{**each, "rss_bytes": None, "cpu_percent": None} for each in document.get("processes", ())],
        "pids": [{**each, "health": None} for each in document.get("pids", ())],
        "deployments": [{**each, "evidence": None} for each in document.get("deployments", ())],
        "host": [(each["type"], each["status"]) for each in document.get("host", {}).get("conditions", ())],
    }
    return orjson.dumps(lasting, option=orjson.OPT_SORT_KEYS)
