"""What judging a version leaves behind: the state of its sequential tests, findings and the verdict. Data, no rules.

The rules on it stand in `rollouts/analysis/`; formulas and sources in docs/analysis.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from controller.model.comparison import Said

Outcome = Literal["pass", "fail", "inconclusive", "suspended"]
Metric = Literal[
    "samples",
    "errorRate",
    "timeoutRate",
    "latencyP95",
    "ngRate",
    "memory",
    "cpu",
    "heartbeat",
    "restarts",
    "ready",
    "escapes",
    "overkill",
    "newlyOK",
    "newlyNG",
    "replay",
    "replayErrorRate",
    "replayTimeoutRate",
]
MOST_PICTURES = 20
"""Pictures that a finding names one by one."""


@dataclass(frozen=True, slots=True)
class RateTest:
    """Whether calls fail more often than `limit` (0–1), as far as it has been looked at.

    `calls` and `failures` are those seen so far; `bets` holds, for each alternative, the log of what the bets on it
    have grown to, whichever call they started at. `slower_than` keeps what a failure meant where that is a latency
    (seconds).
    """

    limit: float
    calls: int = 0
    failures: int = 0
    bets: tuple[float, ...] = ()
    slower_than: float | None = None


class Arms(NamedTuple):
    """Verdicts about parts on both sides of a rollout: how many, and how many of them NG."""

    canary: int = 0
    canary_ng: int = 0
    stable: int = 0
    stable_ng: int = 0

    def since(self, earlier: Arms) -> Arms:
        return Arms(*(now - then for now, then in zip(self, earlier, strict=True)))

    @property
    def possible(self) -> bool:
        """Whether these can be counts at all."""
        return 0 <= self.canary_ng <= self.canary and 0 <= self.stable_ng <= self.stable


class Start(NamedTuple):
    """A moment from which the two sides are compared: its number, from 0, and the counts until then."""

    number: int
    until: Arms


@dataclass(frozen=True, slots=True)
class ChangeTest:
    """Whether the NG shares of canary and stable differ by more than `limit` (0–1), in either direction.

    The comparison is made from several `starts`, the first call and about two for each doubling of the time since, so
    that a long equal past does not hide a change: a bounded number, whatever the length.
    """

    limit: float
    arms: Arms = field(default_factory=Arms)
    starts: tuple[Start, ...] = field(default_factory=lambda: (Start(0, Arms()),))


@dataclass(frozen=True, slots=True)
class SequentialTests:
    """The tests of one rollout, by metric, and its comparison: kept with the rollout, so a restart forgives nothing."""

    rates: Mapping[str, RateTest] = field(default_factory=dict)
    change: ChangeTest | None = None

    @property
    def calls(self) -> int:
        """How many calls have been judged."""
        test = self.rates.get("errorRate")
        return test.calls if test is not None else 0


@dataclass(frozen=True, slots=True)
class PictureEvidence:
    """A picture that a finding is about: what was said of it `before`, and what the judged version says.

    `recording` is the id under which it is recorded; empty where it is not. `at` is RFC 3339 UTC.
    """

    pid: str
    request_id: str
    recording: str
    before: Said
    after: Said
    at: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What one metric says, with its numbers, and a sentence for people.

    `observed` and `limit` are in the metric's own unit (share, seconds, bytes, cores, count); `failures` of `samples`
    calls. `chance` bounds the probability that a version within the limit would ever look like this; None where no
    test was made. `where` names the PIDs that had the failures, or the processes. `progress` is how far it is on the
    way to a fail, 0 to 1. `needed` is how many samples a pass needs (0: none). `odds` are those against chance at which
    its test fails (0: no test: a count, or a fact). `pictures` are some of those that it is about, the newest first.
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
    progress: float = 0.0
    needed: int = 0
    odds: int = 0
    pictures: tuple[PictureEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict, its findings, and those about unaffected versions that made it suspended."""

    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    host: tuple[Finding, ...] = ()

    @property
    def reason(self) -> str:
        """The sentences that made the outcome, joined; empty for a pass."""
        blamed: Outcome = "fail" if self.outcome == "suspended" else self.outcome
        sentences = [each.sentence for each in self.findings if each.outcome == blamed != "pass"]
        host = [f"suspended, because the host seems to be degraded: {each.sentence}" for each in self.host]
        return "; ".join(sentences + host)
