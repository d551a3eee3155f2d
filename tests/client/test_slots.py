"""Slots are written over again and again, and whoever may look at one never sees the next picture in it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from controller.client import slots as module
from controller.client.answers import UnknownOutcome
from controller.client.calls import Arguments, Call, Target
from controller.client.exchange import Broken, NeverAccepted
from controller.client.pictures import Encoded, encode
from controller.client.slots import PREFIX, Slot, Slots
from controller.errors import CallError, Code
from controller.images.leftovers import sweep_images

SHAPES = [(3, 4), (30, 40, 3), (1200, 1000, 3)]


def picture(number: int, shape: tuple[int, ...] = SHAPES[1]) -> Encoded:
    return encode(np.full(shape, number % 256, np.uint8), "the image")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(f"{PREFIX}*"))


def path_of(folder: Path, slot: Slot) -> Path:
    return folder / f"{slot.id}.npy"


class Reader:
    """Whoever was told of a slot: it locks the file, and reads it later, as the path or the open file leads to it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def sees(self) -> bytes:
        return os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)

    def end(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def slots() -> Iterator[Slots]:
    made = Slots()
    yield made
    made.clear()


def test_the_next_picture_of_that_size_is_written_over_the_last_one(tmp_path: Path, slots: Slots) -> None:
    first = slots.put(tmp_path, picture(1))
    inode, changed = path_of(tmp_path, first).stat().st_ino, path_of(tmp_path, first).stat().st_mtime_ns
    slots.give_back(first)
    for number in (2, 3):
        again = slots.put(tmp_path, picture(number))
        status = path_of(tmp_path, again).stat()
        assert (again.id, status.st_ino) == (first.id, inode)
        assert status.st_mtime_ns > changed, "who looks at the file again notices"
        assert np.array_equal(np.load(path_of(tmp_path, again)), np.full(SHAPES[1], number))
        changed = status.st_mtime_ns
        slots.give_back(again)
    assert path_of(tmp_path, first).stat().st_mode & 0o777 == 0o640
    other = slots.put(tmp_path, picture(4, SHAPES[0]))
    assert other.id != first.id, "a slot has one size for life"


def test_a_slot_is_not_written_while_somebody_may_look_at_it(tmp_path: Path, slots: Slots) -> None:
    first = slots.put(tmp_path, picture(1))
    reader, content = Reader(path_of(tmp_path, first)), path_of(tmp_path, first).read_bytes()
    slots.give_back(first)
    second = slots.put(tmp_path, picture(2))
    assert second.id != first.id
    assert reader.sees() == content
    assert sweep_images(tmp_path) == 0, "its client has not forgotten it"
    reader.end()
    assert slots.put(tmp_path, picture(3)).id == first.id


def test_who_reads_without_a_lock_notices_that_it_is_written_over(
    slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon was killed, and its locks with it, while what writes recordings still reads what it was leased."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        folder = Path(memory)
        for _ in range(2):  # the first write through a map sets the time by a page fault, the others do not
            slot = slots.put(folder, picture(0))
            slots.give_back(slot)
        path, looked = path_of(folder, slot), []
        before, utime = path.stat().st_mtime_ns, os.utime

        def look(*arguments: object, **options: object) -> None:
            looked.append((int(np.load(path).max()), path.stat().st_mtime_ns != before))
            utime(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr("os.utime", look)
        slots.put(folder, picture(255))
        slots.clear()
    assert looked == [(0, False), (255, True)]


def test_a_slot_that_a_sweep_took_between_two_locks_is_not_handed_over(
    tmp_path: Path, slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To turn a lock into another one is no single step (flock(2))."""
    flock, swept = fcntl.flock, []

    def sweeping(descriptor: int, operation: int) -> None:
        if operation == fcntl.LOCK_SH | fcntl.LOCK_NB and not swept:
            flock(descriptor, fcntl.LOCK_UN)
            monkeypatch.setattr(module.fcntl, "flock", flock)
            swept.append(sweep_images(tmp_path))
        flock(descriptor, operation)

    first = slots.put(tmp_path, picture(1))
    slots.give_back(first)
    monkeypatch.setattr(module.fcntl, "flock", sweeping)
    slot = slots.put(tmp_path, picture(2))
    assert swept == [1]
    assert slot.id != first.id
    assert np.load(path_of(tmp_path, slot)).max() == 2


def test_only_so_many_are_kept_and_none_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slots = Slots()
    calls = [slots.put(tmp_path, picture(number)) for number in range(20)]
    for slot in calls:
        slots.give_back(slot)
    assert len(files(tmp_path)) == module.KEPT
    monkeypatch.setattr(module, "KEPT_BYTES", calls[0].size * 2)
    slots.give_back(slots.put(tmp_path, picture(1)))
    assert len(files(tmp_path)) == 2
    slots.clear()
    assert files(tmp_path) == []
    slots.give_back(slots.put(tmp_path, picture(1)))
    assert len(files(tmp_path)) == 1, "it is of use again"
    slots.clear()


@pytest.mark.parametrize("misdeed", ["file", "folder"])
def test_who_tidies_up_costs_a_new_file(tmp_path: Path, slots: Slots, misdeed: str) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    lost = slots.put(folder, picture(1))
    slots.give_back(lost)
    if misdeed == "folder":
        shutil.rmtree(folder)
        folder.mkdir()
    else:
        path_of(folder, lost).unlink()
        path_of(folder, lost).write_bytes(b"another file")
    anew = slots.put(folder, picture(2))
    assert anew.id != lost.id
    assert np.load(path_of(folder, anew)).max() == 2
    shutil.rmtree(folder)
    with pytest.raises(OSError, match="No such file"):
        slots.put(folder, picture(3))


def test_a_forked_child_leaves_its_parent_s_slots_alone(tmp_path: Path, slots: Slots) -> None:
    slots.give_back(slots.put(tmp_path, picture(1)))
    before = files(tmp_path)
    child = os.fork()
    if child == 0:
        try:
            slots.put(tmp_path, picture(2))
            slots.clear()
            os._exit(0 if files(tmp_path) != before and set(before) < set(files(tmp_path)) else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert np.load(tmp_path / before[0]).max() == 1
    assert slots.put(tmp_path, picture(3)).id == before[0].removesuffix(".npy")


def test_a_client_that_nobody_closed_deletes_its_slots_when_it_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from controller.client import Client; import numpy as np\n"
        "from controller.client.pictures import encode\n"
        "client = Client(store=sys.argv[1]); slots = client._slots\n"
        "slots.give_back(slots.put(Path(sys.argv[1]), encode(np.zeros((9, 9), np.uint8), 'it')))\n"
        "print(len(list(Path(sys.argv[1]).iterdir())))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert files(tmp_path) == []


class Pictures(RuleBasedStateMachine):
    """Calls with pictures of their own, readers that are told of them and stay as they like, sweeps in between."""

    calls = Bundle("calls")
    readers = Bundle("readers")

    def __init__(self) -> None:
        super().__init__()
        self._home = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.folder = Path(self._home.name)
        self.slots = Slots()
        self.number = 0
        self.looked_at: dict[Reader, bytes] = {}
        self.under_way: dict[Slot, bytes] = {}

    @rule(target=calls, shape=st.sampled_from(SHAPES[:2]))
    def call(self, shape: tuple[int, ...]) -> Slot:
        self.number += 1
        image = picture(self.number, shape)
        slot = self.slots.put(self.folder, image)
        assert slot not in self.under_way, "no two calls share a slot"
        self.under_way[slot] = b"".join(image.pieces)
        return slot

    @rule(target=readers, slot=calls)
    def look(self, slot: Slot) -> Reader:
        if slot not in self.under_way:
            return None
        reader = Reader(path_of(self.folder, slot))
        self.looked_at[reader] = self.under_way[slot]
        return reader

    @rule(slot=consumes(calls))
    def answered(self, slot: Slot) -> None:
        if self.under_way.pop(slot, None):
            self.slots.give_back(slot)

    @rule(slot=consumes(calls))
    def unknown(self, slot: Slot) -> None:
        if self.under_way.pop(slot, None):
            slot.remove()

    @rule(reader=consumes(readers))
    def looks_no_more(self, reader: Reader | None) -> None:
        if reader is not None:
            del self.looked_at[reader]
            reader.end()

    @rule()
    def sweep(self) -> None:
        assert sweep_images(self.folder) == 0, "its client lives"

    @rule()
    def close(self) -> None:
        self.slots.clear()

    @rule(slot=consumes(calls))
    def tidied_up(self, slot: Slot) -> None:
        path_of(self.folder, slot).unlink(missing_ok=True)
        self.answered(slot)

    @invariant()
    def everybody_sees_the_picture_that_it_was_told_of(self) -> None:
        for reader, content in self.looked_at.items():
            assert reader.sees() == content
        for slot, content in self.under_way.items():
            assert path_of(self.folder, slot).read_bytes() == content

    def teardown(self) -> None:
        for reader in self.looked_at:
            reader.end()
        for slot in self.under_way:
            slot.remove()
        self.slots.clear()
        assert files(self.folder) == []
        self._home.cleanup()


TestPictures = Pictures.TestCase
TestPictures.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_threads_that_share_slots_never_see_each_other_s_pictures(tmp_path: Path, slots: Slots) -> None:
    wrong: list[str] = []

    def calls(number: int) -> None:
        for turn in range(60):
            slot = slots.put(tmp_path, picture(number, SHAPES[turn % 2]))
            reader = Reader(path_of(tmp_path, slot)) if turn % 5 == 0 else None
            seen = np.load(path_of(tmp_path, slot))
            if not (seen == number).all():
                wrong.append(f"{number} sees {np.unique(seen)}")
            slots.give_back(slot)
            if reader is not None:
                if reader.sees()[-1] != number:
                    wrong.append(f"{number} sees {reader.sees()[-1]} under its lock")
                reader.end()

    threads = [threading.Thread(target=calls, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(files(tmp_path)) <= module.KEPT


@pytest.mark.parametrize(
    ("failures", "kept"),
    [
        ([], True), ([NeverAccepted("refused")], True), ([CallError(Code.busy, "full")], True),
        ([Broken("reset")], False), ([CallError(Code.timeout, "late")], False), ([UnknownOutcome("killed")], False),
        ([CallError(Code.busy, "full"), Broken("reset")], False),
    ],
)  # fmt: skip
def test_only_a_slot_that_nobody_can_be_reading_is_written_again(
    tmp_path: Path, slots: Slots, failures: list[Exception], kept: bool
) -> None:
    with Call(Target("A01"), {"image": np.zeros((9, 9), np.uint8)}, Arguments(), slots) as call:
        call.load(tmp_path)
        for failure in failures:
            call.failed(failure)
        call.answered()
    assert bool(files(tmp_path)) == kept
    with Call(Target("A01"), {"image": np.zeros((9, 9), np.uint8)}, Arguments(), slots) as call:
        call.load(tmp_path)
    assert files(tmp_path) == [], "a call that has no answer leaves nothing"
