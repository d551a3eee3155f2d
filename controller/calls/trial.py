"""Whose doing a failure was: a call that failed on a version that is judged is tried on the stable one, too.

What fails there as well is the input's doing (a parameter of the wrong kind, a picture of another part), and is not
held against the version.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from controller.calls.detection import CallPlan, call, plan_call, share
from controller.calls.pictures import Images
from controller.calls.request import DetectionRequest
from controller.client.answers import Detection
from controller.errors import CallError
from controller.model.input import PictureInput
from controller.model.package import PackageRef
from controller.model.rollout import Rollout
from controller.model.tally import Kind, classify, classify_result
from controller.processes.process import AlgorithmProcess

_PATIENCE = 5.0
"""Seconds that a call which failed may take longer for its trial, half of what its caller still waits at most: told at
the very end of that, the caller would hear of its own timeout instead of the failure."""


def is_worth_a_trial(outcome: Detection | CallError, process: AlgorithmProcess) -> bool:
    """Whether a call failed in a way that harms no process: what crashed or hung one must not do so to another."""
    if isinstance(outcome, CallError):
        left_early = outcome.details.get("caller_timeout")
        return classify(outcome.code) is Kind.error and process.failure is None and not left_early
    return classify_result(outcome.status, outcome.data.get("result_status")) is Kind.error


class Trials:
    """What is judged, and against what; trials of one deployment come one after the other."""

    def __init__(self) -> None:
        self._judged: Mapping[str, Rollout] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    def judge(self, rollouts: Mapping[str, Rollout]) -> None:
        """Take the rollouts whose targets are judged from now on, by their deployments."""
        self._judged = dict(rollouts)
        self._turns = {name: self._turns.get(name) or asyncio.Lock() for name in rollouts}

    def stable(self, deployment: str, ref: PackageRef, pid: str) -> PackageRef | None:
        """Return the version that `ref` is judged against; None where it is not judged."""
        rollout = self._judged.get(deployment)
        if rollout is None or rollout.target != ref:
            return None
        return rollout.stable.get(pid) or rollout.usual_stable

    async def fails_too(
        self, process: AlgorithmProcess, request: DetectionRequest, images: Images, wanted: PictureInput, leave: float
    ) -> bool:
        """Whether a call fails on this process as well; false also where that cannot be told in time."""
        now = time.monotonic()
        leave = now + min((leave - now) / 2, _PATIENCE)
        with suppress(TimeoutError, CallError):  # it is busy, or of no use, or has no such phase: nothing is known
            plan = plan_call(process, request, leave)
            turn = _in_turn(self._turns.get(process.key.deployment), plan)
            async with turn, process.exclusively(plan.left(time.monotonic())):
                return await _fails(process, request, images, wanted, plan)
        return False


@asynccontextmanager
async def _in_turn(turn: asyncio.Lock | None, plan: CallPlan) -> AsyncIterator[None]:
    """Hold a turn, if there is one, waiting for it no longer than the caller does. Raises TimeoutError."""
    if turn is None:
        yield
        return
    async with asyncio.timeout(plan.left(time.monotonic())):
        await turn.acquire()
    try:
        yield
    finally:
        turn.release()


async def _fails(
    process: AlgorithmProcess, request: DetectionRequest, images: Images, wanted: PictureInput, plan: CallPlan
) -> bool:
    shared = share(process, images, request, wanted)
    try:
        outcome: Detection | CallError = await call(process, request, plan, shared)
    except CallError as error:
        outcome = error
    return is_worth_a_trial(outcome, process)
