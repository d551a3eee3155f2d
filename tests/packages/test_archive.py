"""Each kind of archive that is refused, and that nothing was written for it."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.errors import Code, PackageError
from controller.packages.archive import open_archive
from controller.packages.install import Installer
from controller.packages.limits import Limits
from controller.packages.names import check_name, collision_key
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from tests.packages.conftest import NOW, inspected, snapshot
from tests.packages.zips import append, flip_bits, patch_central, raw_name, rewrite

Refused = Callable[[Path, Code], PackageError]
MANIFEST = "screw-check/manifest.json"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../evil", "leaves the package"),
        ("screw-check/../../evil", "leaves the package"),
        ("/etc/cron.d/evil", "absolute"),
        ("C:/windows/evil", "drive letter"),
        ("c:evil", "drive letter"),
        ("screw-check\\evil", "backslash"),
        ("..\\evil", "backslash"),
        ("screw-check//evil", "empty part"),
        ("screw-check/./evil", "empty part"),
        ("screw-check/e\x00vil", "control character"),
        ("screw-check/e\nvil", "control character"),
        ("screw-check/" + "e" * 256, "too long"),
        ("screw-check/" + "e/" * 600 + "f", "too long"),
    ],
)
def test_an_unsafe_name_is_refused(small_zip: Path, tmp_path: Path, refused: Refused, name: str, words: str) -> None:
    error = refused(append(small_zip, tmp_path / "bad.zip", name), Code.invalid_zip)
    assert words in error.message


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_special_files_are_refused(small_zip: Path, tmp_path: Path, refused: Refused, kind: int) -> None:
    def edit(info: zipfile.ZipInfo) -> None:
        info.external_attr = (kind | 0o777) << 16

    error = refused(append(small_zip, tmp_path / "bad.zip", "screw-check/odd", b"/etc/passwd", edit), Code.invalid_zip)
    assert "link" in error.message or "special file" in error.message


@pytest.mark.parametrize("name", ["screw-check/odd/", "screw-check/odd"])
def test_a_member_that_claims_to_be_file_and_folder_is_refused(
    small_zip: Path, tmp_path: Path, refused: Refused, name: str
) -> None:
    def edit(info: zipfile.ZipInfo) -> None:
        info.external_attr = ((stat.S_IFREG if name.endswith("/") else stat.S_IFDIR) | 0o755) << 16

    assert (
        "file and a folder" in refused(append(small_zip, tmp_path / "b.zip", name, b"", edit), Code.invalid_zip).message
    )


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (MANIFEST, "there twice"),
        ("screw-check/Manifest.JSON", "differ only in case"),
        ("SCREW-CHECK/other.txt", "differ only in case"),
        ("screw-check/screw_check", "is a file and a folder"),
        ("screw-check/manifest.json/inside", "is a file and a folder"),
    ],
)
def test_colliding_names_are_refused(small_zip: Path, tmp_path: Path, refused: Refused, name: str, words: str) -> None:
    assert words in refused(append(small_zip, tmp_path / "bad.zip", name), Code.invalid_zip).message


def test_names_that_differ_in_the_composition_of_an_accent_are_refused(
    small_zip: Path, tmp_path: Path, refused: Refused
) -> None:
    once = append(small_zip, tmp_path / "once.zip", "screw-check/é.txt")
    assert "accents" in refused(append(once, tmp_path / "b.zip", "screw-check/e\u0301.txt"), Code.invalid_zip).message


def test_an_encrypted_member_is_refused(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    def edit(data: bytearray, at: int) -> None:
        data[at + 8] |= 1

    bad = patch_central(small_zip, tmp_path / "b.zip", MANIFEST, edit)
    assert "encrypted" in refused(bad, Code.invalid_zip).message


def test_an_unknown_compression_is_refused(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    def edit(data: bytearray, at: int) -> None:
        struct.pack_into("<H", data, at + 10, 9)  # Deflate64, which Windows writes

    assert "method 9" in refused(patch_central(small_zip, tmp_path / "b.zip", MANIFEST, edit), Code.invalid_zip).message


def test_overlapping_members_are_refused(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    with zipfile.ZipFile(small_zip) as archive:
        wheel = next(name for name in archive.namelist() if "numpy" in name)
        elsewhere = archive.getinfo(wheel).header_offset

    def edit(data: bytearray, at: int) -> None:
        struct.pack_into("<L", data, at + 42, elsewhere)

    assert "overlaps" in refused(patch_central(small_zip, tmp_path / "b.zip", MANIFEST, edit), Code.invalid_zip).message


@pytest.mark.parametrize("member", [MANIFEST, "numpy"])
def test_damage_is_found_before_anything_is_written(
    small_zip: Path, tmp_path: Path, refused: Refused, member: str
) -> None:
    with zipfile.ZipFile(small_zip) as archive:
        name = next(name for name in archive.namelist() if member in name)
    assert name in refused(flip_bits(small_zip, tmp_path / "bad.zip", name), Code.invalid_zip).message


@pytest.mark.parametrize("size", [0, 3, 1000, 20_000])
def test_a_truncated_zip_is_refused(small_zip: Path, tmp_path: Path, refused: Refused, size: int) -> None:
    bad = tmp_path / "bad.zip"
    bad.write_bytes(small_zip.read_bytes()[:size])
    assert "not a zip" in refused(bad, Code.invalid_zip).message


def test_a_wrong_size_in_the_directory_is_found(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    def edit(data: bytearray, at: int) -> None:
        struct.pack_into("<L", data, at + 24, 7)

    assert MANIFEST in refused(patch_central(small_zip, tmp_path / "b.zip", MANIFEST, edit), Code.invalid_zip).message


def test_a_missing_file_or_a_folder_is_no_zip(tmp_path: Path, refused: Refused) -> None:
    refused(tmp_path / "nowhere.zip", Code.invalid_zip)
    refused(tmp_path, Code.invalid_zip)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(total_bytes=20_000), "unpacks to more than 20000"),
        (Limits(members=5), "more than 5 members"),
        (Limits(members=1), "members"),
        (Limits(text_bytes=100), "larger than 100"),
    ],
)
def test_limits_are_configurable(small_zip: Path, layout: StoreLayout, limits: Limits, words: str) -> None:
    before = snapshot(layout.root)
    with pytest.raises(PackageError, match=words) as caught:
        Installer(layout, MutationLock(layout), now=lambda: NOW, limits=lambda: limits).install(small_zip)
    assert caught.value.code == Code.invalid_zip
    assert snapshot(layout.root) == before


def test_a_huge_directory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    bad = tmp_path / "bad.zip"
    entry = b"PK\1\2" + bytes(42)
    bad.write_bytes(entry * 1000 + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1000, 1000, len(entry) * 1000, 0, 0))
    with pytest.raises(PackageError, match="directory is far too large"), open_archive(bad, Limits(members=10)):
        pass


def test_gbk_names_without_the_utf8_flag_are_read(small_zip: Path, tmp_path: Path) -> None:
    gbk = "螺丝.txt".encode("gbk")
    plain = append(small_zip, tmp_path / "plain.zip", "screw-check/" + "Q" * len(gbk))
    package = raw_name(plain, tmp_path / "gbk.zip", "Q" * len(gbk), gbk)
    with open_archive(package, Limits()) as archive:
        assert archive.read_text("screw-check/螺丝.txt") == b"x"


def test_utf8_names_without_the_flag_are_read(small_zip: Path, tmp_path: Path) -> None:
    utf8 = "螺丝.txt".encode()
    plain = append(small_zip, tmp_path / "plain.zip", "screw-check/" + "Q" * len(utf8))
    with open_archive(raw_name(plain, tmp_path / "u.zip", "Q" * len(utf8), utf8), Limits()) as archive:
        assert "screw-check/螺丝.txt" in archive.files


def test_names_in_no_known_encoding_are_refused(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    plain = append(small_zip, tmp_path / "plain.zip", "screw-check/QQQQ")
    bad = raw_name(plain, tmp_path / "bad.zip", "QQQQ", b"\xff\xff\xff\xff")
    assert "neither UTF-8 nor GBK" in refused(bad, Code.invalid_zip).message


def test_a_gbk_name_cannot_hide_a_traversal(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    plain = append(small_zip, tmp_path / "plain.zip", "screw-check/QQQQQ")
    bad = raw_name(plain, tmp_path / "bad.zip", "QQQQQ", b"\xc2\xdd/..")
    assert "leaves the package" in refused(bad, Code.invalid_zip).message


@given(st.text(alphabet=st.sampled_from("ab./\\:\0\n CÄé~"), max_size=12))
def test_an_accepted_name_stays_below_its_folder(name: str) -> None:
    try:
        check_name(name)
    except PackageError:
        return
    target = Path("/package", name)
    assert target.parts[:2] == ("/", "package")
    assert ".." not in target.parts
    assert str(target) == "/package/" + name.removesuffix("/")


@pytest.mark.parametrize(("one", "other"), [("A/é", "a/e\u0301"), ("STRASSE", "straße"), ("Ǆ", "ǆ")])
def test_a_collision_key_folds_case_and_accents(one: str, other: str) -> None:
    assert collision_key(one) == collision_key(other)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("before", ["./", "outer/", "outer/more/"])
def test_a_zip_that_was_made_by_hand_is_read(
    small_zip: Path, tmp_path: Path, installer: Installer, before: str
) -> None:
    """`tar -a -cf x.zip .` writes `./` before each name; who packs a package's folder has it one folder deeper."""
    package = rewrite(small_zip, tmp_path / "p.zip", rename=lambda name: before + name)
    for folder in (before, f"{before}wheels/", f"{before}wheels/", f"{before}screw-check/"):
        package = append(package, tmp_path / "q.zip", folder, b"", as_folder).replace(tmp_path / "p.zip")
    with open_archive(package, Limits()) as archive:
        assert not [name for name in (*archive.files, *archive.folders) if name.startswith(".")]
    found, plain = inspected(installer, package), inspected(installer, small_zip)
    assert (found.manifest, found.wheels, found.warnings) == (plain.manifest, plain.wheels, plain.warnings)


def as_folder(info: zipfile.ZipInfo) -> None:
    info.external_attr = (stat.S_IFDIR | 0o755) << 16
