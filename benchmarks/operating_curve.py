"""Operating curve of the health verdicts, by simulation with a fixed seed: `python -m benchmarks.operating_curve`.

Prints the tables that docs/analysis.md shows. `RateTest` is simulated for thousands of rollouts at once with numpy,
from its own bets and thresholds; tests/rollouts/test_rates.py checks that both give the same numbers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.model.analysis import Arms, ChangeTest
from controller.model.intervals import at_least
from controller.rollouts.analysis.comparison import advance_change, change_evidence
from controller.rollouts.analysis.rates import FALSE_REVERTS, FROM_START, alternatives, later_share, threshold

Floats = npt.NDArray[np.float64]

METRICS = 2  # errorRate and timeoutRate: what is judged when nothing else is configured
SEED = 20240501
LIMITS = (0.01, 0.05, 0.20)
RATIOS = (0.5, 1, 1.5, 2, 3, 4)
PICTURE_LIMITS = (0.002, 0.02)  # maxNewlyOK and maxNewlyNG where nothing else is said
PICTURE_RATIOS = (0.1, 0.5, 1, 1.5, 2, 3, 5, 10)
SHADOWED = METRICS + 2
NEVER = math.inf


class RateRuns:
    """Many rollouts under one `RateTest` each, with a look after every call."""

    def __init__(self, limit: float, runs: int, *, from_start: float = FROM_START) -> None:
        self._weights = np.log([each.weight for each in alternatives(limit)])
        rates = np.array([each.rate for each in alternatives(limit)])
        with np.errstate(divide="ignore"):
            self._failed, self._went_well = np.log(rates / limit), np.log((1 - rates) / (1 - limit))
        self._bets = np.full((runs, len(rates)), math.log(from_start))
        self._restarts, self._calls = from_start < 1, 0

    def call(self, failed: npt.NDArray[np.bool_]) -> Floats:
        """Return the log evidence of each rollout after its next call."""
        self._bets = self._bets + np.where(failed[:, None], self._failed, self._went_well)
        if self._restarts:
            late = math.log(later_share(self._calls, self._calls + 1))
            self._bets = np.logaddexp(self._bets, late)
        self._calls += 1
        return np.asarray(np.logaddexp.reduce(self._bets + self._weights, axis=1))


def calls_to_revert(
    runs: RateRuns, count: int, rates: Iterable[float], needed: float, rng: np.random.Generator
) -> Floats:
    """Return the call at which each of `count` rollouts is reverted; infinity: not within these calls."""
    reverted = np.full(count, NEVER)
    for calls, rate in enumerate(rates, 1):
        evidence = runs.call(rng.random(count) < rate)
        reverted[(evidence >= needed) & np.isinf(reverted)] = calls
        if calls % 256 == 0 and not np.isinf(reverted).any():
            break
    return reverted


def wald(limit: float, rate: float, needed: float, horizon: int, rng: np.random.Generator) -> Floats:
    """Return the calls until Wald's test of `limit` against twice the limit decides for the latter, or infinity.

    Its errors of the first kind are exp(-needed), those of the second kind 1 %.
    """
    upper, lower = needed + math.log(0.99), math.log(0.01 / (1 - math.exp(-needed)))
    failed, well = math.log(2), math.log((1 - 2 * limit) / (1 - limit))
    walks = np.cumsum(np.where(rng.random((1000, horizon)) < rate, failed, well), axis=1)
    up, down = _first(walks >= upper), _first(walks <= lower)
    return np.where(up < down, up, NEVER)


def _first(hits: npt.NDArray[np.bool_]) -> Floats:
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1.0, NEVER)


def rate_curve(rng: np.random.Generator) -> None:
    """Print how soon a version is reverted, by its true rate."""
    print(f"A look after every call; {METRICS} metrics share 1 %; * Wald's test at 1 % for one metric, beta 1 %\n")
    print("| limit | true rate | reverted within 50 | 200 | 1,000 calls | in all | median calls | Wald* | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for limit in LIMITS:
        horizon = int(60 / limit)
        for ratio in (*RATIOS, 1 / limit):
            rate = min(limit * ratio, 1.0)
            count = 4000 if ratio <= 1 else 2000
            needed = threshold(METRICS)
            found = calls_to_revert(RateRuns(limit, count), count, [rate] * horizon, needed, rng)
            classic = np.median(wald(limit, rate, math.log(100), horizon, rng)) if ratio > 1 else NEVER
            within = " | ".join(_share(found <= calls) for calls in (50, 200, 1000))
            median = float(np.median(found))
            quotient = f"{median / classic:.2f}" if ratio == 2 else ""
            name = "100 %" if rate == 1 else f"{ratio:g} × limit"
            print(f"| {limit:.0%} | {name} | {within} | {_share(found < NEVER)} of {horizon:,} | {_count(median)} "
                  f"| {_count(float(classic))} | {quotient} |")  # fmt: skip


def shared_by_four(rng: np.random.Generator) -> None:
    """Print what it costs at twice the limit to judge all four metrics."""
    print("\nTwice the limit, with four metrics that share 1 %:\n")
    print("| limit | median calls | ratio to Wald's test at 1 % for one metric | calls at 100 % |")
    print("|---|---|---|---|")
    for limit in LIMITS:
        horizon, needed = int(60 / limit), threshold(4)
        median = np.median(calls_to_revert(RateRuns(limit, 2000), 2000, [2 * limit] * horizon, needed, rng))
        outright = calls_to_revert(RateRuns(limit, 1), 1, [1.0] * 50, needed, rng)
        classic = np.median(wald(limit, 2 * limit, math.log(100), horizon, rng))
        print(f"| {limit:.0%} | {_count(float(median))} | {median / classic:.2f} | {_count(float(outright[0]))} |")


def late_curve(rng: np.random.Generator) -> None:
    """Print how soon a version is reverted that goes bad after a long healthy time, with and without later starts."""
    healthy, count, limit = 10_000, 300, 0.05
    print(f"\nHealthy (half the limit of {limit:.0%}) for {healthy:,} calls, then bad; calls after the change:\n")
    print("| then | median calls | 90 % of rollouts | median without later starts |")
    print("|---|---|---|---|")
    for rate in (2 * limit, 4 * limit, 1.0):
        medians = []
        for share in (FROM_START, 1.0):
            runs = RateRuns(limit, count, from_start=share)
            for _ in range(healthy):
                runs.call(rng.random(count) < limit / 2)
            horizon = 4000 if share < 1 else 12_000
            found = calls_to_revert(runs, count, [rate] * horizon, threshold(METRICS), rng)
            medians += [float(np.median(found)), float(np.quantile(found, 0.9, method="lower"))]
        name = "100 %" if rate == 1 else f"{rate / limit:g} × limit"
        print(f"| {name} | {_count(medians[0])} | {_count(medians[1])} | {_count(medians[2])} |")


def calls_to_change(
    limit: float, rates: Callable[[int], tuple[float, float]], horizon: int, seed: int, *, metrics: int = METRICS + 1
) -> float:
    """Return the canary's calls until `ChangeTest` finds a change, with three stable calls for each; or infinity."""
    rng, test, arms = random.Random(seed), ChangeTest(limit), [0, 0, 0, 0]  # noqa: S311 - a simulation
    for calls in range(1, horizon + 1):
        canary, stable = rates(calls)
        arms[0] += 1
        arms[1] += rng.random() < canary
        arms[2] += 3
        arms[3] += sum(rng.random() < stable for _ in range(3))
        test = advance_change(test, Arms(*arms))
        if change_evidence(test) >= threshold(metrics):
            return calls
    return NEVER


