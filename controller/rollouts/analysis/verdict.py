"""What a health verdict is made of and what it says: frozen inputs and outputs of `planning.analysis`, no rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from controller.model.health import Health
from controller.model.tally import Tally
from controller.rollouts.analysis.sequential import ChangeTest, RateTest

Outcome = Literal["pass", "fail", "inconclusive", "suspended"]
Metric = Literal[
    "samples", "errorRate", "timeoutRate", "latencyP95", "ngRate", "memory", "cpu", "heartbeat", "restarts", "ready"
]


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

    `tallies` are per PID, over the last `health.errorRate.window`. A version that was already failing when the rollout
    started says nothing about the host: leave it out.
    """

    name: str
    health: Health
    tallies: Mapping[str, Tally]
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class AnalysisState:
    """The sequential tests of one rollout: to be stored with its tallies, so that a restart forgives nothing."""

    rates: Mapping[str, RateTest] = field(default_factory=dict)
    change: ChangeTest | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form that `from_document` reads back."""
        rates = {metric: test.to_document() for metric, test in self.rates.items()}
        return {"rates": rates, "change": self.change.to_document() if self.change else None}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError if the document is not such tests."""
        rates = {metric: RateTest.from_document(test) for metric, test in document["rates"].items()}
        return cls(rates, ChangeTest.from_document(document["change"]) if document["change"] else None)


@dataclass(frozen=True, slots=True)
class Observation:
    """What a verdict is made of.

    `canary` and `stable` are tallies per PID on the version being rolled out and on its way back, since the rollout
    started (and `analysis.initialDelay` was over), counted on through promotion until the rollback window ends.
    `stable` is empty when no PID is left to compare with. `step_calls` are the canary's calls since the present step
    began; `analysis_state` is what the last verdict returned.
    """

    canary: Mapping[str, Tally]
    stable: Mapping[str, Tally] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    unaffected: tuple[UnaffectedVersion, ...] = ()
    step_calls: int = 0
    analysis_state: AnalysisState = field(default_factory=AnalysisState)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one metric says, with its numbers, and a sentence for people.

    `observed` and `limit` are in the metric's own unit (share, seconds, bytes, cores, count); `failures` of `samples`
    calls. `chance` bounds the probability that a version within the limit would ever look like this; None where no
    test was made. `where` names the PIDs that had the failures, or the processes.
    """

    metric: Metric
    outcome: Outcome
    sentence: str
    observed: float | None = None
    limit: float | None = None
    samples: int = 0
    failures: int = 0
    chance: float | None = None
    where: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict, its findings, those about unaffected that made it a hold, and the analysis_state to go on with."""

    outcome: Outcome
    findings: tuple[Finding, ...]
    host: tuple[Finding, ...]
    analysis_state: AnalysisState

    @property
    def reason(self) -> str:
        """The sentences that made the outcome, joined; empty for a pass."""
        blamed: Outcome = "fail" if self.outcome == "suspended" else self.outcome
        sentences = [each.sentence for each in self.findings if each.outcome == blamed != "pass"]
        held = [f"held, because the host seems to be in trouble: {each.sentence}" for each in self.host]
        return "; ".join(sentences + held)

    def to_document(self) -> dict[str, Any]:
        """Return what a status, an audit record or an event shows."""
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "findings": [asdict(each) for each in self.findings],
            "host": [asdict(each) for each in self.host],
        }
