"""Logs that are followed while processes come: of a deployment all of them, of a PID those of what answers it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.errors import NotFound
from controller.host.clock import utc_now
from controller.station.commands.records import LogPiece, ReadLogs
from controller.station.log_feeds import _LOOK_EVERY, _Logs
from controller.station.log_places import LogPlaces
from controller.store.layout import StoreLayout
from controller.store.store import Store
from tests.builders import deployment, revision


class Logged:
    """A store in which processes of the deployment `line` write; A01 and A02 are its PIDs."""

    def __init__(self, root: Path) -> None:
        self.store = Store.at(StoreLayout.at(root), utc_now)
        self.store.create_folders()
        self.store.revision.write(revision(deployment("line", "1.0.0", "A01", "A02")))
        self.folder = self.store.layout.logs / "algorithms" / "line"
        self.folder.mkdir(parents=True)

    def write(self, log: str, *lines: str) -> None:
        with (self.folder / f"{log}.log").open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def answers(self, pid: str, version: str) -> None:
        mapping = {"name": "line", "version": version, "activated_at": utc_now()}
        self.store.layout.mapping(pid).write_text(json.dumps(mapping))

    def follow(self, subject: str, version: str | None = None, lines: int = 1) -> Following:
        query = ReadLogs(subject, version, lines, follow=True)
        return Following(_Logs(LogPlaces(self.store, query).look, query))


class Following:
    """What a reader is told who looks until it is told of new logs too."""

    def __init__(self, logs: _Logs) -> None:
        self.logs = logs

    def told(self) -> list[LogPiece]:
        return [piece for _ in range(_LOOK_EVERY) for piece in self.logs.batch()]


@pytest.fixture
def logged(tmp_path: Path) -> Logged:
    logged = Logged(tmp_path / "store")
    logged.write("1.0.0-0", "old", "newer")
    return logged


def test_the_log_of_a_process_that_starts_later_is_told_from_its_first_line(logged: Logged) -> None:
    following, of_one = logged.follow("line"), logged.follow("line", "1.0.0")
    assert following.told() == of_one.told() == [LogPiece("1.0.0-0", "newer\n")]

    logged.write("1.1.0-0", "loads", "started")
    logged.write("1.0.0-0", "works")
    assert sorted(following.told()) == [LogPiece("1.0.0-0", "works\n"), LogPiece("1.1.0-0", "loads\nstarted\n")]
    logged.write("1.1.0-0", "works")
    logged.write("1.1.0-1", "a second replica")
    assert sorted(following.told()) == [LogPiece("1.1.0-0", "works\n"), LogPiece("1.1.0-1", "a second replica\n")]
    assert of_one.told() == [LogPiece("1.0.0-0", "works\n")]


def test_a_pid_is_followed_to_the_version_that_answers_it(logged: Logged) -> None:
    logged.answers("A01", "1.0.0")
    following = logged.follow("A01")
    assert following.told() == [LogPiece("1.0.0-0", "newer\n")]

    logged.write("1.1.0-0", "loads", "serves A02")
    assert following.told() == []
    logged.answers("A01", "1.1.0")
    assert following.told() == [LogPiece("1.1.0-0", "serves A02\n")], "what it said before is told as far as asked for"
    logged.write("1.0.0-0", "serves A02 now")
    logged.write("1.1.0-0", "serves A01")
    assert following.told() == [LogPiece("1.1.0-0", "serves A01\n")]
    logged.store.layout.mapping("A01").unlink()
    logged.write("1.1.0-0", "drains")
    assert following.told() == [LogPiece("1.1.0-0", "drains\n")]


def test_a_log_that_is_rotated_away_is_the_same_log(logged: Logged) -> None:
    following = logged.follow("line")
    following.told()
    log = logged.folder / "1.0.0-0.log"

    logged.write("1.0.0-0", "last")
    log.rename(log.with_name("1.0.0-0.log.1"))
    assert following.told() == [LogPiece("1.0.0-0", "last\n")]
    logged.write("1.0.0-0", "first")
    assert following.told() == [LogPiece("1.0.0-0", "first\n")]


def test_who_has_no_log_is_nobody_to_follow(logged: Logged) -> None:
    for subject, version in (("lime", None), ("..", None), ("line", "2.0.0"), ("line/../line", None)):
        with pytest.raises(NotFound, match="has written a log"):
            LogPlaces(logged.store, ReadLogs(subject, version))


def test_a_reader_that_leaves_lets_go_of_every_log(logged: Logged) -> None:
    following = logged.follow("line")
    following.told()
    logged.write("1.1.0-0", "loads")
    following.told()
    open_files = [each for each in Path("/proc/self/fd").iterdir() if str(logged.folder) in _target(each)]
    assert len(open_files) == 2

    following.logs.close()

    assert not [each for each in Path("/proc/self/fd").iterdir() if str(logged.folder) in _target(each)]
    logged.write("1.1.0-0", "more")
    assert following.told() == []


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""
