"""What a verdict is made of: frozen facts about a version and about those that the rollout did not touch. No rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.model.analysis import Metric, SequentialTests
from controller.model.comparison import Agreement
from controller.model.health import Health
from controller.model.replay import DifferingPicture, ReplayReport
from controller.model.rollout import PictureTerms
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
class Replayed:
    """A replay step: its terms, how many pictures must be comparable, and what it came to; None: not begun yet."""

    terms: PictureTerms
    needed: int
    report: ReplayReport | None = None

    @property
    def done(self) -> bool:
        return self.report is not None and self.report.done


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What shadow steps showed: the counts of all of them per PID, and some pictures on which the answers differ.

    `terms` are those of the present shadow step, else of the last one, and `compared` the pictures that were compared
    in it; None: it is over.
    """

    terms: PictureTerms
    agreements: Mapping[str, Agreement]
    compared: int | None = None
    differing: tuple[DifferingPicture, ...] = ()

    @property
    def total(self) -> Agreement:
        return sum(self.agreements.values(), Agreement())


@dataclass(frozen=True, slots=True)
class Observation:
    """What a verdict is made of.

    `canary` and `stable` are tallies per PID on the version being rolled out and on its way back, since the rollout
    started (and `analysis.initialDelay` was over), counted on through promotion until the rollback window ends.
    `stable` is empty when no PID is left to compare with. `step_calls` are the canary's calls since the present step
    began; `tests` are those of the last look. The calls of `canary` are those of the line and, as errors and timeouts
    only, those of a shadow. `replayed` is set in a replay step, `shadowed` from the first shadow step on, and
    `picture_tests` are the tests that the rollout's shadow steps add.
    """

    canary: Mapping[str, Tally]
    stable: Mapping[str, Tally] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    unaffected: tuple[UnaffectedVersion, ...] = ()
    step_calls: int = 0
    tests: SequentialTests = field(default_factory=SequentialTests)
    replayed: Replayed | None = None
    shadowed: Shadowed | None = None
    picture_tests: int = 0
