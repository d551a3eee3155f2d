"""sd_notify(3): to a path, to an abstract name, to nobody."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from controller.host.service_manager import notify
from tests.waiting import HANGS


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_hears_a_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"\0pvctl-test:{tmp_path}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(HANGS)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_without_one_or_where_it_does_not_listen_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert notify("READY=1") is None
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "absent"))
    assert notify("READY=1") is None


def test_a_manager_that_does_not_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"\0procvision-full-{os.getpid()}"
        manager.bind(name)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        for number in range(1000):  # far more than the system keeps
            notify(f"STATUS={number}")

        assert manager.recv(100) == b"STATUS=0"
