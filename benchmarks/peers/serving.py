"""Starting and ending a server as a process group of its own, and plain HTTP to it. Standard library only."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_PATIENCE = 60.0
"""Seconds for a server to be ready."""
_GRACE = 10.0
"""Seconds for a server to end by itself."""
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel end this process when who started it ends, however that ends. For `preexec_fn`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A server's processes: one process group, started with a log of its own, ended whole."""

    def __init__(self, command: Sequence[str], folder: Path, *, environment: Mapping[str, str] | None = None) -> None:
        self._log = folder / "server.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                list(command), cwd=folder, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, process_group=0, preexec_fn=die_with_parent,  # noqa: PLW1509  - no threads yet
            )  # fmt: skip

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait until it is ready. Raises RuntimeError where it ends or takes too long, with the end of its log."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}: {self._last_words()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if ready():
                    return
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server was not ready after {_PATIENCE:.0f} s: {self._last_words()}")
            time.sleep(0.02)

    def _last_words(self) -> str:
        return " | ".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-6:])[-800:]

    def stop(self) -> None:
        """End the whole group: politely, then not."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        # what is left of the group when its first process is gone was asked as well, and is killed by the second turn


class Posting:
    """POST over one connection that is kept, in pieces that nobody joins."""

    def __init__(self, connect: Callable[[], http.client.HTTPConnection]) -> None:
        self._connect = connect
        self._connection = connect()

    @classmethod
    def to(cls, port: int) -> Posting:
        return cls(lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=30))

    @classmethod
    def over_socket(cls, path: Path) -> Posting:
        return cls(lambda: _SocketConnection(path))

    def post(self, path: str, pieces: Sequence[bytes | memoryview], media_type: str) -> bytes:
        """Return the answer's body. Raises OSError or http.client.HTTPException; the next call connects anew."""
        length = sum(len(piece) for piece in pieces)
        try:
            self._connection.request(
                "POST", path, body=iter(pieces), headers={"Content-Type": media_type, "Content-Length": str(length)}
            )
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if answer.status != 200:
            raise http.client.HTTPException(f"HTTP {answer.status}: {body[:300]!r}")
        return body

    def form(self, path: str, parts: Mapping[str, Sequence[bytes | memoryview]]) -> dict[str, Any]:
        """POST parts as multipart/form-data; return the answer's document."""
        pieces: list[bytes | memoryview] = []
        for name, part in parts.items():
            disposition = f'Content-Disposition: form-data; name="{name}"; filename="{name}.npy"'
            pieces += [f"--bound\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()]
            pieces += [*part, b"\r\n"]
        body = self.post(path, [*pieces, b"--bound--\r\n"], "multipart/form-data; boundary=bound")
        document: dict[str, Any] = json.loads(body)
        return document


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("station", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self._path))


def npy(array: Any) -> list[bytes | memoryview]:
    """Return a `.npy` file of an H×W×3 array of uint8, in pieces: its pixels are not copied."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {array.shape!r}, }}"
    text += " " * (-(11 + len(text)) % 64) + "\n"
    return [b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode(), memoryview(array).cast("B")]


def releases(*names: str) -> str:
    """Return names and versions of distributions of this environment, as text."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
