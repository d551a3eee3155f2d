"""Who gives way, gives way to other sessions, too."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from controller.host.priority import give_way, give_way_a_little, give_way_to_the_line, threads_of
from tests.waiting import eventually

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


@pytest.mark.parametrize(
    ("gives_way", "policy", "nice", "goes_first"),
    [(give_way_to_the_line, os.SCHED_IDLE, 19, True), (give_way_a_little, os.SCHED_BATCH, 10, False)],
    ids=["to the line", "a little"],
)
def test_what_gives_way_does_so_as_a_session_and_with_all_that_it_starts(
    gives_way: Callable[[int], None], policy: int, nice: int, goes_first: bool
) -> None:
    memory = "1000\n" if goes_first else Path("/proc/self/oom_score_adj").read_text()
    command, pipe = ["sh", "-c", "read go; sleep 600 & echo $!; wait"], subprocess.PIPE
    with subprocess.Popen(command, start_new_session=True, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            gives_way(process.pid)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            child = int(process.stdout.readline())
            for os_pid in (process.pid, child):
                assert os.sched_getscheduler(os_pid) == policy
                assert os.getpriority(os.PRIO_PROCESS, os_pid) == nice
                assert Path(f"/proc/{os_pid}/oom_score_adj").read_text() == memory
                group = Path(f"/proc/{os_pid}/autogroup")
                assert not group.exists() or group.read_text().endswith(f"nice {nice}\n")
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_it_is_known_what_the_threads_of_a_process_are_at() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            eventually(lambda: [each.stands for each in threads_of(process.pid).values()] == [False], "it sleeps")
        finally:
            process.kill()
    assert threads_of(process.pid) == {}
    own = threads_of(os.getpid())[str(os.getpid())]
    assert own.stands, "who looks runs"
    assert own.ran > 0


def test_a_session_gives_way_entirely_at_the_disk_too() -> None:
    command, pipe = [sys.executable, "-c", TO_ALL.replace("to_all", "entirely")], subprocess.PIPE
    with subprocess.Popen(command, start_new_session=True, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"done\n"
            assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
            assert os.sched_getscheduler(process.pid) == os.SCHED_BATCH
            assert psutil.Process(process.pid).ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
            group = Path(f"/proc/{process.pid}/autogroup")
            assert not group.exists() or group.read_text().endswith("nice 19\n")
        finally:
            process.kill()
