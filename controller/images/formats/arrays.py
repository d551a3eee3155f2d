"""Arrays and `.npy` data as samples: values of pixels as they arrived, uncopied, not yet looked at. Without numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from controller.images import npy
from controller.images.formats.picture import Contradiction, Reading
from controller.images.npy import NotAnImage, Shape


@dataclass(frozen=True, slots=True)
class Samples:
    """Values in C order: `type` is |u1, <u2 or >u2, `shape` H×W or H×W×(1, 3 or 4).

    `raw`: they are the bytes of the format that the call says; a packed one holds its values bit by bit, as |u1.
    """

    shape: Shape
    data: memoryview
    type: str = npy.BYTES
    raw: bool = False


def samples_of_npy(data: memoryview) -> Samples:
    """Return what `.npy` data holds. Raises NotAnImage."""
    header = npy.read_any_header(data)
    if len(data) < header.end:
        raise NotAnImage(f"is truncated: {header.end:,} bytes are announced, {len(data):,} are there")
    if header.fortran_order:
        raise NotAnImage("is in Fortran order; save it with numpy.ascontiguousarray")
    return Samples(header.shape, data[header.offset : header.end], header.type)


def samples_of_view(view: memoryview) -> Samples:
    """Return what the buffer of an array holds. Raises NotAnImage."""
    kind = npy.type_of(view.format)
    shape = tuple(view.shape or ())
    npy.check_shape(shape)
    return Samples(shape, view.cast("B") if view.c_contiguous else memoryview(view.tobytes()), kind)


def samples_of_object(source: Any) -> Samples:
    """Return what an object without a buffer holds that still describes its array as bytes (a Pillow image).

    Raises:
        NotAnImage: it is none of those.
    """
    interface = getattr(source, "__array_interface__", None)
    data = interface.get("data") if isinstance(interface, dict) else None
    if not isinstance(interface, dict) or not isinstance(data, bytes):
        raise NotAnImage(f"is a {type(source).__name__}, not an image")
    kind = npy.type_of(str(interface["typestr"]))
    shape = tuple(interface["shape"])
    npy.check_shape(shape)
    return Samples(shape, memoryview(data), kind)


def is_raw(data: memoryview, reading: Reading) -> bool:
    """Return whether bytes are pixels and nothing else: the call says so, and there are as many as that takes."""
    return reading.size is not None and reading.format is not None and len(data) == reading.format.size(*reading.size)


def samples_of_raw(data: memoryview, reading: Reading) -> Samples:
    """Return the samples of bytes that `is_raw` says are pixels. Raises NotAnImage: they are too many."""
    assert reading.format is not None  # noqa: S101
    assert reading.size is not None  # noqa: S101
    (width, height), channels = reading.size, reading.format.channels
    shape = (height, width) if channels == 1 else (height, width, channels)
    npy.check_shape(shape)
    kind = npy.BYTES if reading.format.packing or reading.format.bits == 8 else "<u2"
    return Samples(shape, data, kind, raw=True)


def wrong_size(length: int, reading: Reading) -> Contradiction:
    """Return the error for bytes that are no file, and not as many as the call says."""
    assert reading.format is not None  # noqa: S101
    assert reading.size is not None  # noqa: S101
    width, height = reading.size
    return Contradiction(
        f"has {length:,} bytes where {reading.format.name} of {width}×{height} pixels has "
        f"{reading.format.size(width, height):,}"
    )


def fitting(samples: Samples, reading: Reading) -> Reading:
    """Return how samples are to be read: without the call's pixel format where they have not got it and need not.

    Raises:
        Contradiction: they have not got the format, or the size, that the call says they have.
    """
    found = _misfit(samples, reading)
    if not found:
        return reading
    if reading.loose:
        return Reading(reading.input)
    raise Contradiction(found)


def _misfit(samples: Samples, reading: Reading) -> str:
    told = reading.format
    if told is None or samples.raw:
        return ""
    shape = "×".join(map(str, samples.shape))
    channels = samples.shape[2] if len(samples.shape) == 3 else 1
    if channels != told.channels:
        return f"is {shape} where {told.name} has {told.channels} channel{'s' if told.channels > 1 else ''}"
    if told.packing:
        return f"is an array where {told.name} needs bytes, with width and height"
    if (samples.type == npy.BYTES) != (told.bits == 8):
        return f"holds {8 if samples.type == npy.BYTES else 16}-bit values, which {told.name} does not"
    if reading.size is not None and reading.size != (samples.shape[1], samples.shape[0]):
        return f"is {shape} where {reading.size[0]} is its width and {reading.size[1]} its height"
    return ""


def is_straight(samples: Samples, reading: Reading) -> bool:
    """Return whether samples are what algorithms see already, as they are read."""
    if not npy.is_plain(samples.type, samples.shape) or (samples.raw and reading.format and reading.format.packing):
        return False
    one_channel = len(samples.shape) == 2 or samples.shape[2] == 1
    return not one_channel or not reading.mosaic
