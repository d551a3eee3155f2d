"""`pvctl replay`: its forms, its reports, its exit codes, and what does not go together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from controller.cli.app import run
from controller.cli.replay import too_few
from controller.station.commands.replaying import ReplayExported, ReplayRecorded
from tests.cli.fakes import FakeProduct
from tests.replay.documents import REPLAY
from tests.replay.parts import export_file

Pvctl = Callable[..., int]


@pytest.fixture
def product() -> FakeProduct:
    return FakeProduct()


@pytest.fixture
def pvctl(product: FakeProduct) -> Pvctl:
    return lambda *words: run([str(word) for word in words], lambda _: product)


def test_it_asks_the_station_and_shows_what_differs(
    pvctl: Pvctl, product: FakeProduct, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pvctl("replay", "screws", "--version", "2.0.0", "--last", 60, "--only", "ng", "--max-newly-ok", "1%") == 5

    asked = product.fake.asked[-1]
    assert asked == ReplayRecorded("screws", "2.0.0", last=60, only=("NG",), max_newly_ok=0.01)
    shown = capsys.readouterr().out
    assert "newly OK   2 of 56    3.57 % (0.44 % – 12.31 %)   0.2 %   beyond" in shown
    assert "inspector@2.0.0 is beyond the limits" in shown
    assert [line.split()[2] for line in shown.splitlines() if line.startswith("A01")] == ["r30", "r31", "r60"]


def test_a_file_of_recordings_takes_the_place_of_the_stores(pvctl: Pvctl, product: FakeProduct, tmp_path: Path) -> None:
    file = tmp_path / "line-a.zip"

    assert pvctl("replay", "screws", "--recordings", file) == 5

    assert product.fake.asked[-1] == ReplayExported(ReplayRecorded("screws"), file)


def test_packages_need_no_station_and_decide_the_exit_code(pvctl: Pvctl, product: FakeProduct, tmp_path: Path) -> None:
    common = ("--recordings", tmp_path / "line-a.zip")

    assert pvctl("replay", "--package", "old.zip", "--package", "new.zip", *common) == 5
    assert pvctl("replay", "--package", "new.zip", *common, "--max-newly-ok", "50%") == 0
    assert pvctl("replay", "--package", "old.zip", "--package", "bad.zip", *common) == 4
    assert product.fake.asked == []


def test_with_too_few_compared_pictures_nothing_is_within_the_limits(
    pvctl: Pvctl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = ("replay", "--package", "new.zip", "--recordings", tmp_path / "line-a.zip")
    words = (*package, "--max-newly-ok", "50%", "--report", tmp_path / "r.json")

    assert pvctl(*words, "--min-compared", 58) == 1
    assert "57 of 60 pictures could be judged, 58 are needed" in capsys.readouterr().err
    assert (tmp_path / "r.json").is_file(), "what was found is told all the same"
    assert pvctl(*words, "--min-compared", 57) == 0
    assert pvctl(*package, "--min-compared", 58) == 5, "beyond the limits it is already"


def test_without_a_number_fifty_are_needed_or_all_that_had_a_verdict() -> None:
    def judged(wanted: int, judged: int, excused: int = 0) -> bool:
        errors = {**REPLAY["errors"], "of": judged}
        return too_few({**REPLAY, "wanted": wanted, "excused": excused, "errors": errors}, None) is None

    assert [judged(500, 1), judged(500, 49), judged(500, 50), judged(12, 12), judged(12, 11)] == [
        False, False, True, True, False,
    ]  # fmt: skip
    assert judged(12, 9, excused=3), "a call that failed at the line says nothing of the version, nor against it"


def test_a_report_without_its_folder_is_refused_before_anything_is_shown(
    pvctl: Pvctl, product: FakeProduct, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pvctl("replay", "screws", "--report", tmp_path / "none" / "r.json") == 64
    assert "there is no folder" in capsys.readouterr().err
    assert product.fake.asked == []


def test_reports_are_written_in_the_forms_of_their_endings(
    pvctl: Pvctl, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = export_file(tmp_path, (30, 31))
    files = [tmp_path / name for name in ("r.html", "r.xml", "r.json", "r.yaml")]
    words = [word for file in files for word in ("--report", file)]

    assert pvctl("replay", "--package", "new.zip", "--recordings", recordings, "-o", "junit", *words) == 5

    printed = capsys.readouterr().out
    assert ElementTree.fromstring(printed).get("tests") == "60"  # noqa: S314 - our own
    assert files[1].read_text() == printed
    assert json.loads(files[2].read_text()) == json.loads(json.dumps(REPLAY))
    assert files[0].read_text().count("<image ") == 2
    assert files[3].read_text().startswith("deployment: screws")
    assert pvctl("-o", "html", "replay", "--package", "new.zip", "--recordings", recordings) == 5
    assert capsys.readouterr().out.startswith("<!DOCTYPE html>")


def test_a_form_that_only_a_replay_has_is_refused_elsewhere(pvctl: Pvctl, capsys: pytest.CaptureFixture[str]) -> None:
    assert pvctl("-o", "junit", "status") == 64
    assert "junit is no form of what this command prints" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("screws", "--package", "a.zip"),
        ("--package", "a.zip"),
        ("--package", "a.zip", "--package", "b.zip", "--package", "c.zip", "--recordings", "r"),
        ("--package", "a.zip", "--recordings", "r", "--version", "1.0.0"),
        ("screws", "--call-timeout", "3s"),
        ("screws", "--report", "report.txt"),
        ("screws", "--only", "GOOD"),
        ("screws", "--max-newly-ok", "two"),
        ("screws", "-o", "sarif"),
        ("screws", "--last", "0"),
        ("screws", "--last", "10001"),
        ("screws", "--jobs", "0"),
        ("screws", "--iou", "0%"),
    ],
    ids=" ".join,
)
def test_what_does_not_go_together_is_wrong_usage(pvctl: Pvctl, product: FakeProduct, words: tuple[str, ...]) -> None:
    assert pvctl("replay", *words) == 64
    assert product.fake.asked == []
