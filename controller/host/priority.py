"""How a process of ours gives way to others on the machine. What the system refuses is left as it is."""

from __future__ import annotations

import os
from contextlib import suppress

_LEAST, _LITTLE = 19, 10


def give_way(os_pid: int) -> None:
    """Let a process run only where nothing else of its session wants to; where memory is short it goes first."""
    _weigh(os_pid, _LEAST, os.SCHED_IDLE)


def give_way_to_all() -> None:
    """Let this process, which leads a session of its own, have a small share, whoever else works.

    Where the scheduler shares by session, a nice value counts within one; so the session as a whole is made to weigh
    little. In exchange it always has some share: what it does is waited for by somebody.
    """
    _weigh(os.getpid(), _LITTLE, os.SCHED_BATCH)
    if os.getsid(0) == os.getpid():
        _write(os.getpid(), "autogroup", str(_LITTLE))


def _weigh(os_pid: int, nice: int, policy: int) -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, os_pid, nice)
    with suppress(OSError):
        os.sched_setscheduler(os_pid, policy, os.sched_param(0))
    _write(os_pid, "oom_score_adj", "1000")


def _write(os_pid: int, name: str, text: str) -> None:
    with (
        suppress(OSError),
        open(f"/proc/{os_pid}/{name}", "w", encoding="ascii") as file,  # noqa: PTH123 - light floor
    ):
        file.write(text)
