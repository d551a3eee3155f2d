"""What is remembered of rollouts survives a round trip to the disk exactly."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from controller.errors import StoreError
from controller.model.analysis import Arms, ChangeTest, Finding, RateTest, SequentialTests, Start, Verdict
from controller.model.comparison import Agreement
from controller.model.package import PackageRef
from controller.model.rollout import (
    HOLDS,
    AnalysisState,
    Countdown,
    Hold,
    Instant,
    Memory,
    PictureTerms,
    PinnedStrategy,
    Proven,
    Quarantine,
    Rollout,
    RolloutRecord,
    State,
    Step,
)
from controller.model.tally import LatencySketch, Tally
from controller.rollouts.machine import replay_again
from controller.store.layout import StoreLayout
from controller.store.rollouts import RolloutFiles

V1, V2 = PackageRef("screw", "1.0.0"), PackageRef("screw", "1.1.0")
NOW = Instant("boot", 12.5, 1e9)
STRATEGY = PinnedStrategy(
    (Step("weight", weight=25), Step("pause", pause=None), Step("weight", weight=100)), ("A2", "A1"), 30.0, 600.0, True,
    "wait", 86400.0,
)  # fmt: skip
FINDING = Finding("errorRate", "fail", "error rate 55 %", 0.55, 0.05, 40, 22, 1e-9, ("A2",))
ANALYSIS = AnalysisState(
    baseline={"A2": Tally(calls=3, latency=LatencySketch(((-97, 3),)))},
    step_calls=4,
    tests=SequentialTests(
        {"errorRate": RateTest(0.05, 40, 22, (14.1, 28.5, 38.5, -2.1))},
        ChangeTest(0.1, Arms(240, 12, 400, 9), (Start(0, Arms()), Start(2, Arms(200, 10, 350, 9)))),
    ),
    already_failing=("cell",),
    host_degraded=True,
    verdict=Verdict("suspended", (FINDING,), (replace(FINDING, where=("B1",)),)),
)
RECORD = RolloutRecord(
    Rollout(
        "line", V2, "sha256:b", STRATEGY, {"A1": V1, "A2": V1}, "baking", "2026-01-01T00:00:00Z", NOW, 1,
        Countdown(3.5, NOW), Countdown(600.0, NOW), moved=1, back={"A2": V1}, paused_by="root",
        suspended_because="host", full=True, reason="why", emergency=True, analysis=ANALYSIS,
    ),
    (Quarantine(V2, "sha256:a", "2026-01-01T00:00:00Z", "error rate"),),
    (Proven(V1, "sha256:c"),),
)  # fmt: skip
GOLDEN = Path(__file__).parent / "golden" / "rollouts"
"""Written by the first release: one deployment in each state, one that was retried, an empty one, and holds."""
BY_PICTURES = Path(__file__).parent / "golden" / "by-pictures"
"""Written by the release that judges by pictures: in a replay, in a shadow, and rolled back by one."""


@pytest.fixture
def files(tmp_path: Path) -> RolloutFiles:
    layout = StoreLayout.at(tmp_path)
    layout.rollouts.mkdir()
    return RolloutFiles(layout)


def test_a_record_is_read_back_exactly_and_not_rewritten_when_equal(files: RolloutFiles) -> None:
    assert files.write("line", RECORD) is True

    assert files.memory().records == {"line": RECORD}
    assert files.write("line", RECORD) is False


def test_holds_are_read_back_and_are_no_deployment(files: RolloutFiles) -> None:
    hold = Hold("A1", V1, "root", "2026-01-01T00:00:00Z", "scrap on line 2")

    whole = replace(hold, pid="A2", deployment="line")

    files.write_holds([hold, whole])

    assert files.read_holds() == {"A1": hold, "A2": whole}
    assert files.memory().records == {}


def damage(path: Path, how: str) -> None:
    """Do to a file what hands and disks do to files."""
    if how == "empty":
        path.write_bytes(b"")
    elif how == "garbage":
        path.write_bytes(b"\x00\xff{")
    elif how == "deep":
        path.write_bytes(b"[" * 100_000)
    elif how == "wrong type":
        path.write_bytes(b"[5]")
    else:
        path.unlink()
        path.mkdir() if how == "directory" else path.symlink_to(path.name)  # a loop: root may read everything else


DAMAGES = ("empty", "garbage", "deep", "wrong type", "directory", "unreadable")
HOLD = Hold("A1", V1, "root", "2026-01-01T00:00:00Z", "scrap on line 2")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_is_told_and_its_copy_says_what_it_said(files: RolloutFiles, how: str) -> None:
    files.write("line", RECORD)
    files.write("other", RolloutRecord())
    files.write_holds([HOLD])
    for name in ("line.json", ".holds.json"):
        damage(files._folder / name, how)

    memory = files.memory()

    assert memory.records == {"line": RECORD, "other": RolloutRecord()}
    assert memory.holds == files.read_holds() == {"A1": HOLD}
    assert (set(memory.restored), memory.lost) == ({"line", HOLDS}, {})
    assert all("cannot be" in why for why in memory.restored.values())
    assert files.record("line") == RECORD


@pytest.mark.parametrize("how", DAMAGES)
def test_without_a_copy_only_that_file_is_lost_and_nobody_takes_it_for_empty(files: RolloutFiles, how: str) -> None:
    files.write("line", RECORD)
    files.write("other", RECORD)
    files.write_holds([HOLD])
    for name in ("line.json", ".holds.json"):
        damage(files._folder / name, how)
        (files._folder / f".{name}.copy").unlink()

    memory = files.memory()

    assert (memory.records, set(memory.lost), memory.restored) == ({"other": RECORD}, {"line", HOLDS}, {})
    with pytest.raises(StoreError, match=r"line\.json cannot be .*move it aside"):
        files.record("line")
    with pytest.raises(StoreError, match=r"\.holds\.json cannot be .*move it aside"):
        files.read_holds()


@pytest.mark.parametrize("how", [each for each in DAMAGES if each != "directory"])
def test_a_damaged_file_is_restored_from_its_copy(files: RolloutFiles, how: str) -> None:
    files.write("line", RECORD)
    files.write_holds([HOLD])
    before = {name: (files._folder / name).read_bytes() for name in ("line.json", ".holds.json")}
    for name in before:
        damage(files._folder / name, how)

    for name in files.memory().restored:
        files.restore(name)

    assert {name: (files._folder / name).read_bytes() for name in before} == before
    assert (files.memory().restored, files.memory().lost) == ({}, {})


def test_a_copy_never_tells_of_an_earlier_decision(files: RolloutFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write("line", RolloutRecord())

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        files.write("line", RECORD)
    damage(files._folder / "line.json", "empty")

    assert set(files.memory().lost) == {"line"}


def test_a_start_makes_the_copies_that_are_missing_or_old(files: RolloutFiles) -> None:
    files.write("line", RECORD)
    files.write_holds([HOLD])
    (files._folder / ".line.json.copy").write_bytes(b"old")
    (files._folder / "..holds.json.copy").unlink()

    files.keep_copies()
    for name in ("line.json", ".holds.json"):
        damage(files._folder / name, "garbage")

    assert (files.memory().records, files.memory().holds) == ({"line": RECORD}, {"A1": HOLD})


def test_a_file_that_was_moved_aside_is_given_up(files: RolloutFiles) -> None:
    files.write("line", RECORD)
    (files._folder / "line.json").unlink()

    assert files.memory() == Memory()
    assert files.record("line") == RolloutRecord()


def test_a_folder_that_cannot_be_read_is_told(files: RolloutFiles) -> None:
    files._folder.rmdir()
    files._folder.write_text("")

    assert set(files.memory().lost) == {HOLDS}


def test_what_the_first_release_wrote_is_read_and_written_back_byte_for_byte(files: RolloutFiles) -> None:
    for path in GOLDEN.iterdir():
        shutil.copy(path, files._folder)

    records, holds = files.memory().records, files.read_holds()

    assert {record.rollout.state for record in records.values() if record.rollout} == set(get_args(State)) - {
        "replaying",
        "shadowing",
    }
    assert holds["B01"] == Hold("B01", V2, "bob", "2026-02-02T02:42:00Z", "line stopped", emergency=True)
    assert files.write_holds(holds.values()) is False
    assert [name for name, record in records.items() if files.write(name, record)] == ["reverted"]
    before, after = ((folder / "reverted.json").read_bytes() for folder in (GOLDEN, files._folder))
    said, says = b"held, because the host seems to be in trouble", b"suspended, because the host seems to be degraded"
    assert before.replace(said, says) == after, "only its sentence for people has other words"


def test_how_often_a_replay_was_begun_anew_is_remembered(files: RolloutFiles) -> None:
    shutil.copy(BY_PICTURES / "replaying.json", files._folder)
    record = files.memory().records["replaying"]
    assert record.rollout is not None
    files.write("replaying", record.with_rollout(replay_again(replay_again(record.rollout))))

    again = RolloutFiles(StoreLayout.at(files._folder.parent)).memory().records["replaying"].rollout
    assert again is not None
    assert again.analysis.replayed_again == 2


def test_what_is_remembered_of_pictures_is_read_and_written_back_byte_for_byte(files: RolloutFiles) -> None:
    for path in BY_PICTURES.iterdir():
        shutil.copy(path, files._folder)

    found = {name: record.rollout for name, record in files.memory().records.items() if record.rollout}

    assert {name: rollout.state for name, rollout in found.items()} == {
        "replaying": "replaying", "shadowing": "shadowing", "stopped-by-pictures": "reverted",
    }  # fmt: skip
    assert not any(files.write(name, record) for name, record in files.memory().records.items())
    assert [str(each) for each in found["replaying"].strategy.steps] == [
        "replay of the last 500", "shadow 100 % for 15m", "setWeight 25", "setWeight 100",
    ]  # fmt: skip
    assert found["replaying"].strategy.shadows == (
        PictureTerms(0.002, 0.02, 0.5, duration=900.0, min_samples=300, sample=0.5),
    )
    shadowing = found["shadowing"].analysis
    assert shadowing.shadow_baseline == {"A04": Agreement(ok_ok=40, ng_ok=1, newly_ok=1, dropped=2)}
    assert shadowing.pictures_before == 41
    verdict = found["stopped-by-pictures"].analysis.verdict
    assert verdict is not None
    assert verdict.findings[0].odds == 400
    assert [(each.recording, each.before, each.after) for each in verdict.findings[0].pictures] == [("r1", "NG", "OK")]


def test_the_words_of_the_first_release_mean_the_same(files: RolloutFiles) -> None:
    for name in ("paused", "reverted", "reverting", "stepping"):
        shutil.copy(GOLDEN / f"{name}.json", files._folder)
    found = {name: record.rollout for name, record in files.memory().records.items() if record.rollout}

    paused, reverted = found["paused"].analysis, found["reverted"].analysis
    assert found["paused"].step == 1
    assert found["paused"].strategy.steps[1] == Step("pause", pause=600.0)
    assert found["paused"].suspended_because.startswith("held")
    assert (paused.host_degraded, paused.already_failing) == (True, ("cell", "line (stable)"))
    assert reverted.verdict is not None
    assert reverted.verdict.outcome == "suspended"
    assert {each.where for each in reverted.verdict.host} == {("B01",)}
    assert found["reverting"].analysis.tests.calls == 40
    assert found["stepping"].analysis.verdict is None
    assert found["stepping"].analysis.tests == SequentialTests()


@pytest.mark.parametrize(
    "damage",
    [
        {"stage": "first"},
        {"state": "strange"},
        {"target": "screw@1.1.0"},
        {"trials": {"rates": {}, "change": {"limit": 0.1, "arms": [0, 0, 0, 0], "starts": []}}},
        {"verdict": {"outcome": "perhaps"}},
    ],
)
def test_what_no_release_writes_is_refused(files: RolloutFiles, damage: dict[str, Any]) -> None:
    files.write("line", RECORD)
    path = files._folder / "line.json"
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "rollout": {**document["rollout"], **damage}}))

    (files._folder / ".line.json.copy").unlink()

    assert "cannot be understood" in files.memory().lost["line"]


def test_keys_of_a_later_release_are_passed_over(files: RolloutFiles) -> None:
    files.write("line", RECORD)
    path = files._folder / "line.json"
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "more": 1, "rollout": {**document["rollout"], "more": 1}}))

    assert files.memory().records == {"line": RECORD}


def test_a_countdown_ignores_the_wall_clock_and_goes_on_after_a_reboot_with_what_was_left() -> None:
    running = Countdown(10.0).run(NOW)

    assert running.remaining(Instant("boot", 16.5, 0.0)) == 6.0
    assert running.over(Instant("boot", 22.5, 1e12))
    assert running.remaining(Instant("another boot", 3.0)) == 10.0
    assert running.stop(Instant("boot", 16.5)).remaining(Instant("boot", 99.0)) == 6.0
