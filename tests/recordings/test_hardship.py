"""Recording on a disk that is full, and after a power cut: what is shown is whole, and nothing beyond is kept."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from controller.images.formats import Picture
from controller.model.recording import RecordedPicture, RecordingFilter
from controller.recordings.export import export
from controller.recordings.keeping import Keeper
from controller.recordings.source import Pictures
from controller.recordings.stored import StoreRecordings
from controller.store.layout import StoreLayout
from tests.host_limits import on_small_disk
from tests.recorded import picture, pictures, recorded
from tests.store.test_durability import recorded as on_disk

ALL = RecordingFilter()
GUIDE = picture(9, (64, 64, 3))

FULL = """
import json, os, subprocess, sys
from pathlib import Path
import numpy as np
from controller.errors import StoreError
from controller.images.slots import looks
from controller.model.recording import RecordingFilter
from controller.recordings.keeping import Keeper
from controller.recordings.stored import StoreRecordings
from controller.store.layout import StoreLayout
from tests.recorded import pictures, recorded

disk = Path(sys.argv[1])
layout = StoreLayout.at(disk / "store")
np.save("picture.npy", np.random.default_rng(1).integers(0, 255, (600, 800, 3), np.uint8))
look = list(looks(os.stat("picture.npy")))
command = [sys.executable, "-P", "-m", "controller.recordings.writer", str(layout.root)]
writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
troubles = []

def heard(key):
    while True:
        said = json.loads(writer.stdout.readline())
        if "trouble" in said:
            troubles.append(said["trouble"])
        if key in said or "dropped" in said and key == "kept":
            return said

def record(number):
    call = recorded(number).to_document()
    del call["image"], call["guide"]
    image = {"path": os.path.abspath("picture.npy"), "look": look, "color_space": "RGB"}
    writer.stdin.write(json.dumps({"record": call, "image": image, "guide": None}).encode() + b"\\n")
    writer.stdin.flush()
    return heard("kept")

before = []
while "kept" in (said := record(len(before))):
    before.append(said["kept"])
heard("trouble")
free = os.statvfs(disk)
filler = disk / "filler"
with filler.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(1 << 16))
    except OSError:
        pass
again = record(1000)
keeper = Keeper(layout)
try:
    keeper.add(recorded(2000), pictures())
    full = "written"
except StoreError as error:
    full = str(error)
keeper.close()
shown = len(StoreRecordings(layout).calls(RecordingFilter()))
left = sorted({path.suffix for path in (layout.recordings / "A01").iterdir()})
filler.unlink()
StoreRecordings(layout).delete(RecordingFilter())
after = record(3000)
writer.stdin.close()
writer.wait()
print(json.dumps({
    "recorded": len(before), "why": said["why"], "free": free.f_bavail / free.f_blocks, "again": again.get("why"),
    "full": full, "shown": shown, "left": left, "after": "kept" in after, "stopped": any(troubles),
}))
"""


def test_a_disk_under_pressure_stops_recording_until_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [sys.executable, "-c", FULL, str(disk)]

    done = subprocess.run(
        on_small_disk(disk, command, size="32M", inodes=500), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert 0.4 < found.pop("free") < 0.55, "it stopped when half of a disk as small as this was left"
    count = found.pop("recorded")
    assert count > 3
    assert "No space left on device" in found.pop("full") or "full" in found
    assert found == {
        "why": "disk", "again": "disk", "shown": count, "left": [".call"], "after": True, "stopped": True,
    }  # fmt: skip


def test_what_has_a_name_is_on_the_disk(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path / "store")
    keeper = Keeper(layout)
    with on_disk(layout) as disk:
        for number in range(3):
            keeper.add(recorded(number, guide=GUIDE), pictures(number, GUIDE))
    keeper.close()

    first = str(layout.recordings / "A01" / recorded(0).id)
    linked = {str(layout.recordings / "A01" / f"{recorded(number).id}.guide") for number in (1, 2)}
    assert set(disk.names) >= {f"{first}.call", f"{first}.guide"}, "names are not waited for"
    assert {path for path in disk.data if "index.sqlite" not in path} <= linked, "a second name of what is there"


@pytest.mark.parametrize("index", ["there", "older", "gone"])
def test_whatever_names_a_power_cut_takes_only_whole_calls_are_shown(tmp_path: Path, index: str) -> None:
    layout = StoreLayout.at(tmp_path / "store")
    keeper = Keeper(layout)
    kept = [keeper.add(recorded(number, guide=GUIDE), pictures(number, GUIDE)) for number in range(2)]
    keeper.close()
    older = layout.recordings_index.read_bytes()
    keeper = Keeper(layout)
    kept.append(keeper.add(recorded(2, guide=GUIDE), pictures(2, GUIDE)))
    keeper.close()
    names = sorted(path.name for path in (layout.recordings / "A01").iterdir())[-4:]
    whole = tmp_path / "whole"
    shutil.copytree(layout.root, whole)

    for taken in itertools.chain.from_iterable(itertools.combinations(names, count) for count in range(5)):
        shutil.rmtree(layout.root)
        shutil.copytree(whole, layout.root)
        for name in taken:
            (layout.recordings / "A01" / name).unlink()
        if index == "gone":
            layout.recordings_index.unlink()
        elif index == "older":
            layout.recordings_index.write_bytes(older)
        lost = {name.split(".")[0] for name in taken}
        after = Keeper(layout)
        for _ in ("before the sweep", "after it"):
            stored = StoreRecordings(layout)
            shown = stored.calls(ALL)
            assert {call.id for call in shown} <= {call.id for call in kept if call.id not in lost}
            assert all(stored.pictures(call) is not None for call in shown)
            after.sweep()
        assert {call.id for call in StoreRecordings(layout).calls(ALL)} == {call.id for call in kept} - lost
        assert after.total().calls == len(kept) - len(lost)
        after.close()


IMPORT = """
import json, subprocess, sys
from pathlib import Path
from controller.host.clock import utc_now
from controller.model.recording import RecordingFilter
from controller.recordings.keeping import Keeper
from controller.recordings.stored import StoreRecordings
from controller.store.layout import StoreLayout
from controller.store.store import Store
from tests.host_limits import filled