def change_curve() -> None:
    """Print how soon a changed NG share is found."""
    limit, horizon, count = 0.10, 1000, 60
    print(f"\nNG share, maxChange {limit:.0%}, three stable calls for each of the canary's; the canary's calls:\n")
    print(f"| stable | canary | found in {horizon:,} calls | median calls |")
    print("|---|---|---|---|")
    for stable, canary in ((0.02, 0.02), (0.02, 0.12), (0.02, 0.30), (0.02, 0.60), (0.02, 1.0), (0.5, 0.0)):
        found = np.array(
            [calls_to_change(limit, lambda _: (canary, stable), horizon, seed) for seed in range(count)]  # noqa: B023
        )
        print(f"| {stable:.0%} | {canary:.0%} | {_share(found < NEVER)} | {_count(float(np.median(found)))} |")


def shadow_curve(rng: np.random.Generator) -> None:
    """Print how soon a shadow stops a version, by how often it says something else of a picture."""
    print(f"\nA shadow, a look after every compared picture; {SHADOWED} metrics share 1 %:\n")
    print("| limit | true share | stopped within 300 | 1,000 | 5,000 pictures | in all | median pictures |")
    print("|---|---|---|---|---|---|---|")
    for limit in PICTURE_LIMITS:
        horizon = int(60 / limit)
        for ratio in PICTURE_RATIOS:
            count = 2000 if ratio == 1 else 500
            found = calls_to_revert(
                RateRuns(limit, count), count, [limit * ratio] * horizon, threshold(SHADOWED), rng
            )  # fmt: skip
            within = " | ".join(_share(found <= pictures) for pictures in (300, 1000, 5000))
            print(f"| {limit:.1%} | {ratio:g} × limit | {within} | {_share(found < NEVER)} of {horizon:,} "
                  f"| {_count(float(np.median(found)))} |")  # fmt: skip


