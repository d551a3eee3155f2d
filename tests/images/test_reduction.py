"""Pictures made small: the colours that the algorithm got, nothing but pixels, and no bomb."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from controller.images.npy import NotAnImage
from controller.images.reduction import LONGEST_SIDE, reduce_file, reduce_pixels

RED = np.full((1200, 1920, 3), (250, 20, 20), np.uint8)


def shown(content: bytes) -> tuple[tuple[int, int], str, tuple[int, ...]]:
    """Return size, mode and the colour in the middle, in steps of ten."""
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        found = image.getpixel((image.width // 2, image.height // 2))
        colour = found if isinstance(found, tuple) else (int(found or 0),)
        return image.size, image.mode, tuple(round(each / 10) * 10 for each in colour)


def file(image: Image.Image, form: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def test_pixels_in_every_order_and_shape() -> None:
    for order, array in (("RGB", RED), ("BGR", np.ascontiguousarray(RED[..., ::-1]))):
        found = reduce_pixels(memoryview(array).cast("B"), array.shape, order)
        assert (found.width, found.height) == (1920, 1200)
        assert shown(found.content) == ((LONGEST_SIDE, 600), "RGB", (250, 20, 20))
    for shape in ((300, 400), (300, 400, 1)):
        grey = np.full(shape, 130, np.uint8)
        assert shown(reduce_pixels(memoryview(grey).cast("B"), shape, "BGR").content) == ((400, 300), "L", (130,))
    narrow = np.full((3000, 3, 3), 130, np.uint8)
    assert shown(reduce_pixels(memoryview(narrow).cast("B"), narrow.shape, "RGB").content)[0] == (1, LONGEST_SIDE)


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        *(("PNG", mode) for mode in ("RGB", "L", "1", "P", "RGBA", "LA")),
        *((form, mode) for form in ("JPEG", "BMP") for mode in ("RGB", "L")),
    ],
)
def test_files_in_every_format(form: str, mode: str) -> None:
    grey = mode in {"L", "1", "LA"}
    image = Image.fromarray(RED).convert("L").point(lambda _: 255).convert(mode) if grey else Image.fromarray(RED)
    found = reduce_file(file(image if grey else image.convert(mode), form))
    size, kind, colour = shown(found.content)
    assert (size, kind) == ((LONGEST_SIDE, 600), "L" if grey else "RGB")
    assert colour == ((260,) if grey else (250, 20, 20))


def test_nothing_but_pixels_is_passed_on() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: the SDK does not look at that
    exif[0x010F] = "the camera of line 7"
    content = file(Image.fromarray(RED), "JPEG", exif=exif, comment=b"batch 4711", icc_profile=b"x" * 200)
    found = reduce_file(content).content
    with Image.open(io.BytesIO(found)) as image:
        assert image.size == (LONGEST_SIDE, 600)
        assert not {"exif", "comment", "icc_profile"} & image.info.keys()
    assert b"4711" not in found


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"GIF89a", file(Image.fromarray(RED), "PNG")[:500]])
def test_damage_is_said(content: bytes) -> None:
    with pytest.raises(NotAnImage):
        reduce_file(content)


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(NotAnImage, match="pixels"):
        reduce_file(file(Image.new("1", (9_000, 9_000)), "PNG"))
