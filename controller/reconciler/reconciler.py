"""Reconcile once: observe → plan → apply → report, round after round, until nothing is left to do."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from controller.errors import Code, ControllerError, DesiredStateError, PackageError, StartFailed, StoreError
from controller.model.actions import Plan, SaveRollout
from controller.model.desired import PolicySpec, Revision
from controller.model.observed import Observed
from controller.model.rollout import Instant, RolloutRecord
from controller.model.status import RevisionStatus, Status
from controller.planning.plan import plan
from controller.planning.registry_rows import registry_rows
from controller.reconciler.apply import ActionResult, Applier
from controller.reconciler.backoff import Backoff
from controller.reconciler.exits import Exit, worst
from controller.reconciler.observe import Observer
from controller.reconciler.patch import patches
from controller.reconciler.ports import Source
from controller.reconciler.report import process_rows, report
from controller.sources.quiescing import QuiescingTree
from controller.store.atomic import remove_durably, write_if_changed
from controller.store.audit import AuditHead
from controller.store.store import Store

log = logging.getLogger(__name__)

_MOST_ACTS = 10
_BAKE_LOOK = 0.25
"""Seconds between two looks at a rollout that is waited for."""
_EMPTY_TREE = (
    "the desired tree has no deployments, but some are in force: nothing was removed; "
    "if everything is really to be removed, say --allow-empty"
)


@dataclass(frozen=True, slots=True)
class Desired:
    """The revision in force and, where a newer one was refused, everything that is wrong with that one."""

    revision: Revision
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reconcile ended."""

    desired: Desired
    plan: Plan
    status: Status
    exit: Exit
    results: tuple[ActionResult, ...] = ()


@dataclass(slots=True)
class Reconciler:
    """Makes one station match its desired state. `clock` gives the boot-time clock, `now` an RFC 3339 timestamp."""

    store: Store
    observer: Observer
    applier: Applier
    clock: Callable[[], Instant]
    now: Callable[[], str]
    backoff: Backoff = field(init=False)
    _pythons: tuple[str, ...] | None = field(default=None, init=False)
    _told: tuple[tuple[Desired, Observed, Plan, AuditHead], Status] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.backoff = Backoff(self.clock)

    async def converge(
        self, desired: Desired, *, serve: bool = True, wait: bool = False, timeout: float | None = None
    ) -> Outcome:
        """Run rounds until nothing is left that can be done now, or `timeout` seconds are over.

        With `wait`, a rollout that bakes or pauses is waited for as well.
        """
        results: list[ActionResult] = []
        deadline = None if timeout is None else self.clock().seconds + timeout
        while True:
            observed, planned = await self.look(desired, serve=serve)
            in_time = deadline is None or self.clock().seconds < deadline
            if in_time and self._makes_progress(results):
                self.launch(planned, desired)
            if self.applier.in_flight:
                results.extend(await self.wait_for_results())
            elif wait and in_time and planned.under_way:
                await asyncio.sleep(_BAKE_LOOK)
            else:
                return self.conclude(desired, observed, planned, results)

    def launch(self, planned: Plan, desired: Desired) -> None:
        """Begin what a plan holds, except what failed a moment ago."""
        self.applier.launch(planned, desired.revision, self.backoff.resting())

    async def look(self, desired: Desired, *, serve: bool = True) -> tuple[Observed, Plan]:
        """Observe and plan; the registry then says what was seen."""
        self._heed(desired.revision.policy)
        observed = await self.observer.observe(desired.revision, self.backoff.failures)
        if not observed.registry_lost:
            self.store.registry.write(registry_rows(observed.zips, observed.installed, observed.failures))
        planned = plan(desired.revision, observed, self.clock(), serve=serve)
        self._keep_counters(observed, planned)
        return observed, planned

    def _heed(self, policy: PolicySpec) -> None:
        """Where the policy names other interpreters, let packages that found none be tried without more delay."""
        if self._pythons not in {None, policy.pythons}:
            self.backoff.forgive(Code.incompatible_python)
        self._pythons = policy.pythons

    def _keep_counters(self, observed: Observed, planned: Plan) -> None:
        """Write down rollouts of which only counters moved; what is decided is an action of the plan.

        A full disk must not keep a pass from restarting what died: the tallies know the counters, the next pass tries.
        """
        decided = {
            action.object for action in planned.actions if isinstance(action, SaveRollout)
        } | self.applier.in_flight
        for name, record in planned.records.items():
            if f"rollout/{name}" not in decided and record != observed.records.get(name, RolloutRecord()):
                try:
                    self.store.rollouts.write(name, record)
                except StoreError as error:
                    log.warning("%s", error)

    async def wait_for_results(self, timeout: float | None = None) -> tuple[ActionResult, ...]:
        """Return what has ended since, waiting for something to end; failures are noted for the back-off."""
        results = await self.applier.next_results(timeout)
        for result in results:
            if result.error is None:
                self.backoff.succeeded(result.action.object)
            else:
                self.backoff.failed(result.action.object, result.error, getattr(result.action, "digest", ""))
        return results

    def _offer(self, patch: str) -> None:
        """Keep the patch that would make git agree next to the status, or remove one that is out of date."""
        if patch:
            write_if_changed(self.store.layout.patch, patch.encode())
        elif self.store.layout.patch.exists():
            remove_durably(self.store.layout.patch)

    @staticmethod
    def _makes_progress(results: Sequence[ActionResult]) -> bool:
        """Whether no object was acted on again and again: two parts of the station would then be at odds."""
        acts = Counter(result.action.object for result in results)
        return all(count < _MOST_ACTS for count in acts.values())

    def refuse(self, problems: Sequence[str], source: str) -> dict[str, Any]:
        """Tell in the status that no revision is valid, and return it; whatever runs goes on. Raises StoreError."""
        document = self.store.status.read() or Status(RevisionStatus("", source, valid=False), False).to_document()
        document["revision"] |= {"valid": False, "errors": list(problems)}
        document["converged"] = False
        self.store.status.write(document)
        self._told = None
        return document

    def conclude(
        self, desired: Desired, observed: Observed, planned: Plan, results: Sequence[ActionResult] = ()
    ) -> Outcome:
        """Write the status, and judge it. Where all is as it was last time, so is the status, but for what it uses."""
        head = self.store.audit.head()
        seen = (desired, _at_rest(observed), planned, head)
        if self._told is not None and self._told[0] == seen and self.store.status.untouched:
            status = replace(self._told[1], processes=process_rows(observed))
        else:
            status = self._tell(desired, observed, planned, head)
        self._told = (seen, status)
        return Outcome(desired, planned, status, judge(desired.problems, planned, results), tuple(results))

    def _tell(self, desired: Desired, observed: Observed, planned: Plan, head: AuditHead) -> Status:
        """Return the status, and write it where it says something new."""
        previous = self.store.status.read()
        status = report(desired.revision, desired.problems, observed, planned, previous, self.clock())
        status = replace(status, audit={"seq": head.seq, "hash": head.hash})
        document = status.to_document()
        if previous is None or _lasting(previous) != _lasting(document):
            self.store.status.write(document)
            self._offer(patches(status.deployments))
        return status


