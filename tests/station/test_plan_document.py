"""`pvctl plan -o json` keeps its words: kinds and objects as text, `after`, and a rollout as its file has it."""

from __future__ import annotations

from controller.model.actions import Install, Preheat, SaveRollout
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.package import PackageRef
from controller.model.rollout import RolloutRecord
from controller.station.plan_document import _action

SCREW = PackageRef("screw", "1.0.0")


def test_an_action_names_what_it_depends_on_under_the_first_name_too() -> None:
    key = ProcessKey("line", "screw", "1.0.0", 0)

    found = _action(Preheat(key, "no process runs for it", (ObjectRef("package", SCREW),)))

    assert (found["kind"], found["object"]) == ("preheat", "process/line/screw@1.0.0-0")
    assert found["after"] == found["depends_on"] == ["package/screw@1.0.0"]
    assert _action(Install(SCREW, "s.zip", "d", "why"))["package"] == {"name": "screw", "version": "1.0.0"}


def test_a_rollout_is_shown_in_the_words_of_its_file() -> None:
    found = _action(SaveRollout("line", RolloutRecord(), "it is over"))

    assert found == {
        "kind": "remember",
        "object": "rollout/line",
        "deployment": "line",
        "memory": {"rollout": None, "quarantine": []},
        "reason": "it is over",
        "before": "",
        "depends_on": [],
        "after": [],
    }
