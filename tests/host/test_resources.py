"""What a process uses, against what others read of the same process."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from controller.host.resources import used_by
from tests.waiting import eventually

TICK = 0.011
"""The kernel counts in hundredths of a second."""


def test_memory_is_read_of_a_process_whose_name_looks_like_fields(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 (b"
    program.symlink_to(shutil.which("sleep") or "")
    with subprocess.Popen([program, "600"]) as process:
        try:
            seen = psutil.Process(process.pid)
            eventually(lambda: used_by(process.pid).rss_bytes == seen.memory_info().rss > 0, "the same memory")
            assert used_by(process.pid).cpu_seconds < 1
        finally:
            process.kill()


def test_processor_time_is_told_apart_from_that_of_children() -> None:
    before = os.times()
    subprocess.run(["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"], check=True)
    used, after = used_by(os.getpid()), os.times()
    spent = after.children_user + after.children_system
    assert spent > before.children_user + before.children_system
    assert used.cpu_seconds_of_children == pytest.approx(spent, abs=TICK)
    assert before.user + before.system - TICK <= used.cpu_seconds <= after.user + after.system + TICK


def test_a_process_that_has_ended_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        used_by(2**22 + 1)
