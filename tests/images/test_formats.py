"""Images: what arrives is what was meant, or it is refused before an algorithm sees it black."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controller.errors import CallError, Code, StoreError
from controller.images import npy, shared_folder
from controller.images.formats import ImageRef, load
from controller.images.slots import Slots
from tests.images.files import png

RGB = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
GREY = np.arange(20, dtype=np.uint8).reshape(4, 5)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()


def saved(array: np.ndarray) -> bytes:
    target = io.BytesIO()
    np.save(target, array)
    return target.getvalue()


def pixels(source) -> np.ndarray:
    picture = load(source)
    return np.frombuffer(picture.pixels, np.uint8).reshape(picture.shape)


def with_palette() -> Image.Image:
    return Image.fromarray(RGB).convert("P", palette=Image.Palette.ADAPTIVE)


def opaque() -> Image.Image:
    return Image.fromarray(RGB).convert("RGBA")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (encoded(Image.fromarray(RGB)), RGB),
        (encoded(Image.fromarray(RGB), "BMP"), RGB),
        (encoded(Image.fromarray(GREY)), GREY),
        (encoded(opaque()), RGB),
        (encoded(with_palette()), np.asarray(with_palette().convert("RGB"))),
        (encoded(Image.fromarray(GREY > 9)), np.where(GREY > 9, 255, 0)),
        (saved(RGB), RGB),
        (saved(GREY[:, :, None]), GREY[:, :, None]),
        (RGB, RGB),
        (RGB[::-1, ::2], RGB[::-1, ::2]),
        (np.asfortranarray(RGB), RGB),
        (memoryview(encoded(Image.fromarray(RGB))), RGB),
        (np.frombuffer(encoded(Image.fromarray(RGB)), np.uint8), RGB),
        (Image.fromarray(RGB), RGB),
    ],
)
def test_pixels_arrive_as_they_were(source, expected):
    assert np.array_equal(pixels(source), expected)


def test_a_jpeg_keeps_its_size():
    assert pixels(encoded(Image.fromarray(RGB), "JPEG")).shape == RGB.shape


def test_a_file_is_read(tmp_path: Path):
    (tmp_path / "part.png").write_bytes(encoded(Image.fromarray(RGB)))
    assert np.array_equal(pixels(tmp_path / "part.png"), RGB)
    assert np.array_equal(pixels(str(tmp_path / "part.png")), RGB)


def with_clear_pixel() -> Image.Image:
    image = opaque()
    image.putpixel((0, 0), (1, 2, 3, 0))
    return image


PNG = encoded(Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 50, 3), np.uint8)))
RGB16 = png(RGB.astype(np.uint16) * 257)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (b"", "empty"),
        (b"hello", "begins with"),
        (PNG[: len(PNG) // 2], "damaged"),
        (PNG[:20], "damaged"),
        (PNG[:60] + b"\0" * 100 + PNG[160:], "damaged"),
        (encoded(Image.fromarray(RGB), "BMP")[:-20], "damaged"),
        (encoded(Image.fromarray(RGB), "GIF"), "none of PNG"),
        (encoded(Image.fromarray(GREY.astype(np.uint16))), "16 bits"),
        (RGB16, "16 bits"),
        (encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG"), "CMYK"),
        (encoded(with_clear_pixel()), "transparent"),
        (saved(RGB)[:-1], "truncated"),
        (saved(RGB)[:50], "truncated"),
        (saved(RGB.astype(np.uint16)), "'<u2'"),
        (saved(np.array([[object()]])), "pickled"),
        (saved(np.zeros((0, 5, 3), np.uint8)), "no pixels"),
        (saved(np.zeros((2, 2, 4), np.uint8)), "alpha"),
        (saved(np.asfortranarray(RGB)), "Fortran"),
        (saved(np.zeros(3, [("x", np.uint8)])), "records"),
        (npy.MAGIC + b"\x01\x00\x10\x00" + b"{'descr': nonsense", "damaged header"),
        (npy.write_header((20_000, 20_000)), "more than"),
        (RGB.astype(float), "'d'"),
        (RGB > 3, "'?'"),
        (np.zeros((2, 3, 4, 5), np.uint8), "2×3×4×5"),
        (np.zeros((3, 0), np.uint8), "no pixels"),
        (42, "int"),
        ("/nowhere/part.png", "No such file"),
    ],
)  # fmt: skip
def test_what_would_turn_black_or_wrap_is_refused(source, why):
    with pytest.raises(CallError) as caught:
        load(source)
    assert caught.value.code is Code.image_load_failed
    assert why in caught.value.message


@pytest.mark.parametrize("shape", [(1, 1), (480, 640, 3), (99999, 1, 1)])
def test_numpy_reads_our_header(shape):
    header = npy.write_header(shape)
    assert len(header) % 64 == 0
    assert np.load(io.BytesIO(header + bytes(int(np.prod(shape))))).shape == shape
    assert npy.read_header(header).shape == shape


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "memory").mkdir()
    shared_folder.open_folder(tmp_path / "images", tmp_path / "memory")
    return tmp_path / "images"


def test_a_slot_is_overwritten_in_place_by_larger_and_smaller_pictures(folder: Path):
    mine = Slots(folder, "t")
    inodes = set()
    for array in (RGB, GREY, np.zeros((300, 200, 3), np.uint8), RGB):
        shared = mine.put(load(array), "image")
        path = folder / f"{shared.id}.npy"
        assert np.array_equal(np.load(path), array)
        assert (shared.width, shared.height) == (array.shape[1], array.shape[0])
        inodes.add(path.stat().st_ino)
    assert len(inodes) == 1
    mine.remove()
    assert list(folder.iterdir()) == []


def test_an_image_of_the_host_is_found(folder: Path):
    np.save(folder / "cam-1.npy", RGB)
    shared = Slots(folder, "t").find(ImageRef("cam-1"))
    assert (shared.id, shared.width, shared.height) == ("cam-1", 5, 4)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("cam", None, Code.shared_memory_not_found),
        ("cam", b"garbage", Code.shared_memory_not_found),
        ("cam", saved(RGB)[:-1], Code.shared_memory_not_found),
        ("cam", saved(RGB.astype(float)), Code.shared_memory_not_found),
        ("../cam", None, Code.invalid_params),
        (".cam", None, Code.invalid_params),
        ("cam 1", None, Code.invalid_params),
        (7, None, Code.invalid_params),
    ],
)
def test_an_image_of_the_host_that_is_not_there_or_no_image(folder: Path, name, content, code):
    if content is not None:
        (folder / f"{name}.npy").write_bytes(content)
    with pytest.raises(CallError) as caught:
        Slots(folder, "t").find(ImageRef(name))
    assert caught.value.code is code


def test_the_folder_is_private_and_repaired_when_its_link_dangles(folder: Path, tmp_path: Path):
    target = folder.readlink()
    assert target.parent == tmp_path / "memory"
    assert target.stat().st_mode & 0o777 == 0o700
    target.rmdir()
    shared_folder.open_folder(folder, tmp_path / "memory")
    assert folder.is_dir()
    shared_folder.close_folder(folder, tmp_path / "memory")
    assert not os.path.lexists(folder)


def test_a_link_that_points_elsewhere_is_replaced(folder: Path, tmp_path: Path):
    right = folder.readlink()
    folder.unlink()
    folder.symlink_to(tmp_path)
    shared_folder.open_folder(folder, tmp_path / "memory")
    assert folder.readlink() == right


def test_somebody_elses_folder_is_not_used(tmp_path: Path):
    (tmp_path / "memory").mkdir()
    shared_folder.memory_folder(tmp_path / "images", tmp_path / "memory").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="not ours"):
        shared_folder.open_folder(tmp_path / "images", tmp_path / "memory")


def test_without_memory_backed_storage_a_plain_folder_serves(tmp_path: Path):
    shared_folder.open_folder(tmp_path / "images", tmp_path / "absent")
    assert (tmp_path / "images").is_dir()
    assert not (tmp_path / "images").is_symlink()