class RevisionTaker:
    """Takes a new revision when the desired tree has changed and settled, and remembers what is in force."""

    def __init__(self, source: Source, store: Store, tree: QuiescingTree, being_written: Callable[[], bool]) -> None:
        self._source = source
        self._store = store
        self._tree = tree
        self._being_written = being_written
        self._desired: Desired | None = None
        self._allow_empty = False

    def read_again(self, *, allow_empty: bool = False) -> None:
        """Read the tree at the next look whether it has changed or not."""
        self._allow_empty = allow_empty
        self._tree.read_again()

    def take(self) -> tuple[Desired | None, bool]:
        """Return what is in force, and whether the tree is still changing.

        Raises DesiredStateError where no revision, new or old, is valid; StoreError.
        """
        verdict = self._tree.look(being_written=self._being_written())
        if verdict == "quiet":
            try:
                self._desired = take_revision(self._source, self._store, allow_empty=self._allow_empty)
            except StoreError:
                self._tree.read_again()
                raise
            finally:
                self._allow_empty = False
        return self._desired, verdict == "changing"


def load_desired(source: Source, store: Store, *, allow_empty: bool = False) -> Desired:
    """Return the source's revision where it may be taken, else the last valid one with the problems of the newer.

    Reads only. Raises DesiredStateError where there is no earlier one to keep to.
    """
    in_force = store.revision.read()
    try:
        revision = source.load()
        if in_force and in_force.deployments and not revision.deployments and not allow_empty:
            raise DesiredStateError((f"{revision.source}: {_EMPTY_TREE}",))
    except DesiredStateError as error:
        if in_force is None:
            raise
        return Desired(in_force, error.problems)
    if in_force is not None and in_force.model_copy(update={"loaded_at": revision.loaded_at}) == revision:
        return Desired(in_force)
    return Desired(revision)


def take_revision(source: Source, store: Store, *, allow_empty: bool = False) -> Desired:
    """Put the source's revision in force where it may be taken, and return what is in force now.

    Raises DesiredStateError where no revision, new or old, is valid; StoreError.
    """
    desired = load_desired(source, store, allow_empty=allow_empty)
    if not desired.problems:
        store.revision.write(desired.revision)
    return desired


def judge(problems: Sequence[str], planned: Plan, results: Sequence[ActionResult] = ()) -> Exit:
    """Return the exit code of a reconcile that ended with this plan still to do."""
    exits = [Exit.done]
    if problems:
        exits.append(Exit.invalid)
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


def _lasting(document: dict[str, Any]) -> bytes:
    """Return a status document without what changes from moment to moment: an idle pass rewrites nothing."""
    processes = [{**each, "rss_bytes": None, "cpu_percent": None} for each in document.get("processes", ())]
    return orjson.dumps({**document, "processes": processes}, option=orjson.OPT_SORT_KEYS)
