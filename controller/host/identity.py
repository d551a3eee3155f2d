"""Who a process is, beyond its number: numbers are used again, and the wall clock moves.

An identity is the boot, the number, and the start in clock ticks since that boot. A signal goes through a pidfd that
was opened before the identity was checked. Our own processes are found by a variable in their environment, which their
children inherit wherever these go; `environment.py` names the variables.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.host.clock import boot_id

_ROUNDS = 10
_PATIENCE = 3.0
"""Seconds that the killed of one round may take to end."""
_EXEC_PATIENCE = 1.0
"""Seconds that all processes which are seen in the middle of an exec may take to be through with it."""
_EXEC_LOOK = 0.001
"""Seconds between two looks at those."""
_START, _MEMORY, _ENVIRONMENT_START, _ENVIRONMENT_END = 19, 20, 47, 48
"""Fields of /proc/PID/stat, counted from its third: starttime, vsize, env_start and env_end in proc_pid_stat(5)."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Identifies one process for ever. `start_ticks` count from the boot that `boot_id` names."""

    os_pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def from_document(cls, document: Any) -> ProcessIdentity:
        """Return the identity that a shim recorded. Raises TypeError, KeyError or ValueError where it is none."""
        return cls(int(document["os_pid"]), int(document["start_ticks"]), str(document["boot_id"]))


def identify(os_pid: int) -> ProcessIdentity | None:
    """Return the identity of a running process; None where there is none, or only a zombie."""
    try:
        fields = _stat(os_pid)
    except OSError:
        return None
    if not fields or fields[0] in {b"Z", b"X"}:
        return None
    return ProcessIdentity(os_pid, int(fields[_START]), boot_id())


def _read(os_pid: int, name: str) -> bytes:
    """Return what the kernel says of a process in one of its files below /proc. Raises OSError: it has ended."""
    return Path(f"/proc/{os_pid}/{name}").read_bytes()


def _stat(os_pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the third on: the second, a name in brackets, may hold anything."""
    return _read(os_pid, "stat").rpartition(b")")[2].split()


def is_same(identity: ProcessIdentity) -> bool:
    """Return whether exactly this process still runs."""
    return identify(identity.os_pid) == identity


def open_pidfd(identity: ProcessIdentity) -> int | None:
    """Return a descriptor of exactly this process, for the caller to close; None where it has ended."""
    try:
        descriptor = os.pidfd_open(identity.os_pid)
    except OSError:
        return None
    if is_same(identity):  # checked after opening: from now on the descriptor cannot come to mean another
        return descriptor
    os.close(descriptor)
    return None


def send_signal(identity: ProcessIdentity, number: int) -> bool:
    """Signal exactly this process; return whether it was there."""
    descriptor = open_pidfd(identity)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, number)
    except OSError:  # it ended meanwhile
        return False
    finally:
        os.close(descriptor)
    return True


def wait_for_end(identities: Iterable[ProcessIdentity], patience: float) -> None:
    """Return when all of them have ended, or after `patience` seconds."""
    until = time.monotonic() + patience
    for identity in identities:
        descriptor = open_pidfd(identity)
        if descriptor is not None:
            _ends(descriptor, max(0.0, until - time.monotonic()))
            os.close(descriptor)


def _ends(descriptor: int, patience: float) -> bool:
    poll = select.poll()  # not select(), which knows no descriptor above 1023
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(patience * 1000))


def find_processes(variable: str, prefix: str = "") -> Iterator[tuple[ProcessIdentity, str]]:
    """Yield the running processes in whose environment `variable` begins with `prefix`, and its value there.

    Never the caller itself, and no process of somebody else, whose environment is not ours to read. A process in the
    middle of an exec shows no environment for a moment: it is looked at again until it does, for a second at most.
    """
    numbers = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
    to_look_at = [os_pid for os_pid in numbers if os_pid != os.getpid()]
    until = time.monotonic() + _EXEC_PATIENCE
    while to_look_at:
        in_exec = []
        for os_pid in to_look_at:
            try:
                found = _look_at(os_pid, variable, prefix)
            except _InExecError:
                in_exec.append(os_pid)
            else:
                if found is not None:
                    yield found
        if not in_exec or time.monotonic() >= until:
            return
        time.sleep(_EXEC_LOOK)
        to_look_at = in_exec


class _InExecError(Exception):
    """A process is in the middle of an exec: its new environment cannot be read yet."""


def _look_at(os_pid: int, variable: str, prefix: str) -> tuple[ProcessIdentity, str] | None:
    """Return a process and its value; None where it is not one of those that are looked for. Raises _InExecError."""
    try:
        descriptor = os.pidfd_open(os_pid)
    except OSError:  # it has ended
        return None
    try:
        value = _value_of(variable, os_pid)
        if value is None or not value.startswith(prefix):
            return None
        identity = identify(os_pid)
        # While the process that was there first has not ended, its number has not come to mean another.
        return (identity, value) if identity is not None and not _ends(descriptor, 0) else None
    finally:
        os.close(descriptor)


def _value_of(variable: str, os_pid: int) -> str | None:
    try:
        environment = _read(os_pid, "environ")
        if not environment and _was_in_exec(_stat(os_pid)):
            raise _InExecError
    except OSError:  # it has ended, or is somebody else's
        return None
    name = f"{variable}=".encode()
    found = (entry[len(name) :] for entry in environment.split(b"\0") if entry.startswith(name))
    return next(map(os.fsdecode, found), None)


def _was_in_exec(fields: list[bytes]) -> bool:
    """Whether the process whose environment was read as empty just before was in the middle of an exec.

    An exec gives a process new memory first, and a little later says where in it the environment is (`env_start` and
    `env_end`, both 0 until then; where they are told by now, another look will find it). A program that was started
    without an environment has one of no length. Kernel threads, zombies and what is ending have no memory (`vsize`).
    """
    memory, start, end = (int(fields[place]) for place in (_MEMORY, _ENVIRONMENT_START, _ENVIRONMENT_END))
    return memory > 0 and (end == 0 or start < end)


def kill_processes(variable: str, prefix: str, wanted: Callable[[str], bool] = lambda _: True) -> None:
    """Kill every process whose `variable` begins with `prefix` and has a value that is `wanted`; wait for their ends.

    Again and again while the killed have offspring; what even then is there cannot be killed.
    """
    for _ in range(_ROUNDS):
        found = [identity for identity, value in find_processes(variable, prefix) if wanted(value)]
        if not found:
            return
        for identity in found:
            send_signal(identity, signal.SIGKILL)
        wait_for_end(found, _PATIENCE)
