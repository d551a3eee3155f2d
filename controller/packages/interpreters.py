"""The Python interpreters at hand: the controller's own, those of the station policy, those on PATH.

Each is asked once what it is; nothing is decided here.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path

from packaging.markers import default_environment
from packaging.tags import Tag, compatible_tags, cpython_tags, platform_tags

from controller.host.conditions import host_error, is_shortage
from controller.host.environment import clean_environment

_ON_PATH = re.compile(r"python3(\.\d+)?\Z")
_DEADLINE_S = 20.0
_QUESTION = """
import os, platform, sys, sysconfig
print(ascii({
    "executable": getattr(sys, "_base_executable", "") or sys.executable,
    "implementation": sys.implementation.name, "platform": sysconfig.get_platform(),
    "version": platform.python_version().rstrip("+"), "numbers": tuple(sys.version_info[:2]),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "debug": bool(sysconfig.get_config_var("Py_DEBUG")),
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A CPython on this machine: its executable (never one of a virtual environment) and what wheels it takes."""

    executable: str
    version: str
    numbers: tuple[int, int]
    free_threaded: bool = False
    debug: bool = False

    @cached_property
    def tags(self) -> frozenset[Tag]:
        major, minor = self.numbers
        suffix = ("t" if self.free_threaded else "") + ("d" if self.debug else "")
        platforms = list(platform_tags())
        abi = f"cp{major}{minor}{suffix}"
        return frozenset(
            [
                *cpython_tags((major, minor), [abi], platforms),
                *compatible_tags((major, minor), f"cp{major}{minor}", platforms),
            ]
        )

    @cached_property
    def markers(self) -> Mapping[str, str]:
        """The environment for PEP 508 markers: that of this machine, with the interpreter's version."""
        here = {key: str(value) for key, value in default_environment().items()}
        version = {"python_full_version": self.version, "implementation_version": self.version}
        return {**here, **version, "python_version": ".".join(map(str, self.numbers))}

    def __str__(self) -> str:
        return f"Python {self.version} ({self.executable})"


@dataclass(frozen=True)
class Unusable:
    """An interpreter that the station policy names and that does not run, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Interpreters:
    """Finds interpreters, the likeliest first."""

    def __init__(self, pythons: Sequence[str]) -> None:
        self._pythons = tuple(pythons)

    def at_hand(self) -> Iterator[Interpreter]:
        """Yield the interpreters in order of preference, each once; only those that are wanted are asked.

        What does not run is left out: `unusable` names it where the policy does, and a shim on PATH without a version
        behind it is nobody's fault.
        """
        seen: set[str] = set()
        own = getattr(sys, "_base_executable", "") or sys.executable
        for path in chain([own], self._pythons, _on_path()):
            found = _identify(path)
            if isinstance(found, Interpreter) and (real := os.path.realpath(found.executable)) not in seen:
                seen.add(real)
                yield found

    def unusable(self) -> list[Unusable]:
        """Return the interpreters that the station policy names and that cannot be used."""
        return [found for path in self._pythons if isinstance(found := _identify(path), Unusable)]


def _identify(path: str) -> Interpreter | Unusable:
    try:
        state = Path(path).stat()
        return _ask(path, (state.st_ino, state.st_mtime_ns, state.st_ctime_ns))
    except OSError as error:
        return Unusable(path, error.strerror or str(error))
    except _DoesNotRun as error:
        return Unusable(path, f"it does not run: {error}")


def _on_path() -> Iterator[str]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if _ON_PATH.match(entry.name))
        except OSError:  # PATH may name folders that are not there
            continue
        for name in sorted(names, key=_version_in, reverse=True):
            yield os.path.join(folder, name)  # noqa: PTH118 - a plain string is what is handed on


def _version_in(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.removeprefix("python").split("."))


class _DoesNotRun(Exception):
    """It gave no answer, and why."""


@lru_cache(maxsize=64)
def _ask(path: str, _state: tuple[int, int, int]) -> Interpreter | Unusable:
    """Run an interpreter to learn what it is; once, as long as its file is the same.

    One that gives no answer is asked again the next time: what it lacked may have been installed since. Raises
    _DoesNotRun, or HostError where the machine has no room for another process.
    """
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", _QUESTION], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_DEADLINE_S, check=False, env=clean_environment(),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        if isinstance(error, OSError) and is_shortage(error.errno):
            raise host_error(f"ask {path} which Python it is", error) from error
        raise _DoesNotRun(str(error)) from error
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise _DoesNotRun(words[-1] if words else f"exit status {done.returncode}")
    return _judge(path, done.stdout)


def _judge(path: str, answer: str) -> Interpreter | Unusable:
    try:
        facts = ast.literal_eval(answer)
    except (ValueError, SyntaxError):
        return Unusable(path, "it does not answer like a Python interpreter")
    if facts["implementation"] != "cpython":
        return Unusable(path, f"it is {facts['implementation']}, not CPython")
    if facts["platform"] != sysconfig.get_platform():
        return Unusable(path, f"it is for {facts['platform']}, this machine is {sysconfig.get_platform()}")
    return Interpreter(facts["executable"], facts["version"], facts["numbers"], facts["free_threaded"], facts["debug"])
