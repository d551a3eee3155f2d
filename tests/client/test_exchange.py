"""What a broken connection means, shown on the kernel itself: real Unix and TCP sockets, closed at chosen moments."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.client.addresses import Address
from controller.client.answers import UnknownOutcome
from controller.client.attempts import Attempts, Patience
from controller.client.blocking import Client, Pool
from controller.client.exchange import Broken, NeverAccepted
from controller.errors import CallError, Code
from tests.waiting import HANGS

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def peer(store: Path, behave: Callable[[socket.socket], None]) -> Iterator[Address]:
    """A store whose daemon treats its one connection as `behave` says, then closes it."""
    (store / "run").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(store / "run" / "runner.sock"))
        listener.listen()
        with _behaving(listener, behave):
            yield Address.of(store, None, None)


@contextmanager
def _behaving(listener: socket.socket, behave: Callable[[socket.socket], None]) -> Iterator[None]:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            behave(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join(HANGS)
        assert not thread.is_alive()


def read_all(connection: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(connection.recv(size))


def test_closed_without_reading_was_never_accepted(tmp_path: Path) -> None:
    received = threading.Event()

    def close_unread(connection: socket.socket) -> None:
        assert connection.recv(1, socket.MSG_PEEK)
        received.set()

    with peer(tmp_path, close_unread) as address, pytest.raises(NeverAccepted, match="before the call was read"):
        Pool(address).exchange([b"request"], 10)
    assert received.is_set(), "the whole request was with the kernel"


def test_closed_but_for_the_last_byte_was_never_accepted(tmp_path: Path) -> None:
    with (
        peer(tmp_path, lambda connection: read_all(connection, 6)) as address,
        pytest.raises(NeverAccepted, match="reset by peer before"),
    ):
        Pool(address).exchange([b"request"], 10)


def test_closed_after_the_last_byte_is_unknown(tmp_path: Path) -> None:
    with (
        peer(tmp_path, lambda connection: read_all(connection, 7)) as address,
        pytest.raises(Broken, match="closed before the answer"),
    ):
        Pool(address).exchange([b"request"], 10)


def test_closed_while_writing_was_never_accepted(tmp_path: Path) -> None:
    with (
        peer(tmp_path, lambda connection: read_all(connection, 1000)) as address,
        pytest.raises(NeverAccepted),
    ):
        Pool(address).exchange([bytes(64 << 20)], 10)


def test_part_of_an_answer_is_unknown(tmp_path: Path) -> None:
    def half(connection: socket.socket) -> None:
        read_all(connection, 7)
        connection.sendall(_ANSWER[:30])

    with peer(tmp_path, half) as address, pytest.raises(Broken):
        Pool(address).exchange([b"request"], 10)


def test_what_is_not_http_is_unknown(tmp_path: Path) -> None:
    def garbage(connection: socket.socket) -> None:
        read_all(connection, 7)
        connection.sendall(b"SSH-2.0\r\n\r\n")

    with peer(tmp_path, garbage) as address, pytest.raises(Broken, match="not HTTP"):
        Pool(address).exchange([b"request"], 10)


def test_early_answer_to_a_large_request_is_heard(tmp_path: Path) -> None:
    def refuse(connection: socket.socket) -> None:
        read_all(connection, 1000)
        connection.sendall(_ANSWER.replace(b"200 OK", b"413 No"))

    with peer(tmp_path, refuse) as address:
        answer = Pool(address).exchange([bytes(64 << 20)], 10)
    assert (answer.status, answer.reusable) == (413, False)


def test_reset_of_a_tcp_connection_is_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address.of(None, f"http://127.0.0.1:{listener.getsockname()[1]}", None)
        with (
            _behaving(listener, lambda connection: read_all(connection, 6)),
            pytest.raises(Broken, match="reset by peer"),
        ):
            Pool(address).exchange([b"request"], 10)


def test_token_and_arguments_go_over_tcp() -> None:
    heard: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))
        connection.sendall(
            b"HTTP/1.1 429 Busy\r\nConnection: close\r\nContent-Length: 58\r\n\r\n"
            b'{"error":{"code":1011,"message":"full","details":{"a":1}}}'
        )

    with socket.create_server(("127.0.0.1", 0)) as listener, _behaving(listener, answer):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url=url, token="s3cret") as client, pytest.raises(CallError, match="full") as caught:
            client.execute("A01", b"png", step_index=3)
    assert (caught.value.code, caught.value.details) == (Code.busy, {"a": 1})
    assert b"\r\nAuthorization: Bearer s3cret\r\n" in heard[0]
    assert b'{"step_index":3,' in heard[0]


def test_forked_child_does_not_use_its_parent_s_connections(tmp_path: Path) -> None:
    with peer(tmp_path, lambda connection: (read_all(connection, 7), connection.sendall(_ANSWER))) as address:
        pool = Pool(address)
        assert pool.exchange([b"request"], 10).reusable
        pool._process = os.getpid() + 1
        (tmp_path / "run" / "runner.sock").unlink()
        with pytest.raises(NeverAccepted, match="no such file"):
            pool.exchange([b"request"], 10)


def test_attempts_wait_longer_and_longer_until_patience_ends() -> None:
    attempts = Attempts("here", Patience(connect_timeout=100), None)
    delays = [attempts.after(NeverAccepted("refused")) for _ in range(12)]
    assert all(0 < delay <= 0.5 for delay in delays)
    assert delays[0] <= 0.01 < delays[6]
    assert attempts.after(NeverAccepted("closed", stale=True)) == 0


def test_only_what_may_be_tried_again_is() -> None:
    busy, unknown = CallError(Code.busy, "full"), UnknownOutcome("closed")
    for failure in (busy, unknown, CallError(Code.timeout, "late"), CallError(Code.unknown, "odd")):
        with pytest.raises(CallError) as caught:
            Attempts("here", Patience(), None).after(failure)
        assert caught.value is failure
    assert Attempts("here", Patience(retry_busy=True), None).after(busy) > 0
    assert Attempts("here", Patience(retry_unknown=True), None).after(unknown) > 0
