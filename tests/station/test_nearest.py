"""Which station is asked: the daemon where one runs, else the store, and never both."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.client.addresses import Address
from controller.errors import CodedError
from controller.station.commands.operator import Message, Promote
from controller.station.commands.reconciling import Reconcile
from controller.station.commands.records import ReadAudit
from controller.station.commands.status import GetStatus
from controller.station.glance import glance
from controller.station.nearest import NearestStation
from controller.station.port import Caller, Command, Result, finish
from controller.station.remote import RemoteStation
from controller.store.layout import StoreLayout
from tests.client.conftest import StationProcess, station
from tests.station.fake import STATUS, FakeStation

__all__ = ["station"]
MIA = Caller("mia")


def nearest(layout: StoreLayout, offline: FakeStation) -> NearestStation:
    return NearestStation(layout, lambda: RemoteStation(Address.of(layout.root, None, None)), lambda: offline)


def execute(layout: StoreLayout, offline: FakeStation, command: Command[Result]) -> Result:
    return finish(nearest(layout, offline).execute(command, MIA))


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
    execute(station.layout, offline, ReadAudit())
    execute(station.layout, offline, Reconcile(serve=False))
    assert offline.asked == [ReadAudit(), Reconcile(serve=False)]


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
        thread.join(20)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n[1", b"HTTP/1.1 200 OK\r\n\r\n[1]", b"\x00"])
def test_a_glance_takes_nothing_but_a_document(tmp_path: Path, answer: bytes) -> None:
    layout = StoreLayout.at(tmp_path / "s")
    with answering(layout, answer):
        assert glance(layout.socket) is None
    assert glance(layout.socket) is None, "and nothing at all where nobody listens"


def test_a_daemon_that_refuses_is_heard_in_its_own_words(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path / "s")
    body = b'{"error":{"code":1004,"name":"not_initialized","message":"the daemon is still starting","details":{}}}'
    refusal = b"HTTP/1.1 503 Wait\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with answering(layout, refusal, refusal), pytest.raises(CodedError, match="still starting"):
        execute(layout, FakeStation(), GetStatus())
