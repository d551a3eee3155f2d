"""What is remembered of a rollout across passes, restarts and reboots. Frozen; `store/rollout_codec.py` writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from controller.model.analysis import SequentialTests, Verdict
from controller.model.comparison import Agreement
from controller.model.package import PackageRef
from controller.model.tally import Tally

State = Literal[
    "stepping", "baking", "paused", "waiting", "sampling", "replaying", "shadowing", "promoted", "completed",
    "reverting", "reverted", "stopped",
]  # fmt: skip
STANDING: frozenset[State] = frozenset({"paused", "waiting", "sampling"})
"""States in which nothing goes on but time, or calls."""
BY_PICTURES: frozenset[State] = frozenset({"replaying", "shadowing"})
"""States in which the target sees pictures beside the line; what moves no PID is no lack of progress."""
HOLDS = ".holds"
"""The name of the holds among what is remembered; no deployment is called so."""
MOST_QUARANTINED = 200
"""Artefacts that a deployment keeps in quarantine."""
NOTED_EVERY = 10.0
"""Seconds of a countdown that a reboot may give back; of a long one, a twentieth of what is left."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment of the boot-time clock: which boot, and seconds since it. Clock steps do not move it.

    `epoch` is what the wall clock said then (seconds since 1970): for people, never for reckoning.
    """

    boot: str
    seconds: float
    epoch: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Countdown:
    """Time that is left, in seconds; it runs while `since` is set.

    Within a boot it is exact. Across boots it goes on with what was left when it was last noted, since no clock
    counts the time between.
    """

    left: float
    since: Instant | None = None

    def remaining(self, now: Instant) -> float:
        if self.since is None or self.since.boot != now.boot:
            return self.left
        return max(0.0, self.left - (now.seconds - self.since.seconds))

    def over(self, now: Instant) -> bool:
        return self.remaining(now) <= 0.0

    def run(self, now: Instant) -> Countdown:
        """Return it running, what is left noted as of now."""
        return Countdown(self.remaining(now), now)

    def stop(self, now: Instant) -> Countdown:
        """Return it standing still."""
        return Countdown(self.remaining(now), None)

    def noted(self, now: Instant) -> Countdown:
        """Return it as it is to be kept on disk: rarely another value, so that waiting rewrites no file."""
        if self.since is None or self.left <= 0.0:
            return self
        recent = now.seconds - self.since.seconds < max(NOTED_EVERY, self.left / 20)
        return self if self.since.boot == now.boot and recent else self.run(now)


@dataclass(frozen=True, slots=True)
class PictureTerms:
    """Which pictures a step shows to the target, and how much it may say otherwise of them than was said before.

    The largest shares (0–1) of the compared pictures that may be newly OK and newly NG; `iou` None: the verdicts alone
    are compared. A replay takes the `last` recorded pictures. A shadow takes the share `sample` of the calls for
    `duration` (s) at least, until `min_samples` pictures are compared.
    """

    max_newly_ok: float
    max_newly_ng: float
    iou: float | None = None
    last: int = 0
    duration: float = 0.0
    min_samples: int = 1
    sample: float = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a rollout as pinned at its start: a weight in percent, a pause (None: until promoted), or pictures.

    The `weight` of a shadow is the percent of the PIDs whose pictures it gets; it moves none.
    """

    kind: Literal["weight", "pause", "replay", "shadow"]
    weight: int = 0
    pause: float | None = None
    pictures: PictureTerms | None = None

    def __str__(self) -> str:
        if self.pictures is not None and self.kind == "replay":
            return f"replay of the last {self.pictures.last:,}"
        if self.pictures is not None:
            from controller.model.units import format_duration  # noqa: PLC0415 - it loads pydantic

            return f"shadow {self.weight} % for {format_duration(self.pictures.duration)}"
        if self.kind == "weight":
            return f"setWeight {self.weight}"
        return "pause until promoted" if self.pause is None else f"pause {self.pause:g}s"


