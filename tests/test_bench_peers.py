"""`make bench-peers` without its servers: that no wrong answer counts, and that figures become the right rows.

The servers themselves, and ours among them, are what the command starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import driver
from benchmarks.peers.environments import NotInstalled, python_of
from benchmarks.peers.figures import (
    CLIENT,
    COMPARISONS,
    OURS,
    SHARED_MEMORY,
    TRITON,
    Case,
    Figures,
    call_tables,
    compared,
    comparison_table,
    quantile,
    server_table,
    switch_table,
)
from benchmarks.peers.peer import VERSIONS, Call, CannotSwitch, Pictures, WrongAnswer
from benchmarks.peers.running import Driver, Failed
from benchmarks.peers.serving import npy
from benchmarks.peers.work import answer

SMALL = "640×480"
Work = Callable[[np.ndarray, np.ndarray], dict[str, Any]]


def right(picture: np.ndarray, guide: np.ndarray) -> dict[str, Any]:
    return answer(picture, guide, VERSIONS[0])


# --- every answer is held against the pictures that were sent


def cached() -> Work:
    kept: list[dict[str, Any]] = []

    def work(picture: np.ndarray, guide: np.ndarray) -> dict[str, Any]:
        kept.append(right(picture, guide))
        return kept[0]

    return work


def one_behind() -> Work:
    """A slot that is read before it was written: each answer is about the picture before."""
    kept: list[dict[str, Any]] = []

    def work(picture: np.ndarray, guide: np.ndarray) -> dict[str, Any]:
        kept.append(right(picture, guide))
        return kept[max(len(kept) - 2, 0)]

    return work


def half_written(picture: np.ndarray, guide: np.ndarray) -> dict[str, Any]:
    torn = picture.copy()
    torn[len(torn) // 2 :] = 0
    return right(torn, guide)


class Fake:
    """A peer in this process."""

    ways = ("memory",)

    def __init__(self, work: Work) -> None:
        self._work, self._version = work, VERSIONS[0]

    def prepare(self) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def versions(self) -> str:
        return "fake 1"

    def caller(self, way: str) -> Call:
        assert way in self.ways
        return lambda picture, guide: {**self._work(picture, guide), "version": self._version}

    def switch(self, version: str) -> None:
        self._version = version


def measured(work: Work) -> driver.Measured:
    return driver.measure(Fake(work), "memory", [48, 64], same=False, calls=20, seconds=60)


def test_calls_that_are_answered_rightly_are_timed() -> None:
    came_to = measured(right)

    assert (len(came_to["took"]), came_to["made"]) == (20, 28)
    assert came_to["used"] > 0


@pytest.mark.parametrize(
    "work",
    [
        cached(),
        one_behind(),
        half_written,
        lambda picture, guide: right(guide, picture),
        lambda picture, guide: right(picture, picture),
        lambda picture, guide: right(picture[:24], guide),
        lambda picture, guide: {},
    ],
    ids=["cached", "one behind", "half written", "swapped", "the guide is the picture", "cut", "empty"],
)
def test_an_answer_about_anything_else_ends_the_measurement(work: Work) -> None:
    with pytest.raises(WrongAnswer):
        measured(work)


def test_both_pictures_are_others_at_each_call() -> None:
    pictures, seen = Pictures(48, 64), set[tuple[int, int]]()
    for _ in range(600):
        before = [pictures.picture.copy(), pictures.guide.copy()]
        pictures.change()
        said = right(pictures.picture, pictures.guide)
        assert said["picture"] != right(*before)["picture"]
        assert said["guide"] != right(*before)["guide"]
        seen.add((said["picture"], said["guide"]))

    assert len(seen) == 600


def test_an_answer_of_a_version_that_nobody_serves_is_wrong() -> None:
    pictures = Pictures(48, 64)
    pictures.change()

    pictures.check(right(pictures.picture, pictures.guide), VERSIONS)
    with pytest.raises(WrongAnswer):
        pictures.check({**right(pictures.picture, pictures.guide), "version": "9.9.9"}, VERSIONS)


def test_the_pieces_of_a_npy_file_are_what_numpy_reads(tmp_path: Path) -> None:
    array = Pictures(48, 64).picture
    (tmp_path / "a.npy").write_bytes(b"".join(npy(array)))

    assert (np.load(tmp_path / "a.npy") == array).all()


# --- a switch under load


def test_a_switch_counts_what_was_lost_and_waits_for_each_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_QUIET", 0.05)
    calls = iter(range(1_000_000))

    def work(picture: np.ndarray, guide: np.ndarray) -> dict[str, Any]:
        if next(calls) == 3:
            raise ConnectionResetError("gone")
        return right(picture, guide)

    came_to = driver.switch(Fake(work), [48, 64])

    assert (len(came_to["ready"]), came_to["failed"], came_to["why"]) == (3, 1, ["ConnectionResetError: gone"])


def test_who_cannot_switch_says_so_and_its_callers_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed(Fake):
        def switch(self, version: str) -> None:
            raise CannotSwitch(f"no way to {version}")

    monkeypatch.setattr(driver, "_QUIET", 0.01)
    with pytest.raises(CannotSwitch):
        driver.switch(Fixed(right), [48, 64])


def test_the_longest_gap_is_that_of_all_callers_together() -> None:
    load = driver.Load(Fake(right), [48, 64])
    load.answered = [(when, "1.0.0") for when in (1.0, 1.5, 0.9, 3.0)]

    assert load.longest_gap(1.0, 3.25) == 1.5


# --- what cannot be had or fails is said, and nothing is left of it


def test_a_driver_that_cannot_load_its_server_says_why(tmp_path: Path) -> None:
    one = Driver(Path(sys.executable), "nobody", "Nobody", tmp_path / "nobody")
    try:
        with pytest.raises(Failed, match=r"No module named 'benchmarks\.peers\.nobody'"):
            one.ask("prepare", 60)
    finally:
        one.end()


def test_whatever_a_server_left_behind_is_ended_and_nobody_else(tmp_path: Path) -> None:
    one, other = (Driver(Path(sys.executable), "nobody", "Nobody", tmp_path / name) for name in ("one", "other"))
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    left = subprocess.Popen(sleep, env={**os.environ, "BENCH_PEERS": one._token}, start_new_session=True)
    placed = subprocess.Popen([*sleep, str(tmp_path / "one" / "socket")], start_new_session=True)
    foreign = subprocess.Popen(sleep, env={**os.environ, "BENCH_PEERS": other._token}, start_new_session=True)
    try:
        one.end()
        assert [each.poll() is None for each in (left, placed, foreign)] == [False, False, True]
    finally:
        other.end()
    assert foreign.poll() is not None


def test_a_server_that_does_not_answer_in_time_fails(tmp_path: Path) -> None:
    one = Driver(Path(sys.executable), "nobody", "Nobody", tmp_path / "nobody")
    try:
        with pytest.raises(Failed, match="no answer within 0 s"):
            one.ask("prepare", 0)
    finally:
        one.end()


def test_an_installation_that_fails_says_why_and_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[dependency-groups]\npeer-none = ["./nowhere/none-1.0-py3-none-any.whl"]\n'
    )
    monkeypatch.setattr("benchmarks.peers.environments.ROOT", tmp_path)
    monkeypatch.setattr("benchmarks.peers.environments.CACHE", tmp_path / "peers")

    with pytest.raises(NotInstalled, match="installation failed"):
        python_of("peer-none")
    assert list((tmp_path / "peers").iterdir()) == []


# --- tables


def figures(ours: list[float], triton: list[float]) -> Figures:
    """Figures of rounds (ms) at 640×480 in which each call took as long as the median."""
    made = Figures()
    for case, rounds in ((Case(OURS, CLIENT, SMALL), ours), (Case(TRITON, SHARED_MEMORY, SMALL), triton)):
        for number, value in enumerate(rounds):
            made.add(case, number, [value / 1000] * 3)
    return made


def test_a_quantile_is_the_nearest_rank() -> None:
    values = list(range(1, 101))

    assert [quantile(values, share) for share in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert quantile([7], 0.99) == 7


def side_by_side(*pairs_ms: list[tuple[float, float]]) -> Figures:
    """Figures of pairs of the first comparisons, which are those with an aim."""
    return Figures(
        pairs={
            comparison: [(ours / 1000, triton / 1000) for ours, triton in pairs]
            for comparison, pairs in zip(COMPARISONS, pairs_ms, strict=False)
        }
    )


def test_a_ratio_is_the_median_of_the_pairs_and_aims_are_met_or_missed() -> None:
    made = side_by_side([(3, 1), (2, 2), (9, 9)], [(3, 2)], [(5.1, 10), (4.9, 10), (5, 10)])

    assert [(row.ratio, row.aim, row.met) for row in compared(made)] == [
        (1.0, 1.0, True),
        (1.5, 1.0, False),
        (0.5, 0.5, True),
    ]
    lines = comparison_table(made)
    assert [line.split("|")[-2].strip() for line in lines[2:]] == ["met", "**missed**", "met"]
    assert "1.00 (1.00–3.00)" in lines[2]
    assert "5 ms / 10 ms" in lines[4]


def test_an_aim_without_figures_says_that_it_was_not_measured() -> None:
    lines = comparison_table(side_by_side([(3, 2)]))

    assert [line.split("|")[-2].strip() for line in lines[2:]] == ["**missed**", "**not measured**", "**not measured**"]
    assert "≤ 0.5" in lines[4]


def test_a_comparison_without_an_aim_has_no_verdict() -> None:
    made = Figures(pairs={COMPARISONS[-1]: [(0.4, 0.1)]})

    cells = [cell.strip() for cell in comparison_table(made)[-1].split("|")]
    assert cells[3:6] == ["4.00 (4.00–4.00)", "–", ""]


def test_rows_of_calls_have_medians_over_rounds_and_their_range() -> None:
    made = figures([3, 1, 2, 2], [4, 4, 4])
    made.processor[Case(OURS, CLIENT, SMALL)] = [0.0016, 0.0017, 0.009]
    lines = call_tables(made)
    [row] = [line for line in lines if line.startswith("| ours")]

    assert row.count("2.00 (1.00–3.00)") == 3
    assert [cell.strip() for cell in row.split("|")[-3:-1]] == ["0.50", "1.7"]


def test_who_was_not_measured_is_a_row_that_says_why() -> None:
    made = Figures(missing={"mosec": "its installation failed: no wheel | for\nthis machine"})

    assert "no wheel / for this machine" in server_table(made)[-1]


def test_who_cannot_switch_is_a_row_that_says_so() -> None:
    made = Figures(unswitchable={"mosec": "a restart"}, versions={"ours": "", "mosec": ""})
    made.switches["ours"] = {"failed": 1, "answered": 9, "gaps": [0.5, 0.1], "quiet": [0.01], "ready": [1.0, 3.0, 2.0]}
    lines = switch_table(made)

    assert "1 of 10" in lines[2]
    assert "500 ms (10 ms)" in lines[2]
    assert "2.0 s (1.0 s – 3.0 s)" in lines[2]
    assert "cannot: a restart" in lines[3]
