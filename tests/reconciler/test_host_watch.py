"""A host that is nearly full stands in the status with figures, and is logged once: on a real disk that is filled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from controller.host.capacity import Capacity
from controller.model.pressure import GIB
from controller.reconciler.host_watch import HostWatch, pressing
from controller.store.layout import StoreLayout
from controller.store.tokens import TokenFile
from tests.host_limits import on_small_disk
from tests.waiting import HANGS

ROOT = Path(__file__).resolve().parents[2]
ON_A_SMALL_DISK = """
import json, sys
from pathlib import Path
from controller.reconciler.host_watch import HostWatch
from controller.store.layout import StoreLayout

store = Path(sys.argv[1])
(store / "run" / "images").mkdir(parents=True)
watch = HostWatch(StoreLayout.at(store))

def look():
    rows = watch.look("now").conditions
    print(json.dumps({each.type: [each.status, each.reason, each.message] for each in rows}))

look()
(store / "large").write_bytes(bytes(62 << 20))
look()
(store / "large").unlink()
for number in range(990):
    (store / str(number)).touch()
look()
"""


def test_a_real_disk_short_of_bytes_then_of_inodes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ON_A_SMALL_DISK, str(tmp_path)]
    apart = on_small_disk(tmp_path, command, size="64M", inodes=1000)

    done = subprocess.run(apart, capture_output=True, text=True, check=True, cwd=ROOT, timeout=HANGS)

    empty, full, many = (json.loads(line) for line in done.stdout.splitlines())
    assert (empty["DiskPressure"][0], empty["SharedMemoryPressure"][0]) == (False, False)
    assert full["DiskPressure"][:2] == [True, "LittleLeft"]
    assert full["DiskPressure"][2].startswith("2 MiB of 64 MiB (3 %) of the store's disk are free")
    assert full["SharedMemoryPressure"][0] is True
    assert many["DiskPressure"][:2] == [True, "FewInodesLeft"]
    assert " of 1000 inodes" in many["DiskPressure"][2]


def test_a_change_is_told_once_and_its_time_outlives_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout, left = StoreLayout.at(tmp_path), [50]

    def watch() -> HostWatch:
        return HostWatch(layout, capacity=lambda: Capacity(store=(left[0] * GIB, 100 * GIB)))

    caplog.set_level("INFO")
    first = watch()
    assert pressing(first.look("10:00")) == ()
    left[0] = 3
    for at in ("11:00", "12:00"):
        status = first.look(at)
    later = watch()
    later.remember({"host": {"conditions": [vars_of(each) for each in status.conditions]}})
    again = later.look("13:00")
    left[0] = 50
    later.look("14:00")

    [disk] = [each for each in again.conditions if each.type == "DiskPressure"]
    assert (disk.status, disk.last_transition_time) == (True, "11:00")
    levels = [(record.levelname, record.getMessage()[:25]) for record in caplog.records]
    assert levels == [
        ("WARNING", "host: DiskPressure: 3 GiB"), ("WARNING", "host: DiskPressure: 3 GiB"),
        ("INFO", "host: DiskPressure is ove"),
    ]  # fmt: skip


def vars_of(condition: object) -> dict[str, object]:
    return {name: getattr(condition, name) for name in type(condition).__slots__}  # type: ignore[attr-defined]


def test_missing_file_events_are_a_condition(tmp_path: Path) -> None:
    watch = HostWatch(StoreLayout.at(tmp_path), lambda: "the system tells of no changes of files: limit")

    assert "FileEventsMissing" in pressing(watch.look("now"))


def test_damaged_tokens_are_a_condition_for_as_long_and_say_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = StoreLayout.at(tmp_path)
    watch = HostWatch(layout)
    assert "TokensUnreadable" not in {each.type for each in watch.look("1").conditions}
    TokenFile(layout).change(lambda tokens: tokens)
    whole = layout.tokens.read_bytes()
    assert "TokensUnreadable" not in pressing(watch.look("2"))

    layout.tokens.write_text('{"tokens": [')
    for at in ("3", "4"):
        told = {each.type: each for each in watch.look(at).conditions}["TokensUnreadable"]

    assert (told.status, told.reason, told.last_transition_time) == (True, "Unreadable", "3")
    assert told.message == (
        f"nobody is let in over the network: {layout.tokens} is damaged: no token is accepted; "
        "put it back from a copy, or remove it and create the tokens anew"
    )
    assert caplog.text.count("host: TokensUnreadable") == 1
    layout.tokens.write_bytes(whole)
    assert "TokensUnreadable" not in pressing(watch.look("5"))
