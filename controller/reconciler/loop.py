"""The loop of `pvctl run`: one pass after another, for ever. Events only wake it; every pass looks afresh.

A pass never waits for an action to end: what is in flight goes on beside it, and its end is another reason to wake.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from controller.errors import ControllerError, DesiredStateError, StoreError
from controller.model.desired import Revision
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.rollout import Instant
from controller.model.status_document import StatusDocument
from controller.model.unmanaged import serving_deployment
from controller.reconciler.acts import stopping
from controller.reconciler.counts import PassCounts
from controller.reconciler.reconciler import Outcome, Reconciler
from controller.reconciler.revisions import Desired

log = logging.getLogger(__name__)
Result = TypeVar("Result")

RESYNC = 10.0
"""Seconds after which a pass is made without any event: what a missed event costs at most."""
QUIESCE_LOOK = 0.1
"""Seconds between two looks at a tree that is changing."""
DEBOUNCE = 0.02
"""Seconds in which several events make one pass."""
_HEAD_START = 0.1
"""Seconds for which a pass leaves processor and disk to the switches that it has begun, before it reports."""
PATIENCE = 3.0
"""Seconds that actions in flight are waited for at the end; a start that is not proven by then is given up."""


@dataclass(slots=True)
class Loop:
    """Keeps a station as desired. `take` returns what is in force now, reading the source where it has changed.

    `take` returns None while the desired tree is still changing and nothing is in force yet; it raises
    DesiredStateError where no revision, new or old, is valid. `configure` is told what is in force before anything is
    done about it, `on_pass` what came of a pass; `on_ended` is called after every pass, one that failed too.
    """

    reconciler: Reconciler
    take: Callable[[], tuple[Desired | None, bool]]
    configure: Callable[[Revision], None] = lambda _: None
    on_pass: Callable[[Outcome], None] = lambda _: None
    on_ended: Callable[[], None] = lambda: None
    outcome: Outcome | None = field(default=None, init=False)
    concluded: Instant | None = field(default=None, init=False)
    """When `outcome` was made."""
    failing: str = field(default="", init=False)
    """Why the last pass could not be finished; empty where it could. `outcome` is then an earlier one's."""
    refusal: StatusDocument | None = field(default=None, init=False)
    """The status document while no revision, new or old, is valid."""
    counts: PassCounts = field(default_factory=PassCounts, init=False)
    _woken: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    finished: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _between: deque[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = field(default_factory=deque, init=False)
    _stopping: bool = field(default=False, init=False)
    _eager: bool = field(default=False, init=False)
    _begun: int = field(default=0, init=False)
    _ended: int = field(default=0, init=False)
    _passed: asyncio.Condition = field(default_factory=asyncio.Condition, init=False)

    def wake(self) -> None:
        """Ask for a pass. Call it in the loop's own thread."""
        self._woken.set()

    def _on_result(self) -> None:
        """An action ended: what depends on it is not to wait for further events."""
        self._eager = True
        self._woken.set()

    def stop(self) -> None:
        """End after the present pass; what is in flight is waited for a little, the processes go on."""
        self._stopping = True
        self._woken.set()

    def process_ended(self, key: ProcessKey, why: str) -> None:
        """Note that a process exited unexpectedly: it is restarted, the first time at once, then ever later."""
        revision = self.outcome.desired.revision if self.outcome else None
        desired = serving_deployment(revision, key.deployment) if revision else None
        limit = desired.spec.health.restarts if desired else None
        failure = self.reconciler.backoff.crashed(ObjectRef("process", key), why, limit)
        about = {"package": str(key.ref), "revision": revision.id if revision else None}
        log.log(logging.ERROR if failure.breaker else logging.WARNING, "%s: %s", key, failure.message, extra=about)
        self.wake()

    async def run(self) -> None:
        """Make passes until `stop`. Errors of the store are told and tried again at the next pass."""
        self.reconciler.applier.tell_results(self._on_result)
        try:
            await self._passes()
            await self.reconciler.applier.finish(PATIENCE)
            await self.reconciler.later.flush_within(PATIENCE)
        finally:  # whatever ended the loop: nobody may wait for what will not be done any more
            self.finished.set()
            self._refuse_work()
        await self._tell()

    async def _passes(self) -> None:
        while not self._stopping:
            self._woken.clear()
            try:
                with self.counts.durations.timing():
                    pause = await self._pass()
                self.counts.finished += 1
            except StoreError as error:  # a full disk, say: calls go on, and the next pass tries again
                log.error("%s", error)  # noqa: TRY400 - an operator's error, not a defect
                self.failing, pause = str(error), RESYNC / 2
            except Exception as defect:
                log.exception("a pass failed by a defect of the controller; calls go on, the next pass tries again")
                self.failing, pause = f"a defect of the controller: {defect!r}; see its log", RESYNC
            if self.failing:
                self.counts.failed += 1
                await self._tell()
            await self._sleep(pause)

    async def between_passes(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do `work` between two passes, when no rollout is being written down; return its result, or raise its error.

        Raises:
            CodedError: 1004, the loop ended before.
        """
        asked: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        if self.finished.is_set():
            raise stopping()
        self._between.append((work, asked))
        self.wake()
        return await asked

    async def _work_between(self) -> None:
        if any(object_.kind == "rollout" for object_ in self.reconciler.applier.in_flight):
            return  # its end wakes the next pass
        while self._between:
            work, asked = self._between.popleft()
            try:
                result = await work()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's to hear
                _answer(asked, error)
            except BaseException:
                _answer(asked, stopping())
                raise
            else:
                if not asked.done():
                    asked.set_result(result)

    def _refuse_work(self) -> None:
        """Answer everybody who still waits for work between passes."""
        while self._between:
            _answer(self._between.popleft()[1], stopping())

    async def _pass(self) -> float:
        """Make one pass; return the seconds after which the next is due without any event."""
        self._begun += 1
        await self.reconciler.wait_for_results(timeout=0)
        await self._work_between()
        try:
            desired, changing = await asyncio.to_thread(self.take)
        except DesiredStateError as error:
            self.counts.took(error.problems)
            self.refusal = await self.reconciler.refuse(error.problems, "")
            await self._tell()
            return RESYNC
        if desired is not None:
            self.configure(desired.revision)
            observed = await self.reconciler.observe(desired)
            planned = self.reconciler.plan(desired, observed)
            await self.reconciler.note(observed, planned)
            self.reconciler.launch(desired, planned)
            await self.reconciler.applier.let_switches_go_first(_HEAD_START)
            self.outcome = await self.reconciler.conclude(desired, observed, planned)
            self.concluded = self.reconciler.clock()
            self.failing, self.refusal = "", None
            self.counts.took(desired.problems)
            self.counts.saw(planned.records)
            self.on_pass(self.outcome)
            await self._tell()
        due = min((wait.until for wait in self.outcome.plan.waiting), default=float("inf")) if self.outcome else 1.0
        return QUIESCE_LOOK if changing else min(RESYNC, max(0.0, due - self.reconciler.clock().seconds))

    async def _tell(self) -> None:
        self.on_ended()
        async with self._passed:
            self._ended = self._begun
            self._passed.notify_all()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        if not self._eager:
            await asyncio.sleep(DEBOUNCE)
        self._eager = False

    @property
    def judging(self) -> bool:
        """Whether calls are being judged for a rollout: then what they come to is a reason for a pass."""
        records = self.outcome.plan.records.values() if self.outcome else ()
        rollouts = (record.rollout for record in records)
        return any(rollout is not None and (rollout.under_way or rollout.state == "promoted") for rollout in rollouts)

    async def wait_idle(self, timeout: float, *, wait: bool = False) -> Outcome:
        """Return the outcome once nothing is left that can be done now, or after `timeout` seconds.

        With `wait`, a rollout that bakes or pauses is waited for as well.

        Raises:
            DesiredStateError: no revision, new or old, is valid.
            CodedError: 1004, the loop has ended.
            ControllerError: no pass has succeeded yet, or the one that was asked for could not be finished.
        """
        asked = self._begun
        self.wake()
        try:
            async with asyncio.timeout(timeout), self._passed:
                await self._passed.wait_for(
                    lambda: self.finished.is_set() or (self._ended > asked and self._answered(wait=wait))
                )
        except TimeoutError:
            pass  # the outcome so far tells how far it came
        await self.reconciler.later.flush_within(PATIENCE)
        if self.finished.is_set():
            raise stopping()
        if self.failing:
            raise ControllerError(self.failing, next_step="calls go on being answered; the daemon goes on trying")
        if self.refusal is not None:
            raise DesiredStateError(tuple(self.refusal["revision"]["errors"]))
        if self.outcome is None:
            raise ControllerError("the daemon has not finished a pass yet", next_step="see its log")
        return self.outcome

    def _answered(self, *, wait: bool) -> bool:
        return bool(self.failing) or self.refusal is not None or self._at_rest(wait=wait)

    def _at_rest(self, *, wait: bool) -> bool:
        if self.reconciler.applier.in_flight or self.outcome is None:
            return False
        return self.outcome.plan.empty and not (wait and self.outcome.plan.under_way)


def _answer(asked: asyncio.Future[Any], error: Exception) -> None:
    if not asked.done():
        asked.set_exception(error)
