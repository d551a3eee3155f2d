"""A plan in a line, and its changes as lines."""

from __future__ import annotations

from controller.model.actions import (
    Blocked,
    Deactivate,
    Install,
    Plan,
    Preheat,
    RebuildRegistry,
    RemovePackage,
    RemoveZip,
    Retire,
    SaveRollout,
    Switch,
)
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.package import PackageRef
from controller.model.rollout import RolloutRecord
from controller.planning.summary import change_lines, counts, summary

OLD, NEW = PackageRef("screw", "1.0.0"), PackageRef("screw", "1.1.0")
KEY = ProcessKey("line", "screw", "1.1.0", 0)
WHOLE = Plan(
    (
        SaveRollout("line", RolloutRecord(), "r"), RebuildRegistry("r"), Install(NEW, "s.zip", "sha256:ab", "r"),
        Preheat(KEY, "r"), Switch("A02", "line", OLD, NEW, "r"), Switch("A01", "line", None, NEW, "r"),
        Deactivate("B01", OLD, "r"), Retire(KEY, "r"), RemovePackage(OLD, "r"), RemoveZip("old.zip", "r"),
    ),
    (Blocked(ObjectRef("pid", "C01"), "other", "no zip"),),
)  # fmt: skip


def test_a_plan_is_summed_up_in_a_line() -> None:
    assert summary(WHOLE) == (
        "Plan: 1 to install, 1 to start, 2 to switch, 1 to deactivate, 1 to stop, 2 to remove; 1 blocked"
    )
    assert summary(Plan()) == "Plan: 0 to install, 0 to switch, 0 to remove"
    assert counts(WHOLE) == {
        "install": 1, "start": 1, "switch": 2, "deactivate": 1, "stop": 1, "replay": 0, "remove": 2,
            "blocked": 1,
    }  # fmt: skip


def test_changes_are_what_is_installed_and_what_answers() -> None:
    assert change_lines(WHOLE) == (
        "deactivate B01", "install screw@1.1.0 sha256:ab", "remove old.zip", "remove screw@1.0.0",
        "switch A01 nothing → screw@1.1.0", "switch A02 screw@1.0.0 → screw@1.1.0",
    )  # fmt: skip
