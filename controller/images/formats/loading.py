"""From what a caller brings to pixels: what it is, whether it is straight, else which way it is converted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from controller.images import npy
from controller.images.formats.arrays import (
    Samples,
    fitting,
    is_raw,
    is_straight,
    samples_of_npy,
    samples_of_object,
    samples_of_raw,
    samples_of_view,
    wrong_size,
)
from controller.images.formats.encoded import decoded
from controller.images.formats.files import STARTS
from controller.images.formats.picture import (
    AS_IT_IS,
    Contradiction,
    ImageSource,
    LargePicture,
    Picture,
    Reading,
    refused,
)
from controller.images.npy import NotAnImage


def load(
    source: ImageSource, what: str = "the image", *, most: int = npy.MAX_PIXELS, reading: Reading = AS_IT_IS
) -> Picture:
    """Return the pixels of an image; it may take long.

    Raises:
        CallError: 1002, it cannot be used, or not as the deployment's settings are; 1003, it is not what the call says.
            `what` is how the message calls the image.
        LargePicture: it has more than `most` pixels and is to be decoded or converted; nothing was.
    """
    try:
        if isinstance(source, (str, os.PathLike)):
            what = f"{what} {os.fspath(source)}"
            source = _read(Path(source))
        found = _samples(source, reading)
        if not isinstance(found, Samples):
            return decoded(found, reading, most)
        reading = fitting(found, reading)
        return _picture(found, reading) or _converted(found, reading, most)
    except (NotAnImage, Contradiction) as error:
        raise refused(what, error) from None


def load_straight(source: ImageSource, what: str, reading: Reading = AS_IT_IS) -> Picture | None:
    """Return the pixels of an array that algorithms see as it is; None where `load` has to be asked, off the loop.

    Raises:
        CallError: 1002, 1003, as `load`.
    """
    quickly = _quickly(source, reading) if reading.format is None else None
    if quickly is not None:
        return quickly
    if isinstance(source, (str, os.PathLike)) or (isinstance(source, bytes) and not source.startswith(npy.MAGIC)):
        return None
    try:
        found = _samples(source, reading)
        return _picture(found, fitting(found, reading)) if isinstance(found, Samples) else None
    except (NotAnImage, Contradiction) as error:
        raise refused(what, error) from None


def _quickly(source: Any, reading: Reading) -> Picture | None:
    """Return the picture of what most calls bring, which shall not pay for all that others may be; None of the others.

    That is H×W×3 of uint8, as an array or `.npy`: it is straight whatever a deployment says.
    """
    try:
        view = memoryview(source)
        if view.format != "B" or not view.c_contiguous:
            return None
        if view.ndim == 1 and view[: len(npy.MAGIC)] == npy.MAGIC:
            header = npy.read_any_header(view)
            straight = header.plain and (reading is AS_IT_IS or header.shape[2:] == (3,))
            if straight and not header.fortran_order and header.end <= len(view):
                return Picture(header.shape, view[header.offset : header.end])
            return None
    except (TypeError, NotAnImage):  # it is looked at with care then
        return None
    shape = view.shape
    if shape is None or len(shape) != 3 or shape[2] != 3 or not 0 < shape[0] * shape[1] <= npy.MAX_PIXELS:
        return None
    return Picture(shape, view.cast("B"))


def is_straight_file(path: str, what: str, reading: Reading) -> bool:
    """Return whether a `.npy` file need not be converted; also where it cannot be: whoever uses it says why.

    Raises:
        CallError: 1003, it is not what the call says.
    """
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - the path is text
            header = npy.read_any_header(file.read(npy.MAX_HEADER))
        samples = Samples(header.shape, memoryview(b""), header.type)
        return is_straight(samples, fitting(samples, reading))
    except (OSError, NotAnImage):
        return True
    except Contradiction as error:
        raise refused(what, error) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotAnImage(f"cannot be read: {error.strerror}") from None


def _samples(source: Any, reading: Reading) -> Samples | memoryview:
    """Return the values of an array, or a file's bytes that have to be decoded. Raises NotAnImage, Contradiction."""
    try:
        view = memoryview(source)
    except TypeError:
        return samples_of_object(source)
    if view.ndim != 1 or view.format != "B":
        return samples_of_view(view)
    data = view if view.c_contiguous else memoryview(view.tobytes())
    if is_raw(data, reading):
        return samples_of_raw(data, reading)
    start = bytes(data[:8])
    if start.startswith(npy.MAGIC):
        return samples_of_npy(data)
    if start.startswith(STARTS):
        return data
    if not start:
        raise NotAnImage("is empty")
    if reading.size is not None:
        raise wrong_size(len(data), reading)
    raise NotAnImage(f"is none of PNG, JPEG, BMP, TIFF and .npy: it begins with {start!r}")


def _picture(samples: Samples, reading: Reading) -> Picture | None:
    """Return the picture of samples that are straight, None where they are to be converted.

    Raises:
        NeedsSetting: neither is what the deployment's settings say.
    """
    if is_straight(samples, reading):
        return Picture(samples.shape, samples.data)
    if reading.leaves_arrays:
        npy.require_plain(samples.type, samples.shape)
    return None


def _converted(samples: Samples, reading: Reading, most: int) -> Picture:
    pixels = samples.shape[0] * samples.shape[1]
    if pixels > most:
        raise LargePicture(samples.shape)
    from controller.images.formats.conversion import converted  # noqa: PLC0415 - numpy, which few stations need

    return converted(samples, reading)
