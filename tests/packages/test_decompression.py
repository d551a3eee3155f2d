"""Nothing unpacks to more than is allowed, whatever a zip or a wheel says of itself; what packs well is taken."""

from __future__ import annotations

import bz2
import io
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from controller.errors import Code, PackageError
from controller.packages.archive import open_archive
from controller.packages.install import Installer
from controller.packages.limits import Limits
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import make_wheel
from tests.packages.conftest import NOW, inspected, snapshot, visible
from tests.packages.zips import append, patch_central, rewrite

Refused = Callable[[Path, Code], PackageError]
MiB = 1 << 20
HUGE = 72 * MiB
"""More than what is let be whatever its ratio."""
MUCH = 24 * MiB
MANIFEST = "screw-check/manifest.json"


def packed(method: int) -> Callable[[zipfile.ZipInfo], None]:
    def edit(info: zipfile.ZipInfo) -> None:
        info.compress_type = method

    return edit


def saying(size: int) -> Callable[[bytearray, int], None]:
    """Let the directory, and the header before the member, say that it unpacks to `size` bytes."""

    def edit(data: bytearray, at: int) -> None:
        struct.pack_into("<L", data, at + 24, size)
        struct.pack_into("<L", data, struct.unpack_from("<L", data, at + 42)[0] + 22, size)

    return edit


def with_huge_manifest(small_zip: Path, target: Path, method: int, said: int | None) -> Path:
    """A package whose manifest unpacks to MUCH of spaces, of which the directory says what is true or `said`."""
    bare = rewrite(small_zip, target.with_suffix(".bare"), rename=lambda name: None if name == MANIFEST else name)
    huge = append(bare, target.with_suffix(".huge"), MANIFEST, b" " * MUCH, packed(method))
    return huge.rename(target) if said is None else patch_central(huge, target, MANIFEST, saying(said))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("said", [None, 400])
def test_a_survey_of_a_manifest_without_end_needs_no_memory(
    small_zip: Path, tmp_path: Path, installer: Installer, method: int, said: int | None
) -> None:
    package = with_huge_manifest(small_zip, tmp_path / "bad.zip", method, said)

    tracemalloc.start()
    try:
        with pytest.raises(PackageError) as caught:
            installer.survey(package)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert caught.value.code == Code.invalid_zip
    assert MANIFEST in caught.value.message
    assert peak < MUCH // 3


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_each_way_of_packing_is_read_as_it_was_written(small_zip: Path, tmp_path: Path, method: int) -> None:
    content = os.urandom(2 * MiB) + bytes(3 * MiB) + b"end"
    package = append(small_zip, tmp_path / "p.zip", "screw-check/model.bin", content, packed(method))
    with open_archive(package, Limits()) as archive:
        pieces = list(archive.chunks(archive.files["screw-check/model.bin"]))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= MiB


def test_what_stands_behind_the_end_of_a_packed_member_ends_nothing(small_zip: Path, tmp_path: Path) -> None:
    package = tmp_path / "p.zip"
    for method, compressed in ((zipfile.ZIP_BZIP2, bz2.compress(b"text")), (zipfile.ZIP_DEFLATED, deflated(b"text"))):
        stored = append(small_zip, package, "screw-check/a.txt", compressed + b"behind")

        def edit(data: bytearray, at: int, method: int = method) -> None:
            struct.pack_into("<H", data, at + 10, method)
            struct.pack_into("<L", data, at + 16, zlib.crc32(b"text"))
            struct.pack_into("<L", data, at + 24, 4)

        with open_archive(patch_central(stored, tmp_path / "q.zip", "screw-check/a.txt", edit), Limits()) as archive:
            assert archive.read_text("screw-check/a.txt") == b"text"


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


def huge_metadata(folder: Path) -> tuple[Path, str]:
    """A wheel of a megabyte whose METADATA unpacks to HUGE."""
    metadata = "lenses-1.0.dist-info/METADATA"
    bare = rewrite(
        make_wheel(folder, "lenses"), folder / "bare", rename=lambda name: None if name == metadata else name
    )
    content = b"Metadata-Version: 2.1\nName: lenses\nVersion: 1.0\n\n" + b"\n" * HUGE
    return append(bare, folder / "huge", metadata, content, packed(zipfile.ZIP_DEFLATED)), metadata


