"""A running daemon as an operator has it: `pvctl run` in a process of its own, asked over its socket, and killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.end_to_end.station import Station
from tests.waiting import HANGS, PATIENCE, eventually


class Daemon:
    """The daemon of one station; `start` and `kill` may be used again and again.

    `confined` makes of its command one that runs on another machine, as it were, with less to be had or with more;
    `arguments` are given to `pvctl run`.
    """

    def __init__(self, station: Station) -> None:
        self.station = station
        self.confined: Callable[[list[str]], list[str]] = lambda command: command
        self.arguments: tuple[str, ...] = ()
        self._process: subprocess.Popen[str] | None = None

    @property
    def os_pid(self) -> int:
        return self._running.pid

    @property
    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the daemon was not started"
        return self._process

    def start(self, *, ready: bool = True, **environment: str) -> None:
        """Start the daemon, and wait until everything that is active can answer."""
        errors = (self.station.root / "daemon.err").open("a")
        with errors:
            self._process = subprocess.Popen(
                self.confined(self.station.command("run", *self.arguments)), env={**os.environ, **environment},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, text=True,
            )  # fmt: skip
        if ready:
            eventually(lambda: self._alive() and self.get("/readyz")[0] == 200, "readiness")

    def _alive(self) -> bool:
        assert self._running.poll() is None, (self.station.root / "daemon.err").read_text()
        return True

    def signal(self, number: int) -> None:
        self._running.send_signal(number)

    def wait(self, seconds: float = HANGS) -> int:
        """Wait for the daemon to end by itself; return its exit code."""
        return self._running.wait(seconds)

    def kill(self) -> None:
        """End the daemon as a power cut would: SIGKILL."""
        self._running.kill()
        self._running.wait()

    def stop(self) -> int:
        """End the daemon alone; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def leave_nothing(self) -> None:
        """End it however it stands, for a fixture's end."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def get(self, path: str) -> tuple[int, Any]:
        """Return status and JSON of a GET over the socket; status 0 where nobody listens."""
        status, _, body = self.fetch(path)
        return status, json.loads(body) if status else None

    def fetch(self, path: str, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers (in small letters) and body of a GET over the socket; 0 where nobody listens."""
        connection = http.client.HTTPConnection("station", timeout=HANGS)
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.settimeout(HANGS)
        try:
            with through_folder(self.station.store / "run") as folder:
                channel.connect(f"{folder}/runner.sock")
            connection.sock = channel
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except (FileNotFoundError, ConnectionError):
            return 0, {}, b""
        finally:
            connection.close()
            channel.close()

    def status(self) -> Any:
        """Return the status document."""
        status, document = self.get("/v1/status")
        assert status == 200, document
        return document

    def until(self, holds: Callable[[Any], object], what: str, seconds: float = PATIENCE) -> Any:
        """Return the first status document for which `holds`."""

        def look() -> Any:
            document = self.status()
            return document if holds(document) else None

        return eventually(look, what, seconds)

    def deployment(self, name: str) -> Any:
        return next(each for each in self.status()["deployments"] if each["name"] == name)

    def os_pids(self) -> dict[str, int]:
        """Return the OS pid of each ready process by `<deployment>/<version>`."""
        return {f"{each['deployment']}/{each['version']}": each["os_pid"] for each in self.status()["processes"]}

    def until_active(self, pid: str, version: str) -> None:
        eventually(lambda: self.station.mapped(pid) == version, f"{pid} on {version}")

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of controller.log."""
        text = (self.station.store / "logs" / "controller.log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


@contextmanager
def through_folder(folder: Path) -> Iterator[str]:
    """Yield a short name of a folder: a socket's path is limited to 107 bytes, and a test's folder may be longer."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