def replay_curve() -> None:
    """Print how likely a replay stops a version: the exact chance of a set with more differences than are allowed."""
    print("\nA replay, by the number of pictures that were compared; the chance that the set has too many:\n")
    print("| limit | pictures | allowed | 0.1 × limit | 0.5 × | 1 × | 2 × | 3 × | 10 × |")
    print("|---|---|---|---|---|---|---|---|---|")
    for limit in PICTURE_LIMITS:
        for pictures in (100, 500, 2000):
            allowed = int(limit * pictures + 1e-9)
            chances = " | ".join(
                f"{at_least(allowed + 1, pictures, limit * ratio) * 100:.3g} %" for ratio in (0.1, 0.5, 1, 2, 3, 10)
            )
            print(f"| {limit:.1%} | {pictures:,} | {allowed} | {chances} |")


def at_every_limit(rng: np.random.Generator) -> None:
    """Print how often a version is stopped in its shadow that is exactly at every limit at once."""
    runs, horizon, needed = 6000, 20_000, threshold(SHADOWED)
    newly_ok, newly_ng = PICTURE_LIMITS
    errors, timeouts = 0.05, 0.01
    tests = {"newlyOK": RateRuns(newly_ok, runs), "newlyNG": RateRuns(newly_ng, runs),
             "errorRate": RateRuns(errors, runs), "timeoutRate": RateRuns(timeouts, runs)}  # fmt: skip
    stopped = {name: np.zeros(runs, dtype=bool) for name in tests}
    for _ in range(horizon):
        said, ended = rng.random(runs), rng.random(runs)  # of a compared picture; of a call
        hits = {
            "newlyOK": said < newly_ok, "newlyNG": (said >= newly_ok) & (said < newly_ok + newly_ng),
            "errorRate": ended < errors, "timeoutRate": (ended >= errors) & (ended < errors + timeouts),
        }  # fmt: skip
        for name, test in tests.items():
            stopped[name] |= test.call(hits[name]) >= needed
    print(f"\nExactly at every limit at once, {runs:,} rollouts of {horizon:,} compared pictures each:\n")
    print("| metric | limit | stopped | its share of the budget |")
    print("|---|---|---|---|")
    limits = {"newlyOK": newly_ok, "newlyNG": newly_ng, "errorRate": errors, "timeoutRate": timeouts}
    for name, limit in limits.items():
        print(f"| {name} | {limit:.1%} | {_share(stopped[name])} | {_share(FALSE_REVERTS / SHADOWED)} |")
    print(f"| any of them | | {_share(np.any(list(stopped.values()), axis=0))} | {_share(FALSE_REVERTS)} |")


def _share(hits: Any) -> str:
    return f"{float(np.mean(hits)) * 100:.3g} %"


def _count(calls: float) -> str:
    return "–" if math.isinf(calls) else f"{calls:,.0f}"


def main() -> None:
    """Print every table."""
    rng = np.random.default_rng(SEED)
    rate_curve(rng)
    shared_by_four(rng)
    late_curve(rng)
    change_curve()
    shadow_curve(np.random.default_rng(SEED))
    replay_curve()
    at_every_limit(np.random.default_rng(SEED))


if __name__ == "__main__":
    main()
