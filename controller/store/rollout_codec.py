"""`rollouts/<deployment>.json` and `.holds.json`: what stands in the files, and how the model's values become it.

The shapes here are the contract of the files: they keep the words of the first release (`terms`, `stages`, `ailing`,
`held_for`, `trials`, …) at the top level of a rollout, since a store outlives the controller that wrote it, and an
older one may come back to it. Keys that are not known are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import orjson

from controller.model.analysis import (
    Arms,
    ChangeTest,
    Finding,
    Metric,
    Outcome,
    PictureEvidence,
    RateTest,
    SequentialTests,
    Verdict,
)
from controller.model.analysis import Start as ComparisonStart
from controller.model.comparison import Agreement
from controller.model.package import PackageRef
from controller.model.rollout import (
    AnalysisState,
    Countdown,
    Hold,
    Instant,
    PinnedStrategy,
    Proven,
    Quarantine,
    RestartRequest,
    Rollout,
    RolloutRecord,
    State,
    Step,
)
from controller.model.tally import Tally
from controller.store.tally_store import plain_tally

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_OUTCOMES: dict[Outcome, str] = {"suspended": "hold"}
"""What an outcome is called in the files, where that is another word."""
_LATER = ("progress", "needed", "odds", "pictures")
"""What the first release did not know of a finding."""
_MEANINGS: dict[str, Outcome] = {word: outcome for outcome, word in _OUTCOMES.items()}


# --- the shapes of the files


@dataclass(frozen=True, slots=True)
class _Terms:
    stages: tuple[Step, ...]
    sequence: tuple[str, ...]
    min_healthy_time: float
    progress_deadline: float
    auto_revert: bool
    on_inconclusive: Literal["wait", "promote", "revert"]
    rollback_window: float
    initial_delay: float = 0.0
    min_samples: int | None = None


@dataclass(frozen=True, slots=True)
class _Change:
    limit: float
    arms: tuple[int, int, int, int]
    starts: tuple[tuple[int, int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Trials:
    rates: dict[str, RateTest] = field(default_factory=dict)
    change: _Change | None = None


@dataclass(frozen=True, slots=True)
class _Finding:
    metric: Metric
    outcome: str
    sentence: str
    observed: int | float | None = None
    limit: int | float | None = None
    samples: int = 0
    failures: int = 0
    chance: float | None = None
    where: tuple[str, ...] = ()
    progress: float = 0.0
    needed: int = 0
    odds: int = 0
    pictures: tuple[PictureEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class _Verdict:
    outcome: str = ""
    reason: str = ""
    findings: tuple[_Finding, ...] = ()
    host: tuple[_Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rollout:
    deployment: str
    target: PackageRef
    digest: str
    terms: _Terms
    stable: dict[str, PackageRef]
    state: State
    started_at: str
    began: Instant
    stage: int = -1
    timer: Countdown | None = None
    progress: Countdown = field(default_factory=lambda: Countdown(0.0))
    moved: int = 0
    back: dict[str, PackageRef] = field(default_factory=dict)
    paused_by: str = ""
    held_for: str = ""
    aborted: str = ""
    full: bool = False
    reason: str = ""
    emergency: bool = False
    ailing: tuple[str, ...] = ()
    troubled: bool = False
    shadow_baseline: dict[str, Agreement] | None = None
    pictures_before: int | None = 0
    replayed_again: int = 0
    delay: Countdown | None = None
    baseline: dict[str, Tally] | None = None
    stable_baseline: dict[str, Tally] = field(default_factory=dict)
    step_calls: int | None = None
    trials: _Trials = field(default_factory=_Trials)
    verdict: _Verdict = field(default_factory=_Verdict)


@dataclass(frozen=True, slots=True)
class _Record:
    rollout: _Rollout | None = None
    quarantine: tuple[Quarantine, ...] = ()
    proven: tuple[Proven, ...] = ()
    restart: RestartRequest | None = None


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - only who reads or writes rollouts pays for pydantic

    return TypeAdapter(shape)


def _written(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


# --- what the store calls


def write_record(record: RolloutRecord) -> bytes:
    """Return the content of `rollouts/<deployment>.json`."""
    return _written(record_document(record))


def record_document(record: RolloutRecord) -> dict[str, Any]:
    """Return the same as a JSON value, for who shows it."""
    rollout = record.rollout
    document: dict[str, Any] = {
        "rollout": _rollout_document(rollout) if rollout is not None else None,
        "quarantine": [asdict(each) for each in record.quarantine],
    }
    if record.proven:
        document["proven"] = [asdict(each) for each in record.proven]
    if record.restart is not None:
        document["restart"] = asdict(record.restart)
    return document


def read_record(content: bytes) -> RolloutRecord:
    """Return the record that a file holds. Raises ValueError where it is none."""
    found: _Record = _adapter(_Record).validate_python(orjson.loads(content))
    rollout = _rollout(found.rollout) if found.rollout is not None else None
    return RolloutRecord(rollout, found.quarantine, found.proven, found.restart)


def write_holds(holds: Iterable[Hold]) -> bytes:
    """Return the content of `rollouts/.holds.json`."""
    return _written([_hold_document(hold) for hold in sorted(holds, key=lambda hold: hold.pid)])


def _hold_document(hold: Hold) -> dict[str, Any]:
    document = asdict(hold)
    if not hold.deployment:  # the first release knew none
        del document["deployment"]
    return document


def read_holds(content: bytes) -> tuple[Hold, ...]:
    """Return the holds that a file holds. Raises ValueError where it is none of them."""
    found: tuple[Hold, ...] = _adapter(tuple[Hold, ...]).validate_python(orjson.loads(content))
    return found


# --- from the model to the files


def _rollout_document(rollout: Rollout) -> dict[str, Any]:
    strategy, analysis = asdict(rollout.strategy), rollout.analysis
    return {
        "deployment": rollout.deployment,
        "target": asdict(rollout.target),
        "digest": rollout.digest,
        "terms": {"stages": [_step_document(each) for each in strategy.pop("steps")], **strategy},
        "stable": {pid: asdict(ref) for pid, ref in rollout.stable.items()},
        "state": rollout.state,
        "started_at": rollout.started_at,
        "began": asdict(rollout.began),
        "stage": rollout.step,
        "timer": rollout.timer and asdict(rollout.timer),
        "progress": asdict(rollout.progress),
        "moved": rollout.moved,
        "back": {pid: asdict(ref) for pid, ref in rollout.back.items()},
        "paused_by": rollout.paused_by,
        "held_for": rollout.suspended_because,
        "aborted": rollout.aborted,
        "full": rollout.full,
        "reason": rollout.reason,
        "emergency": rollout.emergency,
        "ailing": analysis.already_failing,
        "troubled": analysis.host_degraded,
        "delay": analysis.delay and asdict(analysis.delay),
        "baseline": None if analysis.baseline is None else _tally_documents(analysis.baseline),
        "stable_baseline": _tally_documents(analysis.stable_baseline),
        "step_calls": analysis.step_calls,
        "trials": _trials_document(analysis.tests),
        "verdict": _verdict_document(analysis.verdict) if analysis.verdict is not None else {},
        **_pictures_document(analysis),
    }


def _step_document(step: dict[str, Any]) -> dict[str, Any]:
    """Return a step; one without pictures as the first release wrote it."""
    return {name: value for name, value in step.items() if name != "pictures" or value is not None}


def _pictures_document(analysis: AnalysisState) -> dict[str, Any]:
    """Return what is counted of pictures, where the rollout has come to any."""
    baseline = analysis.shadow_baseline
    document: dict[str, Any] = {}
    if baseline is not None:
        document["shadow_baseline"] = {pid: counts.to_document() for pid, counts in baseline.items()}
    if analysis.pictures_before != 0:
        document["pictures_before"] = analysis.pictures_before
    if analysis.replayed_again:
        document["replayed_again"] = analysis.replayed_again
    return document


def _tally_documents(tallies: Any) -> dict[str, Any]:
    return {pid: plain_tally(tally) for pid, tally in tallies.items()}


def _trials_document(tests: SequentialTests) -> dict[str, Any]:
    if tests == SequentialTests():
        return {}
    rates = {metric: asdict(test) for metric, test in tests.rates.items()}
    return {"rates": rates, "change": _change_document(tests.change) if tests.change is not None else None}


def _change_document(test: ChangeTest) -> dict[str, Any]:
    starts = [[start.number, *start.until] for start in test.starts]
    return {"limit": test.limit, "arms": list(test.arms), "starts": starts}


def _verdict_document(verdict: Verdict) -> dict[str, Any]:
    return {
        "outcome": _OUTCOMES.get(verdict.outcome, verdict.outcome),
        "reason": verdict.reason,
        "findings": [_finding_document(each) for each in verdict.findings],
        "host": [_finding_document(each) for each in verdict.host],
    }


def _finding_document(finding: Finding) -> dict[str, Any]:
    document = asdict(finding)
    unsaid = {name for name in _LATER if not document[name]}
    return {name: value for name, value in document.items() if name not in unsaid}


# --- from the files to the model


def _rollout(found: _Rollout) -> Rollout:
    return Rollout(
        deployment=found.deployment,
        target=found.target,
        digest=found.digest,
        strategy=_strategy(found.terms),
        stable=found.stable,
        state=found.state,
        started_at=found.started_at,
        began=found.began,
        step=found.stage,
        timer=found.timer,
        progress=found.progress,
        moved=found.moved,
        back=found.back,
        paused_by=found.paused_by,
        suspended_because=found.held_for,
        aborted=found.aborted,
        full=found.full,
        reason=found.reason,
        emergency=found.emergency,
        analysis=AnalysisState(
            delay=found.delay,
            baseline=found.baseline,
            stable_baseline=found.stable_baseline,
            step_calls=found.step_calls,
            tests=_tests(found.trials),
            already_failing=found.ailing,
            host_degraded=found.troubled,
            verdict=_verdict(found.verdict) if found.verdict.outcome else None,
            shadow_baseline=found.shadow_baseline,
            pictures_before=found.pictures_before,
            replayed_again=found.replayed_again,
        ),
    )


def _strategy(terms: _Terms) -> PinnedStrategy:
    return PinnedStrategy(
        terms.stages, terms.sequence, terms.min_healthy_time, terms.progress_deadline, terms.auto_revert,
        terms.on_inconclusive, terms.rollback_window, terms.initial_delay, terms.min_samples,
    )  # fmt: skip


def _tests(trials: _Trials) -> SequentialTests:
    return SequentialTests(trials.rates, _change(trials.change) if trials.change is not None else None)


def _change(change: _Change) -> ChangeTest:
    if not change.starts:
        raise ValueError("a comparison has at least its first start")
    starts = tuple(ComparisonStart(number, Arms(*until)) for number, *until in change.starts)
    return ChangeTest(change.limit, Arms(*change.arms), starts)


def _verdict(found: _Verdict) -> Verdict:
    return Verdict(_outcome(found.outcome), _findings(found.findings), _findings(found.host))


def _findings(found: Iterable[_Finding]) -> tuple[Finding, ...]:
    return tuple(
        Finding(
            each.metric, _outcome(each.outcome), each.sentence, each.observed, each.limit, each.samples, each.failures,
            each.chance, each.where, each.progress, each.needed, each.odds, each.pictures,
        )
        for each in found
    )  # fmt: skip


def _outcome(word: str) -> Outcome:
    outcome: Outcome = _adapter(Outcome).validate_python(_MEANINGS.get(word, word))
    return outcome
