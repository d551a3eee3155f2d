"""The parts of a station as documents: where a rollout stands, what holds a PID, what was wrong with a tree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.errors import NotFound
from controller.model.package import PackageRef
from controller.model.rollout import Countdown, Hold, Instant, Memory, Quarantine, RolloutRecord, State
from controller.sources.nodes import Mark, Problem
from controller.station.present import Present, problem_row, revisions
from controller.store.layout import StoreLayout
from controller.store.refused import KEPT, MOST_PROBLEMS, RefusedRevisions
from tests.builders import deployment, revision, rollout
from tests.station.fake import STATUS

NOW = Instant("boot", 100.0, 1_700_000_000.0)
CANARY = {"canary": {"order": ["A02"], "steps": [{"setWeight": 50}, {"pause": {"duration": "60s"}}]}}
DESIRED = revision(deployment("screws", "1.1.0", "A01", "A02", package="screw-check", strategy=CANARY))


def present(state: State | None, step: int = 0, timer: Countdown | None = None) -> dict[str, Any]:
    memory = Memory()
    if state is not None:
        target = DESIRED.by_name["screws"]
        going = replace(rollout(target, {}, state), step=step, timer=timer)
        memory = Memory({"screws": RolloutRecord(going)})
    return dict(Present(STATUS, memory, DESIRED, NOW).deployment("screws"))


@pytest.mark.parametrize(
    ("state", "step", "states"),
    [
        (None, 0, ["ahead", "ahead", "ahead"]),
        ("stepping", 0, ["current", "ahead", "ahead"]),
        ("paused", 1, ["done", "current", "ahead"]),
        ("reverting", 1, ["done", "current", "ahead"]),
        ("promoted", 2, ["done", "done", "done"]),
    ],
)
def test_steps_say_where_the_rollout_stands(state: State | None, step: int, states: list[str]) -> None:
    steps = present(state, step)["steps"]

    assert [each["state"] for each in steps] == states
    assert [each["pids"] for each in steps] == [["A02"], ["A02"], ["A02", "A01"]]
    assert [(each["set_weight"], each["pause_s"], each["weight"]) for each in steps] == [
        (50, None, 50), (None, 60.0, 50), (100, None, 100),
    ]  # fmt: skip


def test_a_step_that_shows_pictures_says_which_and_to_whom_they_belong() -> None:
    steps = [{"replay": {"last": 200}}, {"shadow": {"weight": 50, "compare": {"defects": {"iou": 0.4}}}}]
    desired = revision(deployment("screws", "1.1.0", "A01", "A02", package="screw-check",
                                  strategy={"canary": {"order": ["A02"], "steps": steps}}))  # fmt: skip
    going = replace(rollout(desired.by_name["screws"], {}, "shadowing"), step=1)
    memory = Memory({"screws": RolloutRecord(going)})

    [replay, shadow, full] = Present(STATUS, memory, desired, NOW).deployment("screws")["steps"]

    limits = {"max_newly_ok": 0.002, "max_newly_ng": 0.02}
    assert (replay["kind"], replay["weight"], replay["pids"]) == ("replay", 0, ["A02", "A01"])
    assert replay["pictures"] == {**limits, "iou": None, "last": 200}
    assert (shadow["kind"], shadow["weight"], shadow["pids"], shadow["state"]) == ("shadow", 0, ["A02"], "current")
    assert shadow["pictures"] == {
        **limits, "iou": 0.4, "weight": 50, "duration_s": 900.0, "min_samples": 300, "sample": 1.0,
    }  # fmt: skip
    assert "pictures" not in full


def test_a_bake_says_when_it_is_over_and_one_that_stands_still_only_what_is_left() -> None:
    found = present("paused", 1, Countdown(60.0, Instant("boot", 70.0)))["rollout"]
    assert (found["bake_until"], found["remaining_s"]) == ("2023-11-14T22:13:50.000000Z", 30.0)

    found = present("paused", 1, Countdown(60.0))["rollout"]
    assert (found["bake_until"], found["remaining_s"]) == (None, 60.0)
    assert present("promoted", 2, Countdown(60.0, NOW))["rollout"]["remaining_s"] is None
    assert present(None)["rollout"] is None


def test_a_deployment_says_why_versions_are_in_quarantine() -> None:
    failed = Quarantine(PackageRef("screw-check", "1.1.0"), "sha256:ab", "t", "error rate 30 %")
    found = Present(STATUS, Memory({"screws": RolloutRecord(quarantine=(failed,))}), DESIRED, NOW)

    assert found.deployment("screws")["quarantine"] == [{
        "package": "screw-check", "version": "1.1.0", "digest": "sha256:ab", "at": "t", "reason": "error rate 30 %",
    }]  # fmt: skip


def test_a_pid_says_who_holds_it_and_a_name_that_is_none_is_said_to_be() -> None:
    hold = Hold("A01", PackageRef("screw-check", "1.0.0"), "mia", "t", "scratches")
    found = Present(STATUS, Memory(holds={"A01": hold}), DESIRED, NOW)

    assert found.pid("A01")["hold"] == {
        "version": "1.0.0", "reason": "scratches", "by": "mia", "at": "t", "emergency": False,
    }  # fmt: skip
    assert [each["pid"] for each in found.pids()] == ["A01"]
    with pytest.raises(NotFound, match="there is no PID A1 in the desired state"):
        found.pid("A1")
    with pytest.raises(NotFound):
        found.deployment("../screws")


@pytest.mark.parametrize("path", ["", "kind", "spec.pids[1]", "metadata.labels['a b']"])
@pytest.mark.parametrize("message", ["is missing (expected x: y)", "got nothing"])
def test_a_problem_is_told_by_its_text_as_it_was(path: str, message: str) -> None:
    problem = Problem(Mark("desired/line 1.yaml", 3, 14), path, message)

    assert Problem.told(str(problem)) == problem
    row = problem_row(str(problem))
    assert (row["line"], row.get("path", ""), row["message"]) == (3, path, message)
    assert problem_row("the tree is gone") == {"message": "the tree is gone"}


def test_of_the_refused_trees_the_last_few_are_kept_each_once(tmp_path: Any) -> None:
    layout = StoreLayout.at(tmp_path)
    layout.revision.parent.mkdir()
    kept = RefusedRevisions(layout, lambda: "t")

    for number in range(KEPT + 2):
        for _ in range(2):
            kept.note("desired", [f"desired/a.yaml:{number + 1}:1: no"])
    assert [each.problems for each in RefusedRevisions(layout, lambda: "t").read()] == [
        (f"desired/a.yaml:{number + 1}:1: no",) for number in range(KEPT + 1, 1, -1)
    ]
    kept.note("desired", ["no"] * (MOST_PROBLEMS + 5))
    assert len(kept.read()[0].problems) == MOST_PROBLEMS + 1
    assert revisions(None, kept.read()).refused[0]["errors"][-1]["message"].startswith("and 5 more")
    layout.refused.write_bytes(b"[{")
    assert kept.read() == ()
    kept.note("desired", ["again"])
    assert kept.read()[0].problems == ("again",)