exported, layout, found = sys.argv[1], StoreLayout.at(Path(sys.argv[2]) / "store"), []
Store.at(layout, utc_now).create_folders()

def bring():
    pvctl = Path(sys.executable).with_name("pvctl")
    command = [pvctl, "--store", layout.root, "recordings", "import", exported]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    calls = StoreRecordings(layout).calls(RecordingFilter())
    assert all(StoreRecordings(layout).pictures(call) is not None for call in calls)
    files = [path.suffix for path in layout.recordings.glob("*/*")]
    assert files == [".call"] * len(calls), files
    found.append({"exit": done.returncode, "said": done.stdout + done.stderr, "calls": len(calls)})

bring()
with filled(layout.root):
    bring()
StoreRecordings(layout).delete(RecordingFilter(last=8))
bring()
keeper = Keeper(layout)
found.append(keeper.sweep()[:3])
keeper.close()
print(json.dumps(found))
"""


def test_an_import_stops_where_the_disk_has_no_room_and_leaves_nothing_half(tmp_path: Path) -> None:
    disk, exported = tmp_path / "disk", tmp_path / "recordings.zip"
    disk.mkdir()
    keeper = Keeper(StoreLayout.at(tmp_path / "elsewhere"))
    noise = Picture((600, 800, 3), memoryview(random.Random(1).randbytes(600 * 800 * 3)))  # noqa: S311
    for number in range(12):
        keeper.add(recorded(number, image=RecordedPicture((600, 800, 3))), Pictures(noise, None))
    keeper.close()
    with exported.open("wb") as out:
        export(StoreRecordings(StoreLayout.at(tmp_path / "elsewhere")), ALL, out)

    done = subprocess.run(
        on_small_disk(disk, [sys.executable, "-c", IMPORT, str(exported), str(disk)], size="24M", inodes=500),
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    first, full, after, swept = json.loads(done.stdout)
    assert (first["exit"], full["exit"], after["exit"]) == (1, 1, 1)
    assert 3 < first["calls"] == full["calls"] <= after["calls"] < 12
    assert f"{first['calls']} calls were taken over before, and stay" in first["said"]
    for each in (first, after):
        assert "no recorded call is taken over until there is more" in each["said"]
        assert "import the file again" in each["said"]
    assert "disk" in full["said"]
    assert swept == [0, 0, 0], "files and index agree"
