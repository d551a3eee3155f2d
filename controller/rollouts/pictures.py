"""What pictures showed of a rollout's target, beside the line: in a replay step, and in its shadow steps together.

Here the counts are gathered; `analysis/` judges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, replace

from controller.model.comparison import Agreement
from controller.model.replay import ReplayKey
from controller.model.rollout import AnalysisState, Rollout
from controller.rollouts.analysis.observation import Replayed, Shadowed
from controller.rollouts.view import DeploymentView

_SECOND = len("2026-01-01T00:00:00")


def replay_key(rollout: Rollout) -> ReplayKey | None:
    """Return which replay the present step asks for; None where it asks for none."""
    if rollout.state != "replaying":
        return None
    again = rollout.analysis.replayed_again
    return ReplayKey(rollout.deployment, rollout.target, rollout.digest, rollout.started_at, rollout.step, again)


def pictures_from(view: DeploymentView, rollout: Rollout) -> AnalysisState:
    """Return the analysis with the points from which pictures count: the first shadow step, and the present step."""
    state = rollout.analysis
    if rollout.state == "shadowing" and state.shadow_baseline is None:
        state = replace(state, shadow_baseline=_agreements(view, rollout))
    if state.shadow_baseline:
        state = replace(state, shadow_baseline=_still_true(state.shadow_baseline, _agreements(view, rollout)))
    if state.pictures_before is not None:
        return state
    seen = sum(shown_beside(view, replace(rollout, analysis=state)).values(), Agreement())
    return replace(state, pictures_before=seen.compared)


def replayed(view: DeploymentView, rollout: Rollout) -> Replayed | None:
    """Return what the replay of the present step has come to; None where the step is none."""
    key, step = replay_key(rollout), rollout.present_step
    if key is None or step is None or step.pictures is None:
        return None
    report, minimum = view.observed.replays.get(rollout.deployment), rollout.strategy.min_samples or 1
    own = report if report is not None and report.key == key else None
    return Replayed(step.pictures, min(step.pictures.last, minimum), own)


def shadowed(view: DeploymentView, rollout: Rollout) -> Shadowed | None:
    """Return what the shadow steps showed so far; None before the first one, and once the rollout is promoted."""
    steps = rollout.strategy.steps[: rollout.step + 1]
    terms = [each.pictures for each in steps if each.kind == "shadow" and each.pictures is not None]
    if not terms or not rollout.under_way or rollout.analysis.shadow_baseline is None:
        return None
    agreements, since = shown_beside(view, rollout), rollout.started_at[:_SECOND]
    compared = sum(agreements.values(), Agreement()).compared - (rollout.analysis.pictures_before or 0)
    differing = view.observed.shadow_differences.get(rollout.deployment, ())
    return Shadowed(
        terms[-1],
        agreements,
        max(0, compared) if rollout.state == "shadowing" else None,
        tuple(each for each in differing if each.at[:_SECOND] >= since),  # not those of a rollout before
    )


def shown_beside(view: DeploymentView, rollout: Rollout) -> dict[str, Agreement]:
    """Return what came of the pictures of this rollout's shadow steps, per PID."""
    baseline = rollout.analysis.shadow_baseline
    if baseline is None:
        return {}
    return {pid: _more(counts, baseline.get(pid)) for pid, counts in _agreements(view, rollout).items()}


def _agreements(view: DeploymentView, rollout: Rollout) -> dict[str, Agreement]:
    shadows = view.observed.shadows
    if not shadows:
        return {}
    found = ((pid, shadows.get((pid, rollout.target))) for pid in rollout.strategy.sequence)
    return {pid: counts for pid, counts in found if counts is not None}


def _still_true(baseline: Mapping[str, Agreement], now: Mapping[str, Agreement]) -> Mapping[str, Agreement]:
    """Return a baseline without the PIDs whose counts were lost and began anew: one day they would exceed it again."""
    return {pid: each for pid, each in baseline.items() if pid not in now or _is_later(now[pid], each)}


def _is_later(counts: Agreement, earlier: Agreement) -> bool:
    return all(count >= before for count, before in zip(astuple(counts), astuple(earlier), strict=True))


def _more(counts: Agreement, baseline: Agreement | None) -> Agreement:
    try:
        return counts - baseline if baseline is not None else counts
    except ValueError:  # the counts were lost and began anew
        return counts
