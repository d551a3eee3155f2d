"""`pvctl recordings`: what it asks of the station, what it prints, and the files that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.errors import ControllerError
from controller.station.commands.recordings import (
    DeleteRecordings,
    ExportRecordings,
    GetRecording,
    ImportRecordings,
    ListRecordings,
    ShowRecording,
)
from tests.cli.conftest import Pvctl
from tests.station.fake import RECORDED, FakeStation


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_they_are_listed_page_by_page_with_every_filter(pvctl: Pvctl) -> None:
    said = pvctl(
        "recordings", "list", "--pid", "A01", "--pid", "A02", "--deployment", "screws", "--version", "1.0.0",
        "--verdict", "NG", "--kind", "sample", "--since", "2027-01-15T09:00:00+01:00", "--last", "5",
    )  # fmt: skip

    header, first, *_ = said.out.splitlines()
    assert header.split() == ["ID", "PID", "VERDICT", "VERSION", "AGE", "LATENCY", "DEFECTS", "KINDS"]
    assert first.split()[:4] == [RECORDED.id, "A01", "NG", "screw-check@1.0.0"]
    query = ListRecordings(
        pid=("A01", "A02"), deployment="screws", version=("1.0.0",), verdict=("NG",), kind=("sample",),
        since="2027-01-15T08:00:00.000000Z", limit=5,
    )  # fmt: skip
    first_asked, second_asked = pvctl.asked
    assert first_asked == query
    assert isinstance(second_asked, ListRecordings)
    assert (second_asked.before, second_asked.limit) == (RECORDED.id, 4)
    (row, _) = json.loads(pvctl("recordings", "list", "-o", "json").out)
    assert (row["id"], row["kinds"]) == (RECORDED.id, ["NG", "sample"])
    assert "1.682 KiB" in pvctl("recordings", "list", "-o", "wide").out


def test_how_long_ago_is_a_time_too(pvctl: Pvctl) -> None:
    pvctl("recordings", "list", "--since", "2h", "--until", "1h", "--last", "1")
    (asked,) = pvctl.asked
    assert isinstance(asked, ListRecordings)
    since, until = asked.epochs()
    assert since is not None
    assert until is not None
    assert abs(until - since - 3600) < 60
    assert pvctl("recordings", "list", "--since", "soon").code == 64


def test_one_is_shown_as_a_page_a_picture_or_a_document(pvctl: Pvctl, here: Path) -> None:
    assert pvctl("recordings", "show", RECORDED.id).code == 0
    assert pvctl.asked == [ShowRecording(RECORDED.id)]
    assert (here / f"{RECORDED.id}.html").read_bytes() == b"page"
    assert all(file.closed for file in pvctl.product.fake.files)
    pvctl("recordings", "show", RECORDED.id, "-o", "png", "--guide", "--out", "part.png")
    assert pvctl.asked == [ShowRecording(RECORDED.id, "picture", guide=True)]
    assert (here / "part.png").read_bytes() == b"picture guide"
    assert json.loads(pvctl("recordings", "show", RECORDED.id, "-o", "json").out)["digest"] == "sha256:ab"
    assert pvctl.asked == [GetRecording(RECORDED.id)]
    assert json.loads(pvctl("-o", "json", "recordings", "show", RECORDED.id).out)["id"] == RECORDED.id
    missing = pvctl("recordings", "show", "x", "--out", "missing.html")
    assert (missing.code, missing.err.count("there is no recorded call x")) == (1, 1)
    assert sorted(path.name for path in here.iterdir()) == [f"{RECORDED.id}.html", "part.png"]


@pytest.mark.parametrize("words", [
    ("--guide",), ("-o", "json", "--out", "x"), ("-o", "png", "--open"), ("-o", "xml"),
])  # fmt: skip
def test_what_does_not_go_together_is_wrong_usage(pvctl: Pvctl, words: tuple[str, ...]) -> None:
    assert pvctl("recordings", "show", RECORDED.id, *words).code == 64
    assert pvctl.asked == []


def test_an_export_has_its_name_once_it_is_whole(pvctl: Pvctl, here: Path) -> None:
    assert pvctl("recordings", "export", "--pid", "A01", "--last", "9", "--out", "x.zip").err == "x.zip: 11 B\n"
    assert pvctl.asked == [ExportRecordings(pid=("A01",), last=9)]
    assert (here / "x.zip").read_bytes() == b"PK exported"

    station = FakeStation()
    station.torn = ControllerError("the file was cut off")
    torn = pvctl("recordings", "export", "--out", "torn.zip", station=station)
    assert (torn.code, "cut off" in torn.err) == (1, True)
    assert [path.name for path in here.iterdir()] == ["x.zip"]
    assert pvctl("recordings", "export", RECORDED.id).code == 64, "--out is needed"


def test_an_import_says_what_became_of_each_call(pvctl: Pvctl, here: Path) -> None:
    (here / "x.zip").write_bytes(b"PK exported")
    said = pvctl("recordings", "import", "x.zip")
    assert pvctl.asked == [ImportRecordings(Path("x.zip"))]
    assert said.out == "2 imported, 1 there already, 0 damaged, 0 beyond the bounds of their PIDs\n"
    assert pvctl.product.fake.imported == b"PK exported"


def test_nothing_is_deleted_without_saying_so_twice(pvctl: Pvctl) -> None:
    asked = pvctl("recordings", "delete", "--pid", "A01")
    assert (asked.code, "this would delete 2 recorded calls; say --yes" in asked.err) == (64, True)
    assert not any(isinstance(each, DeleteRecordings) for each in pvctl.asked)
    assert pvctl("recordings", "delete", "--pid", "A01", "--yes").out == "1 deleted, 5.045 KiB\n"
    assert pvctl.asked == [DeleteRecordings(pid=("A01",))]
    pvctl("recordings", "delete", RECORDED.id, "--yes")
    assert pvctl.asked == [DeleteRecordings(id=(RECORDED.id,))]
    assert pvctl("recordings", "delete", "--all", "--yes").out.startswith("3 deleted")
    nothing = pvctl("recordings", "delete", "--yes")
    assert (nothing.code, "nothing says which" in nothing.err, pvctl.asked) == (1, True, [])
