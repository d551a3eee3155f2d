"""How a process of ours gives way to everything else on the machine. What the system refuses is left as it is."""

from __future__ import annotations

import os
from contextlib import suppress

_LEAST = 19


def give_way(os_pid: int = 0, *, altogether: bool = True) -> None:
    """Let a process (0: this one) run only where nothing else wants to; where memory is short it goes first.

    Not `altogether`: it gets a small share, but interrupts nothing else.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, os_pid, _LEAST)
    with suppress(OSError):
        os.sched_setscheduler(os_pid, os.SCHED_IDLE if altogether else os.SCHED_BATCH, os.sched_param(0))
    with (
        suppress(OSError),
        open(f"/proc/{os_pid or 'self'}/oom_score_adj", "w", encoding="ascii") as file,  # noqa: PTH123 - light floor
    ):
        file.write("1000")
