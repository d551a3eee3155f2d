"""What is remembered of rollouts survives a round trip to the disk exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import StoreError
from controller.model.package import PackageRef
from controller.model.rollout import Countdown, Hold, Instant, PinnedStrategy, Quarantine, Rollout, RolloutRecord, Step
from controller.model.tally import Tally
from controller.store.layout import StoreLayout
from controller.store.rollouts import RolloutFiles

V1, V2 = PackageRef("screw", "1.0.0"), PackageRef("screw", "1.1.0")
NOW = Instant("boot", 12.5, 1e9)
MEMORY = RolloutRecord(
    Rollout(
        "line", V2, "sha256:b",
        PinnedStrategy((Step("weight", weight=25), Step("pause", pause=None), Step("weight", weight=100)),
                       ("A2", "A1"), 30.0, 600.0, True, "wait", 86400.0),
        {"A1": V1, "A2": V1}, "baking", "2026-01-01T00:00:00Z", NOW, 1, Countdown(3.5, NOW), Countdown(600.0, NOW),
        moved=1, back={"A2": V1}, paused_by="root", suspended_because="host", full=True, reason="why", emergency=True,
        baseline={"A2": Tally(calls=3)},
        analysis_state={"rates": {}, "change": None},
    ),
    (Quarantine(V2, "sha256:a", "2026-01-01T00:00:00Z", "error rate"),),
)  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> RolloutFiles:
    layout = StoreLayout.at(tmp_path)
    layout.rollouts.mkdir()
    return RolloutFiles(layout)


def test_a_memory_is_read_back_exactly_and_not_rewritten_when_equal(files: RolloutFiles) -> None:
    assert files.write("line", MEMORY) is True

    assert files.read_all() == {"line": MEMORY}
    assert files.write("line", MEMORY) is False


def test_holds_are_read_back_and_are_no_deployment(files: RolloutFiles) -> None:
    hold = Hold("A1", V1, "root", "2026-01-01T00:00:00Z", "scrap on line 2")

    files.write_holds([hold])

    assert files.read_holds() == {"A1": hold}
    assert files.read_all() == {}


def test_a_damaged_memory_is_an_error_since_ignoring_it_could_forgive_a_failure(files: RolloutFiles) -> None:
    files.write("line", MEMORY)
    path = next(iter(files._folder.glob("line.json")))
    path.write_text("{")

    with pytest.raises(StoreError, match=r"line\.json cannot be understood"):
        files.read_all()


def test_a_forgotten_deployment_is_gone(files: RolloutFiles) -> None:
    files.write("line", MEMORY)
    files.forget("line")

    assert files.read_all() == {}


def test_a_countdown_ignores_the_wall_clock_and_goes_on_after_a_reboot_with_what_was_left() -> None:
    running = Countdown(10.0).run(NOW)

    assert running.remaining(Instant("boot", 16.5, 0.0)) == 6.0
    assert running.over(Instant("boot", 22.5, 1e12))
    assert running.remaining(Instant("another boot", 3.0)) == 10.0
    assert running.stop(Instant("boot", 16.5)).remaining(Instant("boot", 99.0)) == 6.0
