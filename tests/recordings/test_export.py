"""Recorded calls in one file: taken elsewhere, and refused where the file is not what it should be."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import orjson
import pytest

from controller.errors import StoreError
from controller.model.recording import RecordedCall, RecordingFilter
from controller.recordings.bounds import Bounds
from controller.recordings.export import ExportFile, export
from controller.recordings.keeping import Imported, keeper
from controller.recordings.stored import StoreRecordings
from controller.store.layout import StoreLayout
from tests.recorded import picture, pictures, recorded

ALL = RecordingFilter()
GUIDE = picture(9, (64, 64, 3))


class Pipe(io.RawIOBase):
    """Takes bytes and can do nothing else, like a connection."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.content += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]


@pytest.fixture
def here(tmp_path: Path) -> StoreRecordings:
    layout = StoreLayout.at(tmp_path / "here")
    with keeper(layout) as found:
        for number in range(4):
            found.add(recorded(number, guide=GUIDE), pictures(number, GUIDE))
        found.add(recorded(4, "A02"), pictures(4))
    return StoreRecordings(layout)


@pytest.fixture
def exported(here: StoreRecordings, tmp_path: Path) -> Path:
    pipe = Pipe()
    assert export(here, ALL, pipe) == (5, 0)
    path = tmp_path / "recordings.zip"
    path.write_bytes(pipe.content)
    return path


def test_an_export_is_a_source_of_its_own_with_a_shared_guide_once(here: StoreRecordings, exported: Path) -> None:
    file = ExportFile(exported)

    assert file.calls(ALL) == here.calls(ALL)
    assert [call.pid for call in file.calls(RecordingFilter(last=1, pids=frozenset({"A01"})))] == ["A01"]
    for call in file.calls(ALL):
        assert file.pictures(call) == here.pictures(call)
    with zipfile.ZipFile(exported) as archive:
        assert sum(name.startswith("guides/") for name in archive.namelist()) == 1


def test_another_store_takes_it_over_once(here: StoreRecordings, exported: Path, tmp_path: Path) -> None:
    there = StoreRecordings(StoreLayout.at(tmp_path / "there"))

    assert there.take_over(ExportFile(exported), RecordingFilter(pids=frozenset({"A01"}))) == Imported(4, 0, 0, 0)
    assert there.take_over(ExportFile(exported), ALL) == Imported(1, 4, 0, 0)
    assert there.calls(ALL) == here.calls(ALL)
    call = there.calls(RecordingFilter(last=1, pids=frozenset({"A01"})))[0]
    assert there.pictures(call) == pictures(3, GUIDE)
    again = Pipe()
    assert export(ExportFile(exported), ALL, again) == (5, 0)
    assert zipfile.ZipFile(io.BytesIO(again.content)).testzip() is None


def test_what_is_taken_over_never_pushes_out_what_is_there(exported: Path, tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path / "there")
    with keeper(layout) as found:
        found.keep_within({"A01": Bounds(3, 2**40, 1e12)})
        found.add(recorded(100), pictures(100))

        assert found.take_over(ExportFile(exported), ALL) == Imported(3, 0, 0, 2)
        assert found.keep_within({}) == 0
    assert recorded(100).id in {call.id for call in StoreRecordings(layout).calls(ALL)}


def test_every_cut_of_an_export_is_refused(exported: Path, tmp_path: Path) -> None:
    content, cut = exported.read_bytes(), tmp_path / "cut.zip"

    for length in range(0, len(content), 997):
        cut.write_bytes(content[:length])
        with pytest.raises(StoreError, match=r"cut\.zip"):
            ExportFile(cut)


def test_flipped_bytes_never_come_through_as_pixels(here: StoreRecordings, exported: Path, tmp_path: Path) -> None:
    content, flipped = exported.read_bytes(), tmp_path / "flipped.zip"

    for place in range(0, len(content), 211):
        flipped.write_bytes(content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :])
        try:
            file = ExportFile(flipped)
            for call in file.calls(ALL):
                found = file.pictures(call)
                assert found is None or found == here.pictures(call)
        except StoreError:
            continue


def archive_of(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr(
            zipfile.ZipInfo("recordings.json"), orjson.dumps({"format": "procvision-recordings", "version": 1})
        )
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def call_file(call: RecordedCall, image: bytes, **block: object) -> bytes:
    """Return the file of a call with whatever is said of its picture."""
    said = {"codec": "raw", "size": len(image), "crc": zlib.crc32(image)} | block
    document = call.to_document()
    text = orjson.dumps({"format": 1, "call": document, "image": said, "guide": None})
    return struct.pack(">7sBII", b"PVCALL\n", 1, len(text), zlib.crc32(text)) + text + image


def huge() -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=1).compress(bytes(10**7))


HOSTILE = {
    "another shape": call_file(recorded(1), b"x" * 100),
    "a shape of a thousand dimensions": call_file(
        recorded(1, image=recorded().image.__class__((1,) * 1000)), b"x", codec="raw"
    ),
    "a picture that becomes larger": call_file(recorded(1), huge(), codec="up+zstd"),
    "a way of packing that nobody knows": call_file(recorded(1), b"x" * (24 * 32 * 3), codec="pickle"),
    "a size below nothing": call_file(recorded(1), b"x" * 10, size=-10),
    "an id that is a path": call_file(recorded(1, id="../../../../etc/passwd"), b"x" * (24 * 32 * 3)),
    "a PID that is a path": call_file(recorded(1, pid="../../A01"), b"x" * (24 * 32 * 3)),
    "a head that is no object": struct.pack(">7sBII", b"PVCALL\n", 1, 2, zlib.crc32(b"[]")) + b"[]",
    "a head that is deep": struct.pack(">7sBII", b"PVCALL\n", 1, 10**5, zlib.crc32(b"[" * 10**5)) + b"[" * 10**5,
    "a head of absurd length": struct.pack(">7sBII", b"PVCALL\n", 1, 2**32 - 1, 0),
    "nothing": b"",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_call_that_is_no_call_is_passed_over(tmp_path: Path, what: str) -> None:
    path = archive_of(tmp_path / "hostile.zip", {f"calls/{recorded(1).id}.call": HOSTILE[what], "../../evil": b"x"})
    layout = StoreLayout.at(tmp_path / "there")

    file = ExportFile(path)
    found = file.calls(ALL)

    assert file.damaged + sum(file.pictures(call) is None for call in found) == 1
    assert StoreRecordings(layout).take_over(file, ALL) == Imported(0, 0, len(found), 0)
    assert not (tmp_path / "evil").exists()


def test_a_compressed_member_and_another_zip_are_refused(tmp_path: Path) -> None:
    good = call_file(recorded(1), bytes(24 * 32 * 3))

    squeezed = archive_of(tmp_path / "squeezed.zip", {f"calls/{recorded(1).id}.call": good}, zipfile.ZIP_DEFLATED)
    assert ExportFile(squeezed).damaged == 1
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("manifest.json", "{}")
    with pytest.raises(StoreError, match="is no export of recordings"):
        ExportFile(tmp_path / "other.zip")
    with pytest.raises(StoreError, match="cannot read"):
        ExportFile(tmp_path / "missing.zip")
