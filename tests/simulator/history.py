"""One random history of a station: what befalls it, step by step, from a seed; and then peace, until it rests."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

from controller.model.desired import Revision
from controller.model.observed import BrokenMapping, ProcessKey
from controller.model.package import PackageRef
from controller.model.strategy import Canary, unseen_conflicts
from tests.builders import active, deployment, revision
from tests.simulator.invariants import Watch
from tests.simulator.world import PIDS, Nature, World

Given = TypeVarTuple("Given")
Result = TypeVar("Result")
VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "1.3.0")
STEPS = 20

NATURES = (
    Nature(install_fails=True),
    Nature(never_ready=True),
    Nature(errors=1.0),
    Nature(errors=0.3),
    Nature(timeouts=0.2),
    Nature(crashes=0.2),
    Nature(crashes=1.0),
    Nature(loses_heart=True),
    Nature(memory=4 << 30),
    Nature(newly_ok=0.5),
    Nature(newly_ng=0.3),
)


def _strategy(chance: random.Random) -> dict[str, Any]:
    strategy: dict[str, Any] = {
        "minHealthyTime": chance.choice(("0s", "20s")),
        "progressDeadline": chance.choice(("60s", "10m")),
        "autoPromote": chance.random() < 0.85,
        "autoRevert": chance.random() < 0.85,
    }
    if chance.random() < 0.8:
        steps: list[Any] = []
        for weight in sorted(chance.sample((0, 10, 25, 50, 75, 100), chance.randint(0, 3))):
            if chance.random() < 0.3:
                steps.append(_pictures(chance))
            steps.append({"setWeight": weight})
            if chance.random() < 0.5:
                steps.append({"pause": chance.choice(({"duration": "30s"}, {"duration": "5m"}, {}))})
        if chance.random() < 0.1:
            steps.insert(0, {"pause": {"duration": "10s"}})
        analysis = {
            "minSamples": chance.choice((1, 20)),
            "initialDelay": chance.choice(("0s", "15s")),
            "onInconclusive": chance.choice(("wait", "wait", "promote", "revert")),
        }
        strategy["canary"] = {"steps": steps, "analysis": analysis}
    return strategy


def _pictures(chance: random.Random) -> dict[str, Any]:
    if chance.random() < 0.5:
        return {"replay": {"last": chance.choice((20, 200)), "maxNewlyOK": "2%"}}
    shadow = {"weight": chance.choice((25, 100)), "duration": chance.choice(("0s", "30s", "5m")), "minSamples": 20}
    return {"shadow": {**shadow, "maxNewlyOK": chance.choice(("0.2%", "2%"))}}


def _deployment(chance: random.Random, name: str, package: str, pids: list[str]) -> dict[str, Any]:
    canary = _strategy(chance)
    if "canary" in canary and len(pids) > 1:
        canary["canary"] |= {"order": [pids[-1]], "critical": [pids[0]]}
    version = chance.choice(VERSIONS)
    spec: dict[str, Any] = {
        "pinned": {chance.choice(pids): chance.choice(VERSIONS)} if chance.random() < 0.15 else {},
        "replicas": 2 if chance.random() < 0.1 else 1,
        "suspend": chance.random() < 0.05,
        "strategy": canary,
        "health": {
            "memory": {"max": "1GiB"},
            "errorRate": {"minSamples": 5},
            "timeoutRate": {"minSamples": 5},
            "restarts": {"max": 2, "window": "1m"},
        },
        "rollbackWindow": chance.choice(("0s", "2m", "24h")),
    }
    if "canary" in canary:
        order = canary["canary"].get("order", ())
        canary["canary"]["order"] = [pid for pid in order if pid not in spec["pinned"]]
        steps = canary["canary"]["steps"]  # without those that are refused, as they show nothing
        refused = unseen_conflicts(
            Canary.model_validate({"steps": steps}).steps, len(set(pids) - spec["pinned"].keys())
        )
        for index in sorted((int(each.at[1]) for each in refused), reverse=True):
            del steps[index]
    return deployment(name, version, *pids, package=package, **spec)


def random_revision(chance: random.Random, number: int, before: Revision | None) -> Revision:
    """Return a desired tree; often the last one with other versions, sometimes with PIDs that change hands."""
    documents = [each.model_dump(mode="json", by_alias=True) for each in before.deployments] if before else []
    if documents and chance.random() < 0.7:
        document = chance.choice(documents)
        document["spec"]["package"]["version"] = chance.choice(VERSIONS)
    else:
        pids = list(PIDS)
        if chance.random() < 0.3:
            pids.remove(chance.choice(pids))
        cut = chance.choice((1, 2, 5, 5, 6)) if len(pids) > 6 else chance.randint(1, len(pids) - 1)
        documents = [
            _deployment(chance, "line", "screw", pids[:cut]),
            _deployment(chance, "cell", chance.choice(("weld", "screw")), pids[cut:]),
        ][: 1 if chance.random() < 0.1 else 2]
    return revision(*documents, id_=f"r{number}")


class History:
    """Befalls a world. `chance` decides everything, so a seed tells the whole history again."""

    def __init__(self, seed: int, world: World | None = None, *, by_hand: bool = True) -> None:
        self.watch = Watch() if world is None else world.watch
        self.world = world or World(seed, self.watch)
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.revisions = 0
        self.befall: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (30, self._time_goes_by),
            (8, self._another_revision),
            (8, self._another_nature),
            (8, self._a_verb),
            (5, self._a_kill),
            (1, self._a_reboot),
            (2, self._host_trouble),
            (1, self._a_full_disk),
            (2, self._a_process_dies),
            (1, self._the_clock_is_set),
            (1, self._recordings_come_and_go),
        ]
        if by_hand:
            self.befall.append((3, self._an_edit))

    async def run(self) -> None:
        """Let it all happen, then be kind until the station rests."""
        world = self.world
        for package in ("screw", "weld"):
            for version in VERSIONS:
                world.packages.deliver(PackageRef(package, version))
        world.bare.revision.write(random_revision(self.chance, 0, None))
        await self._live()
        weights, acts = zip(*self.befall, strict=True)
        for _ in range(STEPS):
            [act] = self.chance.choices(acts, weights)
            await act()
            for _ in range(self.chance.randint(1, 2)):
                await self._pass(self.chance.choice((0.1, 0.1, 1.0, 5.0)))
        await self._peace()

    async def _live(self) -> None:
        """Have a controller. One that cannot recover because the disk is full is started again when there is room."""
        while self.world.reconciler is None:
            await self.world.live(self.world.start_controller)
            if self.world.reconciler is None:
                self.world.disk_full = False
        self.world.take_again()

    async def _pass(self, seconds: float) -> None:
        await self.world.pass_time(seconds)
        if self.world.dead:
            await self.world.live(self._die)
        await self._live()
        await self.world.live(self.world.make_pass)

    async def _die(self) -> None:
        await self.world.kill()

    async def _time_goes_by(self) -> None:
        for _ in range(self.chance.randint(1, 4)):
            if self.chance.random() < 0.8:
                self.world.call(self.chance.choice((2, 10, 30)))
            await self._pass(self.chance.choice((0.5, 5.0, 30.0, 120.0)))
        if self.chance.random() < 0.1:
            await self._pass(86_400.0)

    async def _another_revision(self) -> None:
        self.revisions += 1
        before = self.world.desired.revision if self.world.desired else None
        self.world.bare.revision.write(random_revision(self.chance, self.revisions, before))

    async def _another_nature(self) -> None:
        ref = PackageRef(self.chance.choice(("screw", "weld")), self.chance.choice(VERSIONS))
        self.world.natures[ref] = self.chance.choice(NATURES) if self.chance.random() < 0.7 else Nature()
        self.world.log.append(f"{self.world.seconds:8.1f} {ref} is now {self.world.natures[ref]}")

    async def _a_verb(self) -> None:
        """Between two passes, when nothing is being moved."""
        reconciler = self.world.reconciler
        if reconciler is None or any(each.kind != "process" for each in reconciler.applier.in_flight):
            return
        assert self.world.desired is not None
        names = list(self.world.desired.revision.by_name)
        verb = self.chance.choice(("promote", "promote", "pause", "resume", "resume", "abort", "retry", "rollback"))
        anything = verb in {"resume", "rollback"} and self.chance.random() < 0.6
        subject = self.chance.choice(PIDS) if anything else self.chance.choice(names)
        arguments = {}
        if self.chance.random() < 0.3:
            arguments = {"promote": {"full": True}, "rollback": {"emergency": True}}.get(verb, {})
        self.watch.allowed_to_forgive = verb == "retry"

        async def operate() -> None:
            said = self.world.operate(verb, subject, **arguments)
            self.world.log.append(f"{self.world.seconds:8.1f} {verb} {subject} {arguments}: {said}")

        await self.world.live(operate)
        self.watch.allowed_to_forgive = False

    async def _a_kill(self) -> None:
        """The controller dies at one of its next writes, or right now."""
        if self.chance.random() < 0.3 or self.world.reconciler is None:
            await self.world.kill()
        else:
            self.world.fuse = self.chance.randint(1, 25)

    async def _a_reboot(self) -> None:
        await self.world.reboot()

    async def _host_trouble(self) -> None:
        self.world.host_trouble = not self.world.host_trouble

    async def _a_full_disk(self) -> None:
        self.world.disk_full = not self.world.disk_full

    async def _a_process_dies(self) -> None:
        keys: list[ProcessKey] = sorted(self.world.running)
        if keys:
            self.world.crash(self.chance.choice(keys), "signal 9")

    async def _the_clock_is_set(self) -> None:
        self.world.skew += self.chance.choice((-86_400.0, -3600.0, 3600.0, 86_400.0))

    async def _recordings_come_and_go(self) -> None:
        self.world.recorded = self.chance.choice((0, 10, 500))

    async def _an_edit(self) -> None:
        pid, installed = self.chance.choice(PIDS), sorted(self.world.packages.installations())
        if pid not in self.world.bare.active.read_all() or not installed:
            return
        ref = self.chance.choice(installed)
        self.world.edit(pid, self.chance.choice((active(ref, pid)[pid], BrokenMapping("not JSON"), None)))

    async def _peace(self) -> None:
        """With the desired state constant and no faults, passes reach a fixed point and then do nothing."""
        world = self.world
        world.host_trouble = world.disk_full = False
        world.fuse = None
        world.natures.clear()
        still = 0
        for _ in range(400):
            world.call(30)
            before = self.watch.moves
            await self._pass(self.chance.choice((1.0, 40.0, 400.0)))
            still = still + 1 if self._rests() and self.watch.moves == before else 0
            if still == 5:
                break
        assert still == 5, f"10: no rest: {self.watch.plan.actions}"
        self.watch.at_rest(world)
        await self._nothing_more()

    def _rests(self) -> bool:
        """Whether nothing is under way, to be done, or waited for that some clock will end soon."""
        reconciler, plan, now = self.world.reconciler, self.watch.plan, self.world.clock()
        rollouts = (record.rollout for record in plan.records.values())
        timers = (each.timer for each in rollouts if each is not None and each.timer is not None)
        soon = any(
            timer.since is not None and timer.since.boot == now.boot and 0 < timer.remaining(now) < 60
            for timer in timers
        )
        backs_off = any(not math.isinf(wait.until) for wait in plan.waiting)
        return reconciler is not None and not reconciler.applier.in_flight and plan.empty and not (soon or backs_off)

    async def _nothing_more(self) -> None:
        """At rest, nothing is written but what is left of a countdown, and rarely that."""
        moves, records = self.watch.moves, self.world.bare.audit.head().seq
        for _ in range(5):
            await self._pass(1.0)
        assert (self.watch.moves, self.world.bare.audit.head().seq) == (moves, records), "10: it does not rest"


class Loop(asyncio.SelectorEventLoop):
    """An event loop without threads: what is given to one is done here, in the loop's next turn."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Given], Result], *args: *Given
    ) -> asyncio.Future[Result]:
        future: asyncio.Future[Result] = self.create_future()

        def carry_out() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except BaseException as error:  # noqa: BLE001 - who waits for it is told, as by a thread
                future.set_exception(error)

        self.call_soon(carry_out)
        return future


def run(history: History) -> None:
    """Run a history on a loop of its own. What a killed controller leaves behind is no news."""
    logger = logging.getLogger("controller")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.get_loop().set_exception_handler(lambda *_: None)
            runner.run(history.run())
    finally:
        logger.setLevel(level)


def run_history(seed: int) -> Watch:
    """Run one history. A breach is raised with the seed and the end of its log."""
    history = History(seed)
    try:
        run(history)
    except BaseException as error:
        tail = "\n".join(history.world.log[-60:])
        raise AssertionError(f"seed {seed}: {error}\n{tail}") from error
    return history.watch
