"""Unix sockets in folders whose path is longer than the kernel takes, and who is at the other end."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import psutil
import pytest

from controller.host.sockets import connect, listen, peer_user


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A folder whose path no socket's name may have."""
    folder = tmp_path / ("deep-" * 30)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(OSError, match="too long"):
        probe.bind(str(folder / "s"))
    return folder


def descriptors() -> int:
    return psutil.Process().num_fds()


def test_it_listens_and_connects_where_the_path_is_too_long_for_a_name(deep: Path) -> None:
    with listen(deep, "s.sock", backlog=1) as listener, connect(deep, "s.sock") as there:
        listener.setblocking(True)
        here, _ = listener.accept()
        with here:
            here.sendall(b"hello")
            assert there.getblocking()
            assert there.recv(5) == b"hello"
            assert peer_user(here) == peer_user(there) == os.getuid()
    assert [path.name for path in deep.iterdir()] == ["s.sock"]


def test_what_stood_there_is_replaced_and_only_the_owner_may_connect(tmp_path: Path) -> None:
    for leftover in ("s.sock", "s.sock.new"):
        (tmp_path / leftover).touch()
    with listen(tmp_path, "s.sock", backlog=1) as first, listen(tmp_path, "s.sock", backlog=1) as second:
        assert not second.getblocking()
        assert stat.S_IMODE((tmp_path / "s.sock").stat().st_mode) == 0o600
        with connect(tmp_path, "s.sock"):
            second.accept()[0].close()
            with pytest.raises(BlockingIOError):
                first.accept()


def test_a_full_queue_is_as_good_as_nobody_there(tmp_path: Path) -> None:
    with listen(tmp_path, "s.sock", backlog=0), connect(tmp_path, "s.sock"):
        before = descriptors()
        with pytest.raises(BlockingIOError):
            connect(tmp_path, "s.sock")
        assert descriptors() == before


def test_nothing_stays_open_where_nobody_listens(tmp_path: Path) -> None:
    (tmp_path / "file.sock").touch()
    before = descriptors()
    for folder, name, number in (
        (tmp_path, "absent.sock", errno.ENOENT),
        (tmp_path, "file.sock", errno.ECONNREFUSED),
        (tmp_path / "absent", "s.sock", errno.ENOENT),
        (tmp_path / "file.sock", "s.sock", errno.ENOTDIR),
    ):
        with pytest.raises(OSError, match=os.strerror(number)):
            connect(folder, name)
        with pytest.raises(OSError, match=os.strerror(number)):
            connect(folder, name, socket.SOCK_SEQPACKET)
    with pytest.raises(OSError, match=os.strerror(errno.ENOENT)):
        listen(tmp_path / "absent", "s.sock", backlog=1)
    assert descriptors() == before


def test_only_a_unix_socket_knows_its_peers_user() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as there:
        assert peer_user(there) is None
