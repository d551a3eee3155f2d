"""What people see of a status: it fits, the bad news is first, a rollout has its numbers, and what is cut is said."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from controller.cli.ages import span
from controller.cli.screen import Line, clipped, painted, width_of, wrapped
from controller.cli.status_view import View
from controller.cli.watching import fitted
from controller.model.status_document import StatusDocument
from tests.cli.screens import LONG, NOW, bad_day, document, replayed, rollout

DOCUMENTS = pytest.mark.parametrize("make", [document, rollout, replayed, bad_day])
Make = Callable[[], StatusDocument]


def shown(make: Make, width: int, *, wide: bool = False) -> list[str]:
    lines = (line for section in View(make(), width, NOW, wide=wide).sections() for line in section.lines)
    return [painted(line, colour=False) for line in lines]


def on_screen(make: Make, width: int, height: int) -> list[Line]:
    return fitted(View(make(), width, NOW).sections(), width, height)


@DOCUMENTS
@pytest.mark.parametrize("width", [40, 80, 81, 120, 200])
def test_every_line_fits(make: Make, width: int) -> None:
    assert {line: width_of(line) for line in shown(make, width) if width_of(line) > width} == {}


@DOCUMENTS
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 30), (80, 10), (30, 5)])
def test_every_screen_fits_in_both_directions(make: Make, width: int, height: int) -> None:
    lines = on_screen(make, width, height)

    assert len(lines) <= height
    assert max(width_of(painted(line, colour=False)) for line in lines) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_what_is_cut_is_counted(width: int, height: int) -> None:
    lines = [painted(line, colour=False) for line in on_screen(bad_day, width, height)]

    pids = sum(bool(re.match(r"[AB]\d\d", line)) for line in lines)
    [cut] = re.findall(r"(\d+) PIDs", lines[-1])
    assert lines[-1].startswith("… not shown: ")
    assert pids + int(cut) == 201
    assert any(line.startswith("A117") for line in lines), "the one that cannot answer is not cut"


def test_a_narrow_screen_says_what_is_cut_as_far_as_it_can() -> None:
    signs = [painted(on_screen(bad_day, width, 20)[-1], colour=False) for width in (120, 60, 30, 20)]

    assert signs[0].endswith("`pvctl status` shows all")
    assert re.fullmatch(r"… not shown: .*, \d+ PIDs, \d+ other rows", signs[1])
    assert re.fullmatch(r"… \d+ rows cut|… not shown: .*", signs[3])


def test_every_deployment_comes_before_packages_and_words() -> None:
    lines = [painted(line, colour=False) for line in on_screen(rollout, 80, 16)]

    assert any(line.startswith("cells") for line in lines)
    assert not any(line.startswith("PACKAGE") for line in lines)


def test_a_screen_with_room_shows_all_and_says_nothing_of_a_cut() -> None:
    assert not any("not shown" in painted(line, colour=False) for line in on_screen(bad_day, 120, 400))


def test_the_bad_news_is_first() -> None:
    lines = shown(bad_day, 80)

    assert lines.index(next(line for line in lines if line.startswith("host: DiskPressure"))) < 6
    degraded, healthy = (next(i for i, line in enumerate(lines) if each in line) for each in ("Degraded", "Healthy"))
    assert degraded < healthy
    assert lines[next(i for i, line in enumerate(lines) if line.startswith("PID ")) + 1].startswith("A117")
    assert any(line.startswith(f"  {LONG}@1.1.0 is in quarantine since 20m ago: error") for line in shown(bad_day, 200))
    assert "no daemon runs; the rest is as of 66m ago, processes as of now" in lines
    assert any(line.startswith("refused: ") for line in lines)


def test_a_rollout_shows_calls_of_those_needed_each_metric_against_its_limit_and_the_time_left() -> None:
    lines = shown(rollout, 80)
    text = "\n".join(lines)

    assert "  errorRate      3.1 %   5 %     34 of 50  ██░░░░░░░░ 18 %" in lines
    assert "  latencyP95     912 ms  800 ms  34 of 50  ██████░░░░ 64 %" in lines
    assert "  calls in step  34      ≥ 50    34" in "\n".join(line[:36].rstrip() for line in lines)
    assert "(4m32s left)" in text
    assert "waiting:" not in text, "the rollout says itself what it waits for"
    assert next(line for line in lines if "25%" in line).split()[:2] == ["screws", "Paused"]


def test_a_replay_shows_its_shares_and_the_first_pictures_that_differ() -> None:
    lines = shown(replayed, 100)

    assert "  newlyOK  1 %    0.2 %  500 of 50  ██████████ 100 %" in lines
    named = " ".join(line.strip() for line in lines if "01HF7YAT" in line or "…" in line)
    assert named.startswith("newlyOK: A02 01HF7YAT00000 NG → OK, A02 01HF7YAT00001 NG → OK, A02 01HF7YAT00002")
    assert "01HF7YAT00003" not in named
    assert sum(line.count("01HF7YAT") for line in shown(replayed, 100, wide=True)) == 5


def test_ages_instead_of_timestamps_and_timestamps_in_full_when_asked_for() -> None:
    assert not re.search(r"20\d\d-\d\d-\d\dT", "\n".join(shown(document, 80)))
    wide = shown(document, 80, wide=True)
    assert any("2027-01-15T07:50:00.000000Z" in line and "screws@1.1.0" in line for line in wide)
    assert any("sha256:" + "ab" * 32 in line for line in wide)


def test_columns_go_before_names_are_cut() -> None:
    narrow = shown(document, 40)

    assert "A01  screws      1.1.0    yes    10m" in narrow
    assert any("ERRORS" in line for line in shown(document, 80))
    assert any("screws/screws@1.1.0-0" in line for line in narrow)
    assert not any("…" in line for line in narrow)


def test_names_that_are_too_long_keep_their_ends() -> None:
    assert any(line.startswith("surface-in") and "-line-0017" in line for line in shown(bad_day, 40))
    assert clipped(LONG, 21) == "surface-in…-line-0017"


def test_wide_characters_take_two_columns() -> None:
    assert width_of("灯が消えて") == 10
    assert clipped("灯が消えています", 7) == "灯が…す"
    assert [width_of(line) for line in wrapped("灯が消えています" * 3, 20)] == [18, 20, 14]


def test_words_are_not_broken_and_paths_break_behind_a_slash() -> None:
    text = f"/srv/stations/{LONG}/desired/inspection.yaml:12:5: spec.pidz: unknown key (did you mean 'pids'?)"

    lines = wrapped(text, 60)

    assert (
        "".join(line.strip() for line in lines) == text.replace(" ", "")
        or " ".join(line.strip() for line in lines).replace("/ ", "/") == text
    )
    assert all(line.strip().endswith(("/", "key", "did", "mean", "you", "'pids'?)", "5:", "unknown")) for line in lines)


def test_colour_says_the_same_as_no_colour() -> None:
    lines = on_screen(bad_day, 80, 24)

    assert any("\x1b[31mDegraded\x1b[0m" in painted(line, colour=True) for line in lines)
    assert [re.sub(r"\x1b\[\d+m", "", painted(line, colour=True)).rstrip() for line in lines] == [
        painted(line, colour=False) for line in lines
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (119, "119s"), (200, "3m20s"), (3600, "60m"), (3 * 3600, "3h"), (5 * 3600 + 720, "5h12m"),
     (30 * 3600, "30h"), (3 * 86400 + 7200, "3d2h"), (40 * 86400, "40d"), (-5, "0s")],
)  # fmt: skip
def test_times_have_two_units_at_most(seconds: float, text: str) -> None:
    assert span(seconds) == text
