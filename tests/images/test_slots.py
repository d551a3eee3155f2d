"""A slot is the file that the adapter opens by its path, whatever somebody did to that path since the last call."""

from __future__ import annotations

import fcntl
import grp
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from controller.client.pictures import encode
from controller.client.slots import Slot as ClientSlot
from controller.client.slots import Slots as ClientSlots
from controller.errors import CallError, Code
from controller.http.failures import error_response
from controller.http.listener import listen
from controller.images import shared_folder
from controller.images.formats import ImageRef, load
from controller.images.slots import Slots, StoredImage
from controller.store.layout import StoreLayout

FIRST, SECOND = np.full((40, 50, 3), 7, np.uint8), np.full((30, 60, 3), 9, np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "memory").mkdir()
    (tmp_path / "run").mkdir()
    memory = shared_folder.memory_folder
    monkeypatch.setattr(shared_folder, "memory_folder", lambda images, _=None: memory(images, tmp_path / "memory"))
    shared_folder.open_folder(tmp_path / "run" / "images")
    return tmp_path / "run" / "images"


@pytest.fixture
def mine(folder: Path) -> Iterator[Slots]:
    opened = Slots(folder, "t")
    yield opened
    opened.close()


def seen_by_the_adapter(folder: Path, image: StoredImage) -> np.ndarray:
    return np.load(folder / f"{image.id}.npy")


