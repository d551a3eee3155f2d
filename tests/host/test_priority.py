"""Who gives way, gives way to other sessions, too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from controller.host.priority import give_way

KERNEL = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))
TO_ALL = """
from controller.host.priority import give_way_to_all
give_way_to_all()
print("done", flush=True)
input()
"""


def test_a_process_gives_way_within_its_session() -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        try:
            give_way(process.pid)
            assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
            assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
            assert Path(f"/proc/{process.pid}/oom_score_adj").read_text() == "1000\n"
        finally:
            process.kill()


def test_a_session_gives_way_as_a_whole() -> None:
    command, pipe = [sys.executable, "-c", TO_ALL], subprocess.PIPE
    with subprocess.Popen(command, start_new_session=True, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"done\n"
            assert os.getpriority(os.PRIO_PROCESS, process.pid) == 10
            assert os.sched_getscheduler(process.pid) == os.SCHED_BATCH
            assert os.sched_getaffinity(process.pid) == {max(os.sched_getaffinity(0))}
            scheduling = Path(f"/proc/{process.pid}/sched")
            if KERNEL >= (6, 12) and scheduling.exists():  # before, no process has turns of its own
                assert re.search(r"^se\.slice +: +50000000$", scheduling.read_text(), re.MULTILINE)
            group = Path(f"/proc/{process.pid}/autogroup")
            assert not group.exists() or group.read_text().endswith("nice 10\n")
        finally:
            process.kill()
