"""What cameras and files bring, against arrays of which the files were written, and against OpenCV's decoders."""

from __future__ import annotations

import io
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from controller.client.pixel_formats import PATTERN, pixel_format
from controller.errors import CallError, Code
from controller.images import npy
from controller.images.formats import Picture, Reading, load
from controller.model.input import PictureInput
from tests.images.files import (
    demosaiced,
    narrowed,
    packed,
    packed_by_gige,
    png,
    tiff,
    transparent_colour,
    upright,
)

RNG = np.random.default_rng(5)
SIZE = (13, 17)
TAKES_ALL: dict[str, Any] = {"depth": "shift", "alpha": "drop", "cmyk": "convert"}


def values(channels: int = 1, bits: int = 16, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return random values of so many bits, the lowest and the highest among them."""
    found = RNG.integers(0, 2**bits, size if channels == 1 else (*size, channels))
    found.flat[0], found.flat[-1] = 0, 2**bits - 1
    return found.astype(np.uint8 if bits == 8 else np.uint16)


def seen(source: Any, pixel_format_: str | None = None, size: tuple[int, int] | None = None, **said: Any) -> Picture:
    told = None if pixel_format_ is None else pixel_format(pixel_format_)
    return load(source, reading=Reading(PictureInput(**said), told, size))


def pixels(picture: Picture) -> np.ndarray:
    return np.frombuffer(picture.pixels, np.uint8).reshape(picture.shape)


def without_alpha(array: np.ndarray) -> np.ndarray:
    channels = array.shape[2] if array.ndim == 3 else 1
    return array[..., 0] if channels == 2 else array[..., :3] if channels == 4 else array


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


FILES = {
    "png": png,
    "interlaced png": lambda array: png(array, interlaced=True),
    "tiff": tiff,
    "big-endian tiff": lambda array: tiff(array, big_endian=True),
    "deflated tiff": lambda array: tiff(array, deflated=True),
    "big-endian deflated tiff": lambda array: tiff(array, big_endian=True, deflated=True),
    "tiff with a predictor": lambda array: tiff(array, deflated=True, differences=True),
    "big-endian tiff with a predictor": lambda array: tiff(array, big_endian=True, deflated=True, differences=True),
    "lzw tiff": lambda array: cv2.imencode(".tiff", in_order(array))[1].tobytes(),
    "npy": saved,
    "big-endian npy": lambda array: saved(array.astype(array.dtype.newbyteorder(">"))),
}


def in_order(array: np.ndarray) -> np.ndarray:
    """Return an array in OpenCV's order of channels, and back."""
    return array if array.ndim == 2 else array[..., [2, 1, 0, 3][: array.shape[2]]]


@pytest.mark.parametrize("depth", ["shift", "scale"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_every_depth_is_the_array_that_was_written(kind, channels, bits, depth):
    array = values(channels, bits)
    picture = seen(FILES[kind](array), depth=depth, bits=max(bits, 9), alpha="drop")

    expected = array if bits == 8 else narrowed(array, bits, depth)
    assert np.array_equal(pixels(picture), without_alpha(expected))
    done = [f"depth:{depth}"] * (bits > 8) + ["alpha:drop"] * (channels == 4)
    assert (picture.conversion or {"conversion": []})["conversion"] == done
    if bits > 8:
        assert picture.conversion["bits"] == bits


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", [kind for kind in FILES if "npy" not in kind])
@pytest.mark.parametrize("bits", [8, 16])
def test_opencv_reads_the_same_of_these_files(kind, channels, bits):
    """So both the writers of the tests and what is compared with them are right."""
    array = values(channels, bits)
    if "tiff" in kind and bits == 8:
        array[..., 3:] = 255  # of such a file OpenCV hands out colours that are multiplied by their alpha
    decoded = cv2.imdecode(np.frombuffer(FILES[kind](array), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(in_order(decoded), array)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("interlaced", [False, True])
def test_grey_with_alpha(bits, interlaced):
    array = values(2, bits)
    expected = array[..., 0] if bits == 8 else narrowed(array[..., 0], 16, "scale")
    picture = seen(png(array, interlaced=interlaced), depth="scale", alpha="drop")
    assert np.array_equal(pixels(picture), expected)
    array[..., 1] = 2**bits - 1
    opaque = seen(png(array, interlaced=interlaced), depth="scale")
    assert np.array_equal(pixels(opaque), expected)
    assert "alpha:drop" not in (opaque.conversion or {"conversion": []})["conversion"]


@pytest.mark.parametrize(
    ("source", "setting"),
    [
        (png(values()), "spec.input.depth: shift or scale"),
        (png(values(3)), "spec.input.depth: shift or scale"),
        (tiff(values()), "spec.input.depth: shift or scale"),
        (values(), "spec.input.depth: shift or scale"),
        (saved(values(3)), "spec.input.depth: shift or scale"),
        (png(values(4, 8)), "spec.input.alpha: drop"),
        (tiff(values(4, 8)), "spec.input.alpha: drop"),
        (values(4, 8), "spec.input.alpha: drop"),
        (saved(values(4, 8)), "spec.input.alpha: drop"),
        (png(values(3, 8), chunks=transparent_colour(*map(int, values(3, 8)[0, 0]))), ""),
    ],
)
def test_a_refusal_names_the_setting_that_would_take_it(source, setting):
    if not setting:  # a colour that is transparent, but used by no pixel
        assert seen(source).conversion is None
        return
    with pytest.raises(CallError, match=setting) as caught:
        seen(source)
    assert caught.value.code is Code.image_load_failed
    assert seen(source, **TAKES_ALL).shape[:2] == SIZE


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_of_16_bits(channels):
    array = values(channels)
    key = [int(array[0, 0])] if channels == 1 else [int(value) for value in array[0, 0]]
    file = png(array, chunks=transparent_colour(*key))
    with pytest.raises(CallError, match=r"spec\.input\.alpha: drop"):
        seen(file, depth="shift")
    assert np.array_equal(pixels(seen(file, depth="shift", alpha="drop")), array >> 8)


@pytest.mark.parametrize(
    "source",
    [
        tiff(values(), photometric=0), tiff(values(), sample_format=2), tiff(values(), sample_format=3),
        tiff(values(2)), tiff(values(), deflated=True)[:-40], png(values(3))[:-60],
    ],
)  # fmt: skip
def test_what_is_not_read_rightly_is_not_read(source):
    with pytest.raises(CallError) as caught:
        seen(source, **TAKES_ALL)
    assert caught.value.code is Code.image_load_failed


def test_values_of_more_bits_than_were_announced_are_refused():
    with pytest.raises(CallError, match=r"65,535, which 12 bits cannot hold.*spec\.input\.bits"):
        seen(values(), depth="shift", bits=12)
    with pytest.raises(CallError, match="65,535, which 10 bits cannot hold"):
        seen(png(values(3)), depth="scale", bits=10)


@pytest.mark.parametrize(("depth", "expected"), [("shift", [0, 0, 7, 255]), ("scale", [0, 0, 8, 255])])
def test_shift_drops_the_low_bits_and_scale_takes_the_whole_range(depth, expected):
    array = np.array([[0, 7, 127, 4095]], np.uint16)
    assert pixels(seen(array, depth=depth, bits=12)).tolist() == [expected]


# What files say beside their pixels.


def jpeg(array: np.ndarray, orientation: int | None = None) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    if orientation:
        exif[274] = orientation
    Image.fromarray(array).save(file, "JPEG", quality=95, subsampling=0, exif=exif)
    return file.getvalue()


CORNERS = cv2.resize(np.array([[[250, 10, 10], [10, 250, 10]], [[10, 10, 250], [250, 250, 10]]], np.uint8), (24, 16))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_where_the_deployment_says_so(orientation):
    file = np.frombuffer(jpeg(CORNERS, orientation), np.uint8)
    turned = cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    stored = cv2.cvtColor(cv2.imdecode(file, flags), cv2.COLOR_BGR2RGB)

    applied, ignored = seen(file.tobytes(), exif="apply"), seen(file.tobytes())
    for picture, expected in ((applied, turned), (ignored, stored)):
        assert picture.shape == expected.shape
        assert np.abs(pixels(picture).astype(int) - expected).max() <= 2
    assert ignored.conversion is None
    assert (applied.conversion is None) == (orientation == 1)
    if orientation != 1:
        assert applied.conversion["conversion"] == [f"exif:{orientation}"]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_only_where_the_deployment_says_so(orientation, channels, bits):
    array = values(channels, bits)
    file = tiff(array, orientation=orientation)
    expected = array if bits == 8 else narrowed(array, 16, "shift")
    assert np.array_equal(pixels(seen(file, depth="shift")), expected)
    assert np.array_equal(pixels(seen(file, depth="shift", exif="apply")), upright(expected, orientation))


def test_a_mosaic_gets_its_colours_before_it_is_turned():
    mosaic = values(1, 8)
    picture = seen(tiff(mosaic, orientation=6), exif="apply", bayer="GRBG")
    assert np.array_equal(pixels(picture), upright(demosaiced(mosaic, "GRBG"), 6))
    assert picture.conversion["conversion"] == ["bayer:GRBG", "exif:6"]


def test_cmyk_as_adobe_writes_it():
    """A JPEG of Adobe's holds CMYK inverted, and says so in its APP14 segment; Pillow writes it like that."""
    inks = np.zeros((16, 24, 4), np.uint8)
    inks[:, :8, 0], inks[:, 8:16, 1], inks[:, 16:, 2], inks[8:, :, 3] = 255, 255, 255, 128
    file = io.BytesIO()
    Image.fromarray(inks, "CMYK").save(file, "JPEG", quality=100, subsampling=0)
    assert b"Adobe" in file.getvalue()
    with pytest.raises(CallError, match=r"spec\.input\.cmyk: convert"):
        seen(file.getvalue())

    picture = seen(file.getvalue(), cmyk="convert")
    light = (255 - inks[..., :3].astype(int)) * (255 - inks[..., 3:].astype(int)) // 255
    assert picture.conversion == {"pixel_format": "CMYK8", "bits": 8, "conversion": ["cmyk:convert"]}
    assert np.abs(pixels(picture).astype(int) - light).max() <= 4
    decoded = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(pixels(picture).astype(int) - decoded).max() <= 4


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg", "group4"])
def test_compressions_of_tiff(compression):
    array = CORNERS if compression == "jpeg" else values(3, 8)
    image = Image.fromarray(array)
    image = image.convert("1") if compression == "group4" else image
    file = io.BytesIO()
    image.save(file, "TIFF", compression=compression)
    decoded = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.abs(pixels(seen(file.getvalue())).astype(int) - in_order(decoded)).max() <= 2 * (compression == "jpeg")


# Pixel formats of cameras.

MOSAICS = {"BayerRG": "RGGB", "BayerGR": "GRBG", "BayerGB": "GBRG", "BayerBG": "BGGR"}
OPENCV = {"RGGB": cv2.COLOR_BayerRGGB2RGB, "GRBG": cv2.COLOR_BayerGRBG2RGB,
          "GBRG": cv2.COLOR_BayerGBRG2RGB, "BGGR": cv2.COLOR_BayerBGGR2RGB}  # fmt: skip
UNPACKED = [
    f"{kind}{bits}" for kind in ("Mono", *MOSAICS, "RGB", "BGR", "RGBa", "BGRa") for bits in (8, 10, 12, 14, 16)
]
PACKED = [f"{kind}{bits}" for kind in ("Mono", *MOSAICS) for bits in ("10p", "12p", "10Packed", "12Packed")]


@pytest.mark.parametrize("how", ["array", "npy", "raw"])
@pytest.mark.parametrize("name", UNPACKED)
def test_every_format_as_array_as_npy_and_as_bytes(name, how):
    told = pixel_format(name)
    array = values(told.channels, told.bits)
    source, size = {
        "array": (array, None), "npy": (saved(array), None), "raw": (array.tobytes(), (SIZE[1], SIZE[0])),
    }[how]  # fmt: skip
    picture = seen(source, name, size, depth="scale", alpha="drop")

    expected = array if told.bits == 8 else narrowed(array, told.bits, "scale")
    expected = demosaiced(expected, told.mosaic) if told.mosaic else without_alpha(expected)
    assert np.array_equal(pixels(picture), expected)
    assert picture.decoded == (told.channels == 1 and picture.conversion is not None), "BGR stays what the call says"
    if picture.conversion is not None:
        assert (picture.conversion["pixel_format"], picture.conversion["bits"]) == (name, told.bits)


@pytest.mark.parametrize("size", [SIZE, (2, 2), (1, 5), (4, 6)])
@pytest.mark.parametrize("name", PACKED)
def test_every_packed_format(name, size):
    told = pixel_format(name)
    array = values(1, told.bits, size)
    data = packed(array, told.bits) if told.packing == "p" else packed_by_gige(array, told.bits)
    assert len(data) == told.size(size[1], size[0])
    narrow = narrowed(array, told.bits, "shift")
    if told.mosaic and min(size) < 2:
        with pytest.raises(CallError, match="too small for a Bayer mosaic"):
            seen(data, name, (size[1], size[0]), depth="shift")
        return
    picture = seen(data, name, (size[1], size[0]), depth="shift")
    assert np.array_equal(pixels(picture), demosaiced(narrow, told.mosaic) if told.mosaic else narrow)


@pytest.mark.parametrize("name", MOSAICS)
def test_inside_a_mosaic_opencv_comes_to_the_same_colours(name):
    mosaic = values(1, 8, (480, 642))
    ours = pixels(seen(mosaic, bayer=MOSAICS[name]))
    theirs = cv2.demosaicing(mosaic, OPENCV[MOSAICS[name]])
    assert np.array_equal(ours[1:-1, 1:-1], theirs[1:-1, 1:-1])
    assert np.array_equal(ours, pixels(seen(mosaic, f"{name}8"))), "a setting and a pixel format mean the same"
    assert np.array_equal(ours, pixels(seen(png(mosaic), bayer=MOSAICS[name]))), "and so does a file"


@given(
    st.sampled_from(list(MOSAICS.values())), st.tuples(*[st.integers(0, 255)] * 3), st.tuples(*[st.integers(2, 40)] * 2)
)
def test_a_flat_colour_stays_what_it_is(order, colour, size):
    mosaic = np.empty(size, np.uint8)
    for place, letter in enumerate(order):
        mosaic[place // 2 :: 2, place % 2 :: 2] = colour["RGB".index(letter)]
    assert (pixels(seen(mosaic, bayer=order)) == np.array(colour, np.uint8)).all()


@given(st.sampled_from(list(MOSAICS.values())), st.tuples(*[st.integers(2, 9)] * 2), st.integers(0, 2**32))
def test_a_mosaic_of_any_size_is_interpolated_as_written(order, size, seed):
    mosaic = np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)
    assert np.array_equal(pixels(seen(mosaic, bayer=order)), demosaiced(mosaic, order))


def test_colours_and_what_a_call_calls_grey_are_no_mosaic():
    colours = values(3, 8)
    assert np.array_equal(pixels(seen(colours, bayer="RGGB")), colours)
    assert np.array_equal(pixels(seen(colours[..., 0], "Mono8", bayer="RGGB")), colours[..., 0])
    assert np.array_equal(pixels(seen(png(colours), "BayerRG8")), colours), "a file knows its colours"


@pytest.mark.parametrize(
    ("source", "name", "size", "why"),
    [
        (values(3, 8), "Mono8", None, "13×17×3 where Mono8 has 1 channel"),
        (values(1, 8), "RGB8", None, "13×17 where RGB8 has 3 channels"),
        (values(1, 8), "Mono12", None, "8-bit values, which Mono12 does not"),
        (values(1, 16), "BayerRG8", None, "16-bit values, which BayerRG8 does not"),
        (values(1, 16), "Mono12p", None, "needs bytes, with width and height"),
        (values(1, 8), "Mono8", (13, 17), "where 13 is its width and 17 its height"),
        (b"\0" * 100, "Mono8", (17, 13), "100 bytes where Mono8 of 17×13 pixels has 221"),
        (b"\0" * 100, "Mono12Packed", (17, 13), "has 332"),
    ],
)
def test_what_is_not_what_its_call_says_is_refused_as_the_callers_mistake(source, name, size, why):
    with pytest.raises(CallError, match=why) as caught:
        seen(source, name, size, **TAKES_ALL)
    assert caught.value.code is Code.invalid_params


def test_raw_bytes_are_told_from_a_file_by_how_many_they_are():
    array = np.full(SIZE, 66, np.uint8)
    array[0, 1] = 77
    assert array.tobytes().startswith(b"BM"), "as a BMP file does"
    assert np.array_equal(pixels(seen(array.tobytes(), "Mono8", (17, 13))), array)
    assert np.array_equal(pixels(seen(png(array), "Mono8", (17, 13))), array)


@pytest.mark.parametrize("name", [*UNPACKED, *PACKED, "RGBA8", "BGRA8", "RGB8Packed", "BGR8Packed", "RGBA8Packed"])
def test_names(name):
    assert pixel_format(name).name == name.replace("A", "a").removesuffix("8Packed") + "8" * name.endswith("8Packed")


@pytest.mark.parametrize(
    "name", ["mono8", "Mono9", "RGB8p", "BayerRG", "BayerRG14p", "YCbCr422_8", "", "Mono8 ", "Mono8\n"]
)
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match="no pixel format"):
        pixel_format(name)
    assert PATTERN.endswith("$")


def test_a_picture_without_a_need_for_numpy_does_not_load_it():
    code = (
        "import sys; from controller.images.formats import load\n"
        "load(b'BM') if 0 else load(memoryview(bytes(12)).cast('B', (2, 2, 3)))\n"
        f"load({png(values(3, 8))!r}); load({tiff(values(3, 8))!r})\n"
        "print('numpy' in sys.modules)"
    )
    import subprocess

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


# Damage.


def damaged(file: bytes, seed: int) -> bytes:
    """Return a file with some of its bytes changed, left out or put in."""
    rng, found = np.random.default_rng(seed), bytearray(file)
    for _ in range(int(rng.integers(1, 12))):
        place, kind = int(rng.integers(len(found))), int(rng.integers(4))
        if kind == 0:
            found[place] = int(rng.integers(256))
        elif kind == 1:
            del found[place : place + int(rng.integers(1, 60))]
        elif kind == 2:
            found[place:place] = rng.integers(0, 256, int(rng.integers(1, 8))).astype(np.uint8).tobytes()
        else:
            found[place] ^= 1 << int(rng.integers(8))
        if not found:
            break
    return bytes(found)


CORPUS = [
    *(make(values(channels, bits)) for make in list(FILES.values()) for channels, bits in ((1, 8), (3, 16), (4, 8))),
    jpeg(CORNERS, 6),
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow's, which the daemon does not show either
@given(st.sampled_from(CORPUS), st.integers(0, 2**32))
def test_a_damaged_file_is_a_picture_or_refused(file, seed):
    try:
        picture = seen(damaged(file, seed), **TAKES_ALL, exif="apply")
    except CallError as error:
        assert error.code is Code.image_load_failed  # noqa: PT017 - either is right
    else:
        assert len(picture.pixels) == np.prod(picture.shape)
        assert npy.is_plain(npy.BYTES, picture.shape)