def huge_data(folder: Path) -> tuple[Path, str]:
    """A wheel of a megabyte whose data unpacks to HUGE."""
    data = "lenses/data.bin"
    return append(make_wheel(folder, "lenses"), folder / "huge", data, bytes(HUGE), packed(zipfile.ZIP_DEFLATED)), data


@pytest.mark.parametrize("make", [huge_metadata, huge_data])
def test_a_wheel_without_end_is_refused_before_uv_unpacks_it(
    small_zip: Path,
    tmp_path: Path,
    refused: Refused,
    installer: Installer,
    layout: StoreLayout,
    make: Callable[[Path], tuple[Path, str]],
) -> None:
    wheel, member = make(tmp_path)
    lying = patch_central(wheel, tmp_path / "lying", member, saying(100))

    def package_with(content: Path) -> Path:
        return rewrite(small_zip, tmp_path / "p.zip", add={"wheels/lenses-1.0-py3-none-any.whl": content.read_bytes()})

    error = refused(package_with(wheel), Code.invalid_zip)
    assert "wheels/lenses-1.0-py3-none-any.whl" in error.message
    assert member in error.message

    before = visible(layout)
    with pytest.raises(PackageError, match=f"{member}.*more than the 100 bytes") as caught:
        installer.install(package_with(lying))
    assert caught.value.code == Code.invalid_zip
    assert visible(layout) == before
    assert not list((layout.cache / "wheels").glob("*/lenses*"))


@pytest.mark.parametrize("parts", [1, 4])
def test_a_bomb_is_refused_in_one_member_or_in_many(
    small_zip: Path, tmp_path: Path, refused: Refused, parts: int
) -> None:
    package = small_zip
    for number in range(parts):
        name, content = f"screw-check/zeros{number}", bytes(HUGE // parts)
        package = append(package, tmp_path / f"{number}.zip", name, content, packed(zipfile.ZIP_DEFLATED))
    assert "100 times its packed size" in refused(package, Code.invalid_zip).message


def test_honest_files_that_pack_well_are_no_bomb(small_zip: Path, tmp_path: Path, installer: Installer) -> None:
    mask = b"BM" + bytes(52) + bytes(1920 * 1200 * 3)  # an empty region of interest
    zeros = io.BytesIO()
    np.save(zeros, np.zeros((1200, 1920, 3), np.float32))
    package = append(small_zip, tmp_path / "1.zip", "screw-check/assets/roi.bmp", mask, packed(zipfile.ZIP_DEFLATED))
    package = append(
        package, tmp_path / "2.zip", "screw-check/assets/flat.npy", zeros.getvalue(), packed(zipfile.ZIP_DEFLATED)
    )
    with zipfile.ZipFile(package) as archive:
        assert all(
            info.file_size > 300 * info.compress_size for info in archive.infolist() if "assets" in info.filename
        )
    assert inspected(installer, package).manifest.name == "screw-check"


def test_the_ratio_is_configurable(small_zip: Path, tmp_path: Path, layout: StoreLayout) -> None:
    package = append(small_zip, tmp_path / "p.zip", "screw-check/z", bytes(2 * MiB), packed(zipfile.ZIP_DEFLATED))
    before = snapshot(layout.root)
    with pytest.raises(PackageError, match=r"raise the limit of the ratio in StationPolicy spec\.limits"):
        Installer(
            layout, MutationLock(layout), now=lambda: NOW, limits=lambda: Limits(ratio=50, ratio_from_bytes=MiB)
        ).install(package)
    assert snapshot(layout.root) == before


def test_a_directory_cannot_hide_its_size_behind_a_64_bit_record(tmp_path: Path) -> None:
    """`zipfile` would believe the record, and build an object for each of its entries."""
    entries = (b"PK\1\2" + bytes(42)) * 1000
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1000, 1000, len(entries), 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(entries), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 46, 0, 0)
    bad = tmp_path / "bad.zip"
    bad.write_bytes(entries + record + locator + end)
    for limits, words in ((Limits(members=10), "directory is far too large"), (Limits(members=999), "more than 999")):
        with pytest.raises(PackageError, match=words), open_archive(bad, limits):
            pass


def test_a_named_pipe_is_no_zip_and_nobody_waits_for_it(tmp_path: Path, refused: Refused) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    assert "is not a file" in refused(tmp_path / "pipe.zip", Code.invalid_zip).message