@dataclass(frozen=True, slots=True)
class PinnedStrategy:
    """The strategy as it was when the rollout started; later edits of it are for the next rollout."""

    steps: tuple[Step, ...]
    sequence: tuple[str, ...]
    min_healthy_time: float
    progress_deadline: float
    auto_revert: bool
    on_inconclusive: Literal["wait", "promote", "revert"]
    rollback_window: float
    initial_delay: float = 0.0
    min_samples: int | None = None

    @property
    def shadows(self) -> tuple[PictureTerms, ...]:
        """The terms of the shadow steps, in their order."""
        return tuple(each.pictures for each in self.steps if each.kind == "shadow" and each.pictures is not None)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """An artefact that failed in a deployment: not tried again until `pvctl retry`."""

    package: PackageRef
    digest: str
    at: str
    reason: str


@dataclass(frozen=True, slots=True)
class Proven:
    """An artefact that has answered a call: it is known to work, however long ago that was."""

    package: PackageRef
    digest: str


@dataclass(frozen=True, slots=True)
class AnalysisState:
    """How far the judging of a rollout's target has come.

    `baseline` and `stable_baseline` are the tallies per PID from which calls count (None: `delay`, the analysis's
    initial one, is not over yet), `step_calls` the canary's calls when the present weight was entered (None: just
    now), `tests` the sequential tests so far. `shadow_baseline` are the counts per PID from which the pictures of its
    shadow steps count (None: no shadow step was entered), `pictures_before` how many of these were compared when the
    present replay or shadow step was entered (None: just now), `replayed_again` how often an operator had a replay
    begun anew. `already_failing` names the unaffected versions that
    failed before the rollout began, `host_degraded` says that the host was degraded when it was judged last, and
    `verdict` is the one that the rollout failed with.
    """

    delay: Countdown | None = None
    baseline: Mapping[str, Tally] | None = None
    stable_baseline: Mapping[str, Tally] = field(default_factory=dict)
    step_calls: int | None = None
    tests: SequentialTests = field(default_factory=SequentialTests)
    already_failing: tuple[str, ...] = ()
    host_degraded: bool = False
    verdict: Verdict | None = None
    shadow_baseline: Mapping[str, Agreement] | None = None
    pictures_before: int | None = 0
    replayed_again: int = 0

    def entering_a_step(self) -> AnalysisState:
        """Return it as it is when the weight has just risen: the step's own calls count from here."""
        return replace(self, step_calls=None)

    def entering_pictures(self) -> AnalysisState:
        """Return it as it is when a replay or shadow step was just entered: its own pictures count from here."""
        return replace(self, pictures_before=None)

    def anew(self) -> AnalysisState:
        """Return it as it is when everything is to be counted from now, such as once a degraded host is well again."""
        return replace(
            self, delay=Countdown(0.0), baseline=None, step_calls=None, tests=SequentialTests(), shadow_baseline=None,
            pictures_before=None,
        )  # fmt: skip

    def completed(self) -> AnalysisState:
        """Return it without what only judging needed."""
        return replace(
            self, baseline={}, stable_baseline={}, tests=SequentialTests(), already_failing=(), shadow_baseline=None,
            pictures_before=0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rollout:
    """The way of one artefact through a deployment's steps.

    `stable` is each PID's version at the start and `back` where it goes when the rollout is rolled back. `step` is the
    index of the present step; `timer` that of the bake, the pause or the rollback window; `progress` what is left of
    the progress deadline and `moved` how many PIDs are on the target. `paused_by` and `suspended_because` say who or
    what stands in its way; `aborted` who rolled it back and why; `full` that an operator wants no further pause.
    `reason` says why it failed, `emergency` that the target answered nothing any more.
    """

    deployment: str
    target: PackageRef
    digest: str
    strategy: PinnedStrategy
    stable: Mapping[str, PackageRef]
    state: State
    started_at: str
    began: Instant
    step: int = -1
    timer: Countdown | None = None
    progress: Countdown = Countdown(0.0)
    moved: int = 0
    back: Mapping[str, PackageRef] = field(default_factory=dict)
    paused_by: str = ""
    suspended_because: str = ""
    aborted: str = ""
    full: bool = False
    reason: str = ""
    emergency: bool = False
    analysis: AnalysisState = field(default_factory=AnalysisState)

    @property
    def weight(self) -> int:
        """The weight that is wanted now: that of the last weight step reached; 100 once promoted."""
        if self.state in {"promoted", "completed"}:
            return 100
        reached = [step.weight for step in self.strategy.steps[: self.step + 1] if step.kind == "weight"]
        return reached[-1] if reached else 0

    @property
    def usual_stable(self) -> PackageRef | None:
        """The version that most PIDs had before the target: where PIDs that came later go, having none of their own."""
        return _most_common(ref for ref in self.stable.values() if ref != self.target)

    @property
    def usual_back(self) -> PackageRef | None:
        """The version that most PIDs went back to: what PIDs that come after a failure get."""
        return _most_common(ref for ref in self.back.values() if ref != self.target) or self.usual_stable

    @property
    def under_way(self) -> bool:
        return self.state in {"stepping", "baking"} or self.state in STANDING or self.state in BY_PICTURES

    @property
    def present_step(self) -> Step | None:
        """The step that it is in, while it is under way."""
        return self.strategy.steps[self.step] if self.under_way and self.step >= 0 else None

    @property
    def failed(self) -> bool:
        return self.state in {"reverting", "reverted", "stopped"}


def _most_common(refs: Iterable[PackageRef]) -> PackageRef | None:
    usual = Counter(refs).most_common(1)
    return usual[0][0] if usual else None


@dataclass(frozen=True, slots=True)
class Hold:
    """An operator's decision on a PID that outranks the desired state until `pvctl resume`.

    `emergency`: what answers now is of no use, so the PID moves before the held version's process is ready.
    `deployment` is the one that was rolled back as a whole by it, PIDs that come later included; empty: only this PID.
    """

    pid: str
    package: PackageRef
    actor: str
    at: str
    reason: str
    emergency: bool = False
    deployment: str = ""


@dataclass(frozen=True, slots=True)
class RestartRequest:
    """What an operator wants to be restarted: the processes that ran then, each by its name and when it was started.

    A successor has another time, so nothing is restarted twice, and no clock is compared with another.
    """

    actor: str
    reason: str
    processes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """All that is remembered of one deployment: its latest rollout, its quarantine, what is proven or restarted."""

    rollout: Rollout | None = None
    quarantine: tuple[Quarantine, ...] = ()
    proven: tuple[Proven, ...] = ()
    restart: RestartRequest | None = None

    def quarantined(self, package: PackageRef, digest: str | None) -> Quarantine | None:
        """Return the quarantine of an artefact; with no digest known, of any artefact of that version."""
        for each in self.quarantine:
            if each.package == package and (digest is None or each.digest == digest):
                return each
        return None

    def with_quarantine(self, entry: Quarantine) -> RolloutRecord:
        """Return the record with one artefact more in quarantine; of very many, the newest stay."""
        return replace(self, quarantine=(*self.quarantine, entry)[-MOST_QUARANTINED:])

    def without_quarantine(self, package: PackageRef) -> RolloutRecord:
        """Return the record with every artefact of that version given another chance."""
        return replace(self, quarantine=tuple(each for each in self.quarantine if each.package != package))

    def with_rollout(self, rollout: Rollout | None) -> RolloutRecord:
        return replace(self, rollout=rollout)


@dataclass(frozen=True, slots=True)
class Memory:
    """All that a store remembers of rollouts: the records by deployment, and the holds by PID.

    `restored` and `lost` say what is wrong with the file of a deployment, or of the `HOLDS`: what that told is known
    from its copy, or not known at all.
    """

    records: Mapping[str, RolloutRecord] = field(default_factory=dict)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    restored: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
