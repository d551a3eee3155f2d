"""Which station is asked: the daemon where one runs, else the store, and never both."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.client.addresses import Address
from controller.errors import CodedError, OtherTree
from controller.station.commands.operator import Message, Promote, Rollback
from controller.station.commands.reconciling import GetReadiness, PreviewPlan, Reconcile
from controller.station.commands.records import ReadAudit, VerifyAudit
from controller.station.commands.status import GetStatus
from controller.station.glance import glance
from controller.station.nearest import NearestStation
from controller.station.port import Caller, Command, DaemonSilent, Report, Result, finish, silent
from controller.station.remote import RemoteStation
from controller.station.trees import NamedTree
from controller.store.layout import StoreLayout
from controller.store.lock import ControllerLock
from tests.client.conftest import StationProcess, station
from tests.station.fake import STATUS, FakeStation
from tests.waiting import HANGS

__all__ = ["station"]
MIA = Caller("mia")


def execute(
    layout: StoreLayout,
    offline: FakeStation,
    command: Command[Result],
    named: Path | None = None,
    read: list[Path | None] | None = None,
    report: Report = silent,
) -> Result:
    """Carry out a command that names a desired tree, or none; `read` gets the tree that the store itself is given."""

    def without_daemon(tree: Path | None) -> FakeStation:
        if read is not None:
            read.append(tree)
        return offline

    tree = NamedTree(Path("nowhere"), given=False) if named is None else NamedTree(named)
    remote = RemoteStation(Address.of(layout.root, None, None))
    asked = NearestStation(layout, lambda: tree, lambda: remote, without_daemon)
    return finish(asked.execute(command, MIA, report))


def test_where_a_daemon_runs_it_is_asked(station: StationProcess) -> None:
    station.start()
    station.wait_until_up()
    offline = FakeStation()
    assert execute(station.layout, offline, GetStatus()) == STATUS
    assert execute(station.layout, offline, Promote("screws")) == Message("promote screws: will be done")
    assert offline.asked == []


def test_what_only_reads_files_and_what_no_daemon_does_is_done_here(station: StationProcess) -> None:
    station.start()
    station.wait_until_up()
    offline = FakeStation()
    execute(station.layout, offline, VerifyAudit())
    execute(station.layout, offline, Reconcile(serve=False))
    assert offline.asked == [VerifyAudit(), Reconcile(serve=False)]
    assert execute(station.layout, offline, ReadAudit(2)).next_before is None
    assert len(offline.asked) == 2


def test_without_a_daemon_and_with_the_socket_of_a_killed_one_the_store_is_asked(station: StationProcess) -> None:
    offline = FakeStation()
    execute(station.layout, offline, GetStatus())
    execute(station.layout, offline, Promote("screws"))
    station.start()
    station.wait_until_up()
    station.kill()
    assert station.layout.socket.exists()
    execute(station.layout, offline, GetStatus())
    execute(station.layout, offline, Promote("screws"))
    assert offline.asked == [GetStatus(), Promote("screws")] * 2


def test_a_tree_that_is_named_must_be_the_daemons(station: StationProcess, tmp_path: Path) -> None:
    theirs, other, link = station.layout.root / "desired", tmp_path / "other", tmp_path / "link"
    theirs.mkdir()
    other.mkdir()
    link.symlink_to(theirs)
    station.start()
    station.wait_until_up()
    offline, read = FakeStation(), list[Path | None]()
    for command in (PreviewPlan(), Reconcile(), Promote("screws"), Rollback("A01", reason="r")):
        with pytest.raises(OtherTree) as caught:
            execute(station.layout, offline, command, other, read)
        assert str(theirs.resolve()) in str(caught.value)
        assert str(other.resolve()) in str(caught.value)
        execute(station.layout, offline, command, link, read)
        execute(station.layout, offline, command, None, read)
    execute(station.layout, offline, PreviewPlan(proposal=True), other, read)

    assert read == [link, theirs, None], "a plan is made here: of the daemon's tree, by the name that the caller has"
    assert offline.asked == [PreviewPlan(), PreviewPlan(), PreviewPlan(proposal=True)]


@contextmanager
def answering(layout: StoreLayout, *answers: bytes) -> Iterator[None]:
    """A daemon that says these bytes, one connection each, and closes."""
    layout.run.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(layout.socket))
        listener.listen()

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(HANGS)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n[1", b"HTTP/1.1 200 OK\r\n\r\n[1]", b"\x00"])
def test_a_glance_takes_nothing_but_a_document(tmp_path: Path, answer: bytes) -> None:
    layout = StoreLayout.at(tmp_path / "s")
    with answering(layout, answer):
        assert glance(layout.socket) is None
    assert glance(layout.socket) is None, "and nothing at all where nobody listens"


def test_a_daemon_of_the_release_before_is_asked_without_a_look_at_its_tree(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path / "s")
    unknown = b'{"error":{"code":1000,"name":"unknown","message":"there is no /v1/desired","details":{}}}'
    done = b'{"message":"goes on"}'
    answers = [
        b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
        for status, body in ((b"404 Not Found", unknown), (b"200 OK", done))
    ]
    with answering(layout, *answers):
        assert execute(layout, FakeStation(), Promote("screws"), tmp_path) == Message("goes on")


def test_a_daemon_that_refuses_is_heard_in_its_own_words(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path / "s")
    body = b'{"error":{"code":1004,"name":"not_initialized","message":"the daemon is still starting","details":{}}}'
    refusal = b"HTTP/1.1 503 Wait\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with answering(layout, refusal, refusal), pytest.raises(CodedError, match="still starting"):
        execute(layout, FakeStation(), GetStatus())


def test_a_daemon_that_does_not_listen_yet_is_waited_for(
    station: StationProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.station.nearest.PATIENCE", 30.0)
    offline = FakeStation()
    with ControllerLock(station.layout, "run", now="then"):
        assert not station.layout.socket.exists()
        station.start()
        assert execute(station.layout, offline, Promote("screws")) == Message("promote screws: will be done")
    assert offline.asked == []


def test_a_daemon_that_never_listens_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.station.nearest.PATIENCE", 0.0)
    layout, offline, said = StoreLayout.at(tmp_path / "s"), FakeStation(), []
    with ControllerLock(layout, "run", now="then"):
        with pytest.raises(DaemonSilent, match=rf"`pvctl run` .process {os.getpid()}, since then. does not answer: it"):
            execute(layout, offline, Promote("screws"))
        assert offline.asked == []
        execute(layout, offline, GetStatus(), report=said.append)
    assert offline.asked == [GetStatus()]
    assert [f"process {os.getpid()}" in line and "its last status" in line for line in said] == [True]


def test_another_controller_than_a_daemon_refuses_in_its_own_words(tmp_path: Path) -> None:
    layout, offline = StoreLayout.at(tmp_path / "s"), FakeStation()
    with ControllerLock(layout, "install", now="then"):
        execute(layout, offline, Promote("screws"))
    assert offline.asked == [Promote("screws")], "what takes the lock says who has it"


@pytest.mark.parametrize("status", [b"404 Not Found", b"500 Internal Server Error"])
def test_what_the_files_say_as_well_is_read_there_where_a_daemon_cannot_say_it(tmp_path: Path, status: bytes) -> None:
    error = b'{"error": {"code": 1000, "name": "unknown", "message": "there is no /v1/audit", "details": {}}}'
    answer = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(error), error)
    layout, offline = StoreLayout.at(tmp_path / "s"), FakeStation()
    with answering(layout, answer, answer):
        assert execute(layout, offline, ReadAudit(2)).rows
        with pytest.raises(CodedError, match="there is no"):
            execute(layout, offline, GetReadiness())
    assert offline.asked == [ReadAudit(2)]
