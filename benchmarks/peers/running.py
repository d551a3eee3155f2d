"""Drivers and everything that they started: spoken to within bounds, and ended without leaving anything."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import select
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peers.environments import ROOT

_TOKEN = "BENCH_PEERS"  # noqa: S105  - the name of a variable


class Failed(Exception):
    """A server did not do what it was asked; says why."""


class Cannot(Exception):
    """A server has no way to do what it was asked; says why."""


class Driver:
    """One driver, in the environment of its server."""

    def __init__(self, python: Path, module: str, name: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._token = uuid.uuid4().hex
        environment = {**os.environ, _TOKEN: self._token, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
        self._log = folder / "driver.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python), "-m", "benchmarks.peers.driver", module, name, str(folder)],
                cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, process_group=0,
            )  # fmt: skip

    def ask(self, do: str, within: float, **order: Any) -> Any:
        """Return the answer to an order. Raises Failed, also where it takes longer than `within` seconds; Cannot."""
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise Failed(f"{do}: its driver is gone: {self._last_words()}") from None
        line = self._line(within)
        if line is None:
            raise Failed(f"{do}: no answer within {within:.0f} s")
        if not line:
            raise Failed(f"{do}: its driver died: {self._last_words()}")
        answer = json.loads(line)
        if "cannot" in answer:
            raise Cannot(answer["cannot"])
        if "error" in answer:
            raise Failed(f"{do}: {answer['error']}")
        return answer["result"]

    def _line(self, within: float) -> bytes | None:
        """Return one line; None where none came in time. A driver says one line at a time, and nothing in between."""
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], within)[0]:
            return None
        return self._process.stdout.readline()

    def _last_words(self) -> str:
        return " ".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-2:])[-400:]

    def end(self) -> None:
        """End the driver, and whatever else carries its token or lives in its folder."""
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self.sweep()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def processor_s(self) -> dict[int, float]:
        """Return the processor time of each process of the server so far; the driver is none of them."""
        used = {}
        for process in self._left():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                used[process.pid] = times.user + times.system
        return used

    def sweep(self) -> None:
        """End what is left of a server that was stopped, wherever it went; the driver stays."""
        left = list(self._left())
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)

    def _left(self) -> Iterator[psutil.Process]:
        """Every living process that this driver started, wherever it went: a cluster's own daemons, shims, workers."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environment = process.environ()
                ours = environment.get(_TOKEN) == self._token or any(
                    str(self._folder) in part for part in (*process.cmdline(), *environment.values())
                )
                if ours and process.pid not in (os.getpid(), self._process.pid):
                    yield process


def load_average() -> str:
    """Return what the machine had to do in the last minute."""
    return f"{os.getloadavg()[0]:.2f}"


def machine() -> str:
    """Return what it is measured on, as text."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "unknown processor")
    cores, memory = f"{os.cpu_count()} cores ({model})", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    return f"{cores}, {memory}, Linux {os.uname().release}, CPython {platform.python_version()}"
