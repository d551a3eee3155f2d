"""The mirror: pictures of the line, once their calls are answered, also go to the version that a rollout shadows.

What that version says is compared with what the line said, counted, and given to nobody. No call waits for it: there is
a bounded queue, and what finds no room in it is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.calls.aftermath import Ended
from controller.calls.answers import answer_of
from controller.calls.mirror_queue import MirrorQueue, Shown, size_of
from controller.calls.shadow_call import ask
from controller.calls.shadow_counts import Dropped, ShadowCounts
from controller.client.answers import Detection
from controller.model.comparison import Agreement, Answer, Difference, compare
from controller.model.package import PackageRef
from controller.model.replay import DifferingPicture
from controller.model.rollout import Rollout
from controller.model.timestamps import format_timestamp
from controller.processes.pool import PoolObserver, ProcessPool
from controller.processes.process import AlgorithmProcess
from controller.rollouts.cohorts import cohort

log = logging.getLogger(__name__)

_EXCUSED = Agreement(excused=1)
_LOOK_EVERY = 1.0
"""Seconds between two looks whether memory is short."""

Disagreed = Callable[[Ended, Answer, Difference], str]
"""Has a call recorded on which the versions disagree; returns the recording's id, or nothing."""


@dataclass(frozen=True, slots=True)
class Shadowing:
    """What a rollout's shadow step shows to its target: a share of the calls of its PIDs. `iou`: see `compare`.

    `before` has the version that each PID had when the rollout began: only its answers are compared. A PID that another
    one answers has left the rollout (held, pinned, of another deployment), or has the target already.
    """

    deployment: str
    target: PackageRef
    before: Mapping[str, PackageRef]
    sample: float
    iou: float | None

    @classmethod
    def of(cls, rollout: Rollout) -> Shadowing | None:
        """Return what a rollout shows now; None where it is in no shadow step."""
        step = rollout.present_step
        if rollout.state != "shadowing" or step is None or step.pictures is None:
            return None
        pids = cohort(rollout.strategy.sequence, step.weight)
        before = {pid: ref for pid in pids if (ref := rollout.stable.get(pid)) not in {None, rollout.target}}
        return cls(rollout.deployment, rollout.target, before, step.pictures.sample, step.pictures.iou)


