"""Giving a process what nothing else wants: the processor, the disk and the memory that are left over."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil


def give_way(pid: int) -> None:
    """Let a process, and all that it starts, run only where nothing else wants to; where memory is short it goes first.

    What the system refuses is left as it is, and so is a process that has ended.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, 19)
    with suppress(OSError):
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError, psutil.Error):
        psutil.Process(pid).ionice(psutil.IOPRIO_CLASS_IDLE)
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
