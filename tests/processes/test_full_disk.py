"""A store that is filled to its last byte: processes start all the same, and no shim dies of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.host_limits import on_small_disk

pytestmark = pytest.mark.real

FULL = """
import asyncio, json, os, sys
from pathlib import Path
from controller.calls.detection import detect, smoke
from controller.calls.request import DetectionRequest
from controller.client.arguments import CallArguments
from controller.processes import record_files
from controller.processes.census import end_all
from controller.processes.pool import ProcessPool
from controller.processes.spec import ProcessSpec
from controller.store.layout import StoreLayout

PART = memoryview(bytes(60)).cast("B", (4, 5, 3))

def fill(folder):
    with open(folder / "filler", "ab", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue

async def main(store, spec):
    layout = StoreLayout.at(store)
    layout.run.mkdir(parents=True)
    spec = ProcessSpec.from_document(json.loads(spec))
    pool = ProcessPool(layout, smoke=smoke, now=lambda: "2026-01-02T03:04:05Z")
    await pool.open()
    async def ask(**given):
        request = DetectionRequest("A01", PART, arguments=CallArguments(guide_info=[given]))
        return (await detect(pool.processes()[0], request)).data
    first = await pool.start(spec)
    fill(layout.root)
    await ask(do="stderr", bytes=100_000)
    os.kill(first.os_pid, 9)
    while pool.processes()[0].state != "exited":
        await asyncio.sleep(0.01)
    again = await pool.start(spec)
    noisy = await ask(do="stderr", bytes=300_000)
    await pool.close()
    aside = [str(path.relative_to(layout.run)) for path, _ in record_files.files(layout.run) if path.suffix == ".json"]
    await pool.open()
    adopted = (await pool.observe())[spec.key].os_pid
    (layout.root / "filler").unlink()
    await ask(do="stderr", bytes=1000)
    await pool.processes()[0].mark(spec)
    back = [str(path.relative_to(layout.run)) for path, _ in record_files.files(layout.run) if path.suffix == ".json"]
    log = Path(spec.log_path).read_text(errors="replace")
    await pool.close()
    end_all(layout)
    print(json.dumps({
        "restarted": again.os_pid != first.os_pid, "adopted": adopted == again.os_pid, "aside": aside, "back": back,
        "dropped": "lines were dropped: No space left on device" in log,
    }))

asyncio.run(main(*sys.argv[1:]))
"""


def test_on_a_full_disk_a_killed_process_is_restarted_and_adopted_and_log_lines_are_counted(
    layout, make_spec, tmp_path: Path
):
    disk = tmp_path / "disk"
    disk.mkdir()
    spec = make_spec(log_path=str(disk / "store" / "logs" / "a.log")).to_document()
    command = [sys.executable, "-c", FULL, str(disk / "store"), json.dumps(spec)]

    done = subprocess.run(
        on_small_disk(disk, command, size="2M", inodes=500), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [each.split("/")[0] for each in found.pop("aside")] == ["images"]
    assert [len(each.split("/")) for each in found.pop("back")] == [1]
    assert found == {"restarted": True, "adopted": True, "dropped": True}
