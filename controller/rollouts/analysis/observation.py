"""What a verdict is made of: frozen facts about a version and about those that the rollout did not touch. No rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.model.analysis import Metric, SequentialTests
from controller.model.health import Health
from controller.model.tally import Tally


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of one process of a version. `cpu` is in cores, over `health.cpu.window`; None: not known yet."""

    process: str
    memory_bytes: int | None = None
    cpu: float | None = None
    breaker_open: bool = False
    never_ready: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class UnaffectedVersion:
    """A version that the rollout did not touch (another deployment's, or the stable one), judged by its own limits.

    `recent` has the calls per PID for each rate, over the window of that rate's own limit. A version that was already
    failing when the rollout started says nothing about the host: leave it out.
    """

    name: str
    health: Health
    recent: Mapping[Metric, Mapping[str, Tally]]
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """What a verdict is made of.

    `canary` and `stable` are tallies per PID on the version being rolled out and on its way back, since the rollout
    started (and `analysis.initialDelay` was over), counted on through promotion until the rollback window ends.
    `stable` is empty when no PID is left to compare with. `step_calls` are the canary's calls since the present step
    began; `tests` are those of the last look.
    """

    canary: Mapping[str, Tally]
    stable: Mapping[str, Tally] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    unaffected: tuple[UnaffectedVersion, ...] = ()
    step_calls: int = 0
    tests: SequentialTests = field(default_factory=SequentialTests)
