"""The controller's log: a line goes to stderr and to the file, and a disk that is full makes no noise of its own."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.json_log import log_of_a_command, logging_to

log = logging.getLogger(__name__)


@pytest.fixture(autouse=True)
def others() -> Iterator[None]:
    """Put the handlers of the test run back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_carries_what_it_is_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(tmp_path / "logs" / "controller.log", "info"):
        log.info("switched", extra={"pid": "A01"})

    [line] = (tmp_path / "logs" / "controller.log").read_text().splitlines()
    assert capsys.readouterr().err == f"{line}\n"
    assert {"message": "switched", "pid": "A01", "package": None}.items() <= json.loads(line).items()


def test_what_a_full_disk_does_not_take_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(Path("/dev/full"), "info"):
        log.info("switched")

    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "switched"


def test_in_the_journal_each_line_has_its_priority(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stderr = os.fstat(sys.stderr.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{stderr.st_dev}:{stderr.st_ino}")

    with logging_to(None, "info"):
        log.info("switched")
        log.warning("it exited unexpectedly")
        log.error("rolled back")

    assert [line[:3] for line in capfd.readouterr().err.splitlines()] == ["<6>", "<4>", "<3>"]


def test_what_a_terminal_obeys_is_an_escape_and_the_same_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with logging_to(tmp_path / "controller.log", "info"):
        log.warning("it raised \x1b]0;owned\x07\x9b1A\u202e in 部署")

    line = capsys.readouterr().err
    assert line[:-1].isprintable()
    assert "部署" in line
    assert json.loads(line)["message"] == "it raised \x1b]0;owned\x07\x9b1A\u202e in 部署"
    assert (tmp_path / "controller.log").read_text() == line

    with (tmp_path / "stderr").open("w", encoding="gbk") as narrow:
        monkeypatch.setattr("sys.stderr", narrow)
        with logging_to(None, "info"):
            log.warning("no room for ✗")
    assert json.loads((tmp_path / "stderr").read_text("ascii"))["message"] == "no room for ✗"


def test_the_log_of_a_command_is_for_people_and_repeats_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    log_of_a_command("warning")

    log.info("adopted")
    log.warning("the disk is full\x1b[2J")
    log.warning("package/x: failed", extra={"reported": True})

    assert capsys.readouterr().err == "warning: the disk is full\\x1b[2J\n"