class Mirror(PoolObserver):
    """Follows the calls of the line (`Follower`) for every rollout in a shadow step, with one worker a shadow process.

    `disagreed` may record a call. `is_short` says whether memory is: then no picture is kept, since the line needs the
    room for the next one.
    """

    def __init__(
        self, pool: ProcessPool, is_short: Callable[[], bool] = lambda: False, disagreed: Disagreed = lambda *_: ""
    ) -> None:  # fmt: skip
        self.counts = ShadowCounts()
        self.disagreed = disagreed
        self._by_pid: dict[str, Shadowing] = {}
        self._by_deployment: dict[str, Shadowing] = {}
        self._queues: dict[str, MirrorQueue] = {}
        self._workers: dict[AlgorithmProcess, asyncio.Task[None]] = {}
        self._showing: set[AlgorithmProcess] = set()
        self._pool = pool
        self._memory = _Memory(is_short)
        pool.subscribe(self)

    def judge(self, rollouts: Mapping[str, Rollout]) -> None:
        """Take the rollouts whose targets are judged from now on, by their deployments; forget what is of no other."""
        found = {name: shown for name, each in rollouts.items() if (shown := Shadowing.of(each)) is not None}
        for name, before in self._by_deployment.items():
            now = found.get(name)
            if now is None or now.target != before.target:
                for gone in self._queues.pop(name).clear():
                    self.counts.drop(name, (gone.call.request.pid, before.target), "ended")
        self._by_deployment = found
        self._by_pid = {pid: shown for shown in found.values() for pid in shown.before}
        for name in found:
            self._queues.setdefault(name, MirrorQueue())
        self.counts.keep({(pid, each.target) for each in rollouts.values() for pid in each.strategy.sequence}, rollouts)
        for process in self._pool.processes():
            self._employ(process)

    async def close(self) -> None:
        """Show nothing more. The processes go on."""
        self._pool.unsubscribe(self)
        self._by_pid = {}
        for worker in self._workers.values():
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)
        for queue in self._queues.values():
            queue.clear()

    def waiting(self) -> Mapping[str, int]:
        """Return how many calls wait for the shadow of each deployment."""
        return {name: len(queue) for name, queue in self._queues.items()}

    # The calls of the line.

    def wants(self, pid: str, ref: PackageRef) -> bool:
        """Whether a call is to be shown: its PID is shadowed, and the version before answers it.

        Where it could not be shown anyhow, its picture need not be kept. Once its process works on it, there is time
        for one that waits.
        """
        shadowing = self._by_pid.get(pid)
        if shadowing is None or ref != shadowing.before[pid]:
            return False
        if len(queue := self._queues[shadowing.deployment]):
            asyncio.get_running_loop().call_soon(queue.give)
        if shadowing.sample < 1 and random.random() >= shadowing.sample:  # noqa: S311 - a sample, no secret
            return False
        why = self._no_place(shadowing) or ("no_room" if self._memory.is_short() else None)
        if why is not None:
            self.counts.drop(shadowing.deployment, (pid, shadowing.target), why)
        return why is None

    def hear(self, call: Ended) -> None:
        """Have an answered call wait for the shadow, unless it says nothing, or cannot wait."""
        shadowing = self._by_pid.get(call.request.pid)
        if shadowing is None or call.ref != shadowing.before[call.request.pid]:  # it began meanwhile
            return
        if call.request.arguments.phase == "pre":  # what comes before the verdict is none
            return
        counted = (call.request.pid, shadowing.target)
        before = answer_of(call.outcome)
        if before is None or not before.is_verdict:
            self.counts.add(counted, _EXCUSED)
            return
        if call.image is None or call.guide_lost:
            self.counts.drop(shadowing.deployment, counted, "no_room")
            return
        why = self._no_place(shadowing, size_of(call))
        if why is not None:
            self.counts.drop(shadowing.deployment, counted, why)
        else:
            self._queues[shadowing.deployment].put(Shown(call, before))

    def _no_place(self, shadowing: Shadowing, size: int = 0) -> Dropped | None:
        key = (shadowing.deployment, shadowing.target)
        if not any((process.key.deployment, process.key.ref) == key for process in self._workers):
            return "no_process"
        return None if self._queues[shadowing.deployment].has_room(size) else "behind"

    # The shadow processes.

    def process_ready(self, process: AlgorithmProcess) -> None:
        self._employ(process)

    def process_exited(self, process: AlgorithmProcess) -> None:
        self._dismiss(process)

    async def process_stopping(self, process: AlgorithmProcess, patience: float) -> None:
        """Have it finish the call that it has."""
        worker = self._dismiss(process)
        if worker is not None:
            await asyncio.wait([worker], timeout=patience)

    def _employ(self, process: AlgorithmProcess) -> None:
        """Have a shadow process shown what its deployment's queue has, while its version is the one to be shadowed."""
        shadowing = self._by_deployment.get(process.key.deployment)
        usable = process.failure is None and not process.draining
        if not (process.key.shadow and usable and shadowing is not None and shadowing.target == process.key.ref):
            self._dismiss(process)
        elif process not in self._workers:
            queue = self._queues[shadowing.deployment]
            self._workers[process] = asyncio.get_running_loop().create_task(self._work(process, queue))

    def _dismiss(self, process: AlgorithmProcess) -> asyncio.Task[None] | None:
        """Give a process no further call; return the worker. One that shows a call waits for its end: it is read."""
        worker = self._workers.pop(process, None)
        if worker is not None and process not in self._showing:
            worker.cancel()
        return worker

    async def _work(self, process: AlgorithmProcess, queue: MirrorQueue) -> None:
        """Show a process one call after the other until it is dismissed."""
        while process in self._workers:
            shown = await queue.take()
            self._showing.add(process)
            try:
                await self._show(process, shown)
            except Exception:
                log.exception("a picture could not be shown to %s by a defect of the controller", process.key)
            finally:
                self._showing.discard(process)
                shown.release()

    async def _show(self, process: AlgorithmProcess, shown: Shown) -> None:
        deployment, pid = process.key.deployment, shown.call.request.pid
        found: Answer | Dropped = "ended"
        try:
            found = await ask(process, shown.call)
        finally:
            shadowing = self._by_deployment.get(deployment)
            if shadowing is None or shadowing.target != process.key.ref:  # the step ended meanwhile
                found = "ended"
            if isinstance(found, str):
                self.counts.drop(deployment, (pid, process.key.ref), found)
        if isinstance(found, Answer) and shadowing is not None:
            self._compare(shadowing, shown, found)

    def _compare(self, shadowing: Shadowing, shown: Shown, after: Answer) -> None:
        pid, before = shown.call.request.pid, shown.before
        self.counts.add((pid, shadowing.target), Agreement.of(before, after, shadowing.iou))
        difference = compare(before, after, shadowing.iou)
        if after.is_verdict and not difference:
            return
        recording = self.disagreed(shown.call, after, difference)
        outcome, at = shown.call.outcome, format_timestamp(shown.call.epoch)
        request_id = outcome.request_id if isinstance(outcome, Detection) else ""
        picture = DifferingPicture(pid, request_id, recording, at, before, after, difference)
        self.counts.differs(shadowing.deployment, picture)


class _Memory:
    """Whether memory is short, as of a moment ago: it is asked with every call."""

    def __init__(self, is_short: Callable[[], bool]) -> None:
        self._ask = is_short
        self._short = False
        self._again = 0.0

    def is_short(self) -> bool:
        now = time.monotonic()
        if now >= self._again:
            self._short, self._again = self._ask(), now + _LOOK_EVERY
        return self._short
