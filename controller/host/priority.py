"""How a process of ours gives way to others on the machine. What the system refuses is left as it is."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

_LEAST, _LITTLE = 19, 10
_TURN = 50_000_000
"""Nanoseconds that a process which gives way asks to run at a time: rarely, and whoever wakes meanwhile goes before."""
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}


def give_way(os_pid: int) -> None:
    """Let a process run only where nothing else of its session wants to; where memory is short it goes first."""
    _weigh(os_pid, _LEAST, os.SCHED_IDLE)


def give_way_to_the_line(os_pid: int) -> None:
    """Let a process with all its threads run where the line leaves time; where memory is short it goes first.

    Within a session the policy decides, of each thread by itself; where the scheduler shares by session, what the
    session weighs as a whole. The kernel takes the class of reads and writes from the policy: idle as well. What it
    starts from now on does so too.
    """
    with suppress(OSError):  # it ended
        for thread in map(int, os.listdir(f"/proc/{os_pid}/task")):  # noqa: PTH208 - as names; light floor
            _weigh_thread(thread, _LEAST, os.SCHED_IDLE)
    _write(os_pid, "oom_score_adj", "1000")
    _write(os_pid, "autogroup", str(_LEAST))


def give_way_a_little(os_pid: int) -> None:
    """Let a process with all its threads have a small share beside others: somebody waits for what it does.

    On a machine at rest it is as quick as without. What it starts from now on does so too; a session that it begins
    weighs as others do until it is told.
    """
    with suppress(OSError):  # it ended
        for thread in map(int, os.listdir(f"/proc/{os_pid}/task")):  # noqa: PTH208 - as names; light floor
            _weigh_thread(thread, _LITTLE, os.SCHED_BATCH)
    _write(os_pid, "autogroup", str(_LITTLE))


def give_way_to_all() -> None:
    """Let this process, which leads a session of its own, have a small share, whoever else works.

    Where the scheduler shares by session, a nice value counts within one; so the session as a whole is made to weigh
    little. In exchange it always has some share: what it does is waited for by somebody. With a share alone, whoever
    wakes would wait for the running process to have its turn, unless that one asked for longer turns than others have
    (sched_runtime in sched_setattr(2), Linux 6.12 and later). And of several cores it keeps to the last, so that there
    is always one on which nobody meets it.
    """
    _give_way_as_a_session(_LITTLE)
    with suppress(OSError):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def give_way_entirely() -> None:
    """Let this process, which leads a session of its own, have the least share there is, and the disk when it is idle.

    Nobody waits for what it does: on a busy machine it nearly stands still. Not quite, as it would under SCHED_IDLE:
    it may hold a lock that others want.
    """
    _give_way_as_a_session(_LEAST)
    _use_the_disk_last()


def _give_way_as_a_session(nice: int) -> None:
    _weigh(os.getpid(), nice, os.SCHED_BATCH)
    _take_long_turns(nice)
    if os.getsid(0) == os.getpid():
        _write(os.getpid(), "autogroup", str(nice))


def _use_the_disk_last() -> None:
    """Take the class `idle` of ioprio_set(2); some disks' schedulers have no classes, and pass over it."""
    import ctypes  # noqa: PLC0415 - only a process that gives way

    number = _IOPRIO_SET.get(os.uname().machine)
    if number is not None:  # IOPRIO_WHO_PROCESS, this one, IOPRIO_CLASS_IDLE
        ctypes.CDLL(None).syscall(number, 1, 0, 3 << 13)


def _take_long_turns(nice: int) -> None:
    """Ask for longer turns than others have; before the first thread starts, since threads take over what it has."""
    import ctypes  # noqa: PLC0415 - only a process that gives way
    import struct  # noqa: PLC0415

    number = _SCHED_SETATTR.get(os.uname().machine)
    if number is not None:  # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period
        attributes = struct.pack("=IIQiIQQQ", 48, os.SCHED_BATCH, 0, nice, 0, _TURN, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)


def _weigh(os_pid: int, nice: int, policy: int) -> None:
    _weigh_thread(os_pid, nice, policy)
    _write(os_pid, "oom_score_adj", "1000")


def _weigh_thread(number: int, nice: int, policy: int) -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, number, nice)
    with suppress(OSError):
        os.sched_setscheduler(number, policy, os.sched_param(0))


def _write(os_pid: int, name: str, text: str) -> None:
    with (
        suppress(OSError),
        open(f"/proc/{os_pid}/{name}", "w", encoding="ascii") as file,  # noqa: PTH123 - light floor
    ):
        file.write(text)


class Thread(NamedTuple):
    """What a thread is at. `stands`: it wants a processor, or waits for a disk. `ran`: processor time so far (s)."""

    stands: bool
    ran: float


def threads_of(os_pid: int) -> dict[str, Thread]:
    """Return the threads of a process by their numbers; without those that ended, or that the kernel does not tell of.

    How long a thread stood is not told while it does (`schedstat` is written when it runs again): look more than once.
    """
    found = {}
    with suppress(OSError):
        for number in os.listdir(f"/proc/{os_pid}/task"):  # noqa: PTH208 - as names; light floor
            with suppress(OSError, ValueError, IndexError):
                state = _read(f"/proc/{os_pid}/task/{number}/stat").rpartition(")")[2].split()[0]
                ran = int(_read(f"/proc/{os_pid}/task/{number}/schedstat").split()[0])
                found[number] = Thread(state in {"R", "D"}, ran / 1e9)
    return found


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - light floor
        return file.read()