def unlink(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    np.save(path.with_name("other.npy"), FIRST * 0)
    path.with_name("other.npy").rename(path)


def truncate(path: Path) -> None:
    os.truncate(path, 10)


def link_elsewhere(path: Path) -> None:
    np.save(path.with_name("other.npy"), FIRST * 0)
    path.unlink()
    path.symlink_to(path.with_name("other.npy"))


def keep_another_name(path: Path) -> None:
    path.with_name("kept.npy").hardlink_to(path)
    path.unlink()


def remove_folder(path: Path) -> None:
    path.unlink()
    path.parent.resolve().rmdir()


def remove_link(path: Path) -> None:
    path.parent.unlink()


MISDEEDS = [unlink, replace, truncate, link_elsewhere, keep_another_name, remove_folder, remove_link]


@pytest.mark.parametrize("misdeed", MISDEEDS)
@pytest.mark.parametrize("role", ["image", "guide"])
def test_the_next_picture_stands_at_its_path_whatever_was_done_to_the_file(folder, mine, misdeed, role):
    before = mine.put(load(FIRST), role)
    before.require_unchanged()
    misdeed(folder / f"t.{role}.npy")
    with pytest.raises(CallError, match="its answer is dropped") as caught:
        before.require_unchanged()
    assert (caught.value.code, error_response(caught.value).status_code) == (Code.shared_memory_not_found, 503)
    for array in (SECOND, FIRST):
        image = mine.put(load(array), role)
        assert np.array_equal(seen_by_the_adapter(folder, image), array)
        image.require_unchanged()


@pytest.mark.parametrize("misdeed", [unlink, replace, truncate, remove_folder])
def test_an_image_of_the_host_that_changes_during_the_call_is_noticed(folder, mine, misdeed):
    np.save(folder / "cam.npy", FIRST)
    image = mine.find(ImageRef("cam"))
    image.require_unchanged()
    misdeed(folder / "cam.npy")
    with pytest.raises(CallError, match="leave the file alone") as caught:
        image.require_unchanged()
    assert (caught.value.code, error_response(caught.value).status_code) == (Code.shared_memory_not_found, 400)


def test_the_folder_is_there_again_for_the_host_that_was_told_of_its_loss(folder, mine):
    folder.resolve().rmdir()
    with pytest.raises(CallError, match="cannot be read") as caught:
        mine.find(ImageRef("cam"))
    assert (caught.value.code, folder.is_dir()) == (Code.shared_memory_not_found, True)


def test_a_folder_made_anew_is_open_to_the_group_that_the_first_was_open_to(folder, mine, tmp_path):
    group = grp.getgrgid(os.getgid()).gr_name
    listen(StoreLayout.at(tmp_path), group).close()
    mine.put(load(FIRST), "image")
    remove_folder(folder / "t.image.npy")
    mine.put(load(FIRST), "image")
    found = folder.stat()
    assert (found.st_mode & 0o7777, found.st_gid) == (0o3770, os.getgid())


def test_what_stands_in_the_way_is_said_and_never_a_black_picture(folder, mine):
    (folder / "t.image.npy").mkdir()
    with pytest.raises(CallError, match="cannot be written into") as caught:
        mine.put(load(FIRST), "image")
    assert caught.value.code is Code.shared_memory_not_found


@pytest.fixture
def small_memory(folder: Path) -> Iterator[Callable[[], None]]:
    """The folder on a file system of 256 KiB; what is yielded fills it to the last byte."""
    target = folder.resolve()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(target)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")

    def fill() -> None:
        with (target / "filler").open("wb", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:  # until there is room for a part of it only, or for none
                if os.statvfs(target).f_bavail == 0:
                    return

    yield fill
    subprocess.run(["umount", "--lazy", target], check=True)


def test_full_memory_is_1007_with_its_reason_and_the_next_call_works_when_there_is_room(folder, mine, small_memory):
    small = np.full((4, 5, 3), 3, np.uint8)
    large = np.zeros((400, 500, 3), np.uint8)
    image = mine.put(load(small), "image")
    small_memory()
    with pytest.raises(CallError, match="No space left on device") as caught:
        mine.put(load(large), "image")
    assert (caught.value.code, "df " in str(caught.value)) == (Code.shared_memory_not_found, True)
    answer = error_response(caught.value)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    with pytest.raises(CallError, match="No space left"):
        mine.put(load(large), "guide")
    (folder / "filler").unlink()
    image = mine.put(load(small), "image")
    assert np.array_equal(seen_by_the_adapter(folder, image), small)


@pytest.fixture
def client(folder: Path) -> Iterator[ClientSlots]:
    slots = ClientSlots()
    yield slots
    slots.clear()


def handed_over(client: ClientSlots, folder: Path, array: np.ndarray) -> ClientSlot:
    return client.put(folder, encode(array, "the image"))


def test_a_client_cannot_write_over_its_picture_until_the_process_has_answered(folder, mine, client):
    first = handed_over(client, folder, FIRST)
    image = mine.find(ImageRef(first.id))
    client.give_back(first)
    second = handed_over(client, folder, FIRST * 2)
    assert second.id != first.id
    assert np.array_equal(seen_by_the_adapter(folder, image), FIRST)
    image.require_unchanged()
    mine.let_go()
    assert handed_over(client, folder, FIRST * 3).id == first.id
    with pytest.raises(CallError, match="removed or changed"):
        image.require_unchanged()


@pytest.mark.parametrize("ended", ["given back", "deleted"])
def test_a_client_cannot_write_over_a_picture_that_is_lent(folder, mine, client, ended):
    slot = handed_over(client, folder, FIRST)
    lease = mine.lease(mine.find(ImageRef(slot.id)))
    mine.let_go()
    if ended == "deleted":
        slot.remove()
    else:
        client.give_back(slot)
    assert handed_over(client, folder, FIRST * 2).id != slot.id
    assert np.array_equal(seen_by_the_adapter(folder, lease.image), FIRST)
    lease.image.require_unchanged()
    lease.hold()
    lease.release()
    assert np.array_equal(seen_by_the_adapter(folder, lease.image), FIRST)
    lease.release()
    assert not Path(lease.image.path).exists()
    if ended == "given back":
        assert handed_over(client, folder, FIRST * 3).id == slot.id


def test_a_picture_that_can_have_no_second_name_is_lent_where_it_stands(folder, mine, client, monkeypatch):
    monkeypatch.setattr(os, "link", Mock(side_effect=PermissionError(1, "Operation not permitted")))
    slot = handed_over(client, folder, FIRST)
    lease = mine.lease(mine.find(ImageRef(slot.id)))
    mine.let_go()
    client.give_back(slot)
    assert lease.image.id == slot.id
    assert handed_over(client, folder, FIRST * 2).id != slot.id
    lease.release()
    assert handed_over(client, folder, FIRST * 3).id == slot.id
    np.save(folder / "cam.npy", FIRST)
    assert mine.lease(mine.find(ImageRef("cam"))) is None, "nothing would keep its owner from writing over it"


def test_a_slot_that_is_being_written_is_refused(folder, mine, client):
    slot = handed_over(client, folder, FIRST)
    with (folder / f"{slot.id}.npy").open("rb") as file:
        client.clear()
        slot.let_go()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(CallError, match="is being written") as caught:
            mine.find(ImageRef(slot.id))
    assert caught.value.code is Code.shared_memory_not_found
    mine.find(ImageRef(slot.id))
    mine.close()
    assert open_files(folder / f"{slot.id}.npy") == 0


def open_files(path: Path) -> int:
    descriptors = Path("/proc/self/fd").iterdir()
    return sum(os.path.realpath(each) == os.path.realpath(path) for each in descriptors)


def test_who_follows_a_killed_daemon_lends_as_before(folder, mine):
    np.save(folder / "cam.npy", np.zeros((4, 5, 3), np.uint8))
    assert mine.lease(mine.find(ImageRef("cam"))) is not None
    next_of_the_same_process = Slots(folder, mine.token)

    lease = next_of_the_same_process.lease(next_of_the_same_process.find(ImageRef("cam")))

    assert lease is not None
    lease.image.require_unchanged()


def test_a_picture_that_somebody_still_reads_stays_when_its_process_ends_and_goes_with_its_last_reader(
    folder: Path, mine: Slots
) -> None:
    first, other = mine.put(load(FIRST), "image"), mine.put(load(SECOND), "guide")
    np.save(folder / "host.npy", SECOND)
    lease, link = mine.lease(first), mine.lease(mine.find(ImageRef("host")))
    assert lease is not None
    assert link is not None
    lease.hold()

    mine.close()
    mine.remove()

    assert not Path(other.path).exists()
    assert (seen_by_the_adapter(folder, lease.image) == FIRST).all()
    assert (seen_by_the_adapter(folder, link.image) == SECOND).all()
    link.release()
    lease.release()
    assert (seen_by_the_adapter(folder, lease.image) == FIRST).all()
    lease.release()
    assert [path.name for path in folder.iterdir()] == ["host.npy"]


def test_what_is_not_read_any_more_goes_at_once_when_its_process_ends(folder: Path, mine: Slots) -> None:
    lease = mine.lease(mine.put(load(FIRST), "image"))
    assert lease is not None
    lease.release()

    mine.remove()

    assert list(folder.iterdir()) == []
