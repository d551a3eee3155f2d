"""Replays of a simulated station: what a version does wrong on a picture is its nature. They survive controllers."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from controller.model.actions import Replay
from controller.model.comparison import Agreement
from controller.model.replay import ReplayKey, ReplayReport
from controller.processes.spec import ProcessSpec

if TYPE_CHECKING:
    from tests.simulator.world import Nature, World

_AT_ONCE = 25
"""Pictures that are shown before what came of them is durable."""


@dataclass
class SimReplays:
    """The pictures of a world: the port through which a controller has them shown to a version."""

    world: World
    wanted: set[ReplayKey] = field(default_factory=set)

    async def run(self, action: Replay, spec: ProcessSpec, memory_max: int | None) -> None:
        world, key = self.world, action.key
        world.tick(f"replay {key.deployment}")
        self.wanted.add(key)
        pictures = min(action.last, world.recorded)
        report = world.replays.get(key.deployment)
        if report is None or report.key != key:
            report = world.replays[key.deployment] = ReplayReport(key, pictures)
        while not report.done and key in self.wanted:
            await world.sleep(1.0)
            count = min(_AT_ONCE, pictures - report.shown)
            came = Agreement()
            for _ in range(count):
                came += shown(world.nature(key.target), world.random)
            world.tick(f"replay {key.deployment} {report.shown + count}")
            report = replace(report, agreement=report.agreement + came)
            report = world.replays[key.deployment] = replace(report, done=report.shown == pictures)

    def keep(self, wanted: Collection[ReplayKey], deployments: Collection[str]) -> None:
        self.wanted.intersection_update(wanted)
        for name in self.world.replays.keys() - set(deployments):
            del self.world.replays[name]

    def reports(self) -> Mapping[str, ReplayReport]:
        return dict(self.world.replays)


def shown(nature: Nature, chance: random.Random) -> Agreement:
    """Return what a version comes to on one picture that the version before called OK or NG."""
    drawn = chance.random()
    was_ng = chance.random() < 0.3
    if drawn < nature.errors or drawn < nature.crashes:
        return Agreement(errors=1)
    if drawn < nature.timeouts:
        return Agreement(timeouts=1)
    if was_ng:
        return Agreement(ng_ok=1, newly_ok=1) if drawn < nature.newly_ok else Agreement(ng_ng=1)
    return Agreement(ok_ng=1, newly_ng=1) if drawn < nature.newly_ng else Agreement(ok_ok=1)
