"""Pixels made smaller without loss, and back: each row as its difference to the one above, then zstd.

Measured against others in docs/adr/0043-recording.md: plain zstd finds little in a camera's noise, zlib and PNG take
three to ten times as long. What does not become smaller is kept as it is.
"""

from __future__ import annotations

from math import prod
from typing import Literal, NamedTuple, cast

from controller.images.npy import Shape

Codec = Literal["raw", "up+zstd"]
_LEVEL, _LEAST_MATCH, _MATCHES = 1, 7, 6
"""zstd's level; the shortest repetition that is looked for (bytes); and log2 of how many places of them are remembered.

A camera's noise does not repeat itself: nearly all is won by the code of rare and frequent differences (Huffman).
"""


class Damaged(ValueError):
    """Says what is wrong with a recorded call, as the end of a sentence about it."""


class Packed(NamedTuple):
    """Pixels as they are kept."""

    codec: Codec
    data: bytes | memoryview


def pack(pixels: memoryview, shape: Shape) -> Packed:
    """Return pixels in C order as they are to be kept."""
    import zstandard  # noqa: PLC0415 - only who writes or reads pictures needs it

    height, stride = shape[0], prod(shape[1:])
    terms = zstandard.ZstdCompressionParameters.from_level(_LEVEL, min_match=_LEAST_MATCH, hash_log=_MATCHES)
    compressor = zstandard.ZstdCompressor(compression_params=terms).compressobj(size=len(pixels))
    parts = [compressor.compress(pixels[:stride])]
    if height > 1:
        parts.append(compressor.compress(_differences(pixels, stride, height)))
    parts.append(compressor.flush())
    size = sum(map(len, parts))
    return Packed("up+zstd", b"".join(parts)) if size < len(pixels) else Packed("raw", pixels)


def _differences(pixels: memoryview, stride: int, height: int) -> bytes:
    from PIL import Image, ImageChops  # noqa: PLC0415

    rows = (stride, height - 1)
    below = Image.frombuffer("L", rows, cast("bytes", pixels[stride:]), "raw", "L", 0, 1)
    above = Image.frombuffer("L", rows, cast("bytes", pixels[:-stride]), "raw", "L", 0, 1)
    return ImageChops.subtract_modulo(below, above).tobytes()


def unpack(codec: str, data: bytes, shape: Shape) -> bytes:
    """Return the pixels of a picture of that shape. Raises Damaged; it never takes more memory than the shape says."""
    size = prod(shape)
    if codec == "raw":
        pixels = data
    elif codec == "up+zstd":
        pixels = _sums(_decompressed(data, size), prod(shape[1:]), shape[0])
    else:
        raise Damaged(f"is packed as {codec[:40]!r}, which this release does not know")
    if len(pixels) != size:
        raise Damaged(f"has {len(pixels):,} bytes of pixels where {size:,} are announced")
    return pixels


def _decompressed(data: bytes, size: int) -> bytes:
    import zstandard  # noqa: PLC0415

    try:
        if zstandard.get_frame_parameters(data).content_size != size:
            raise Damaged("announces another size than its picture has")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    except zstandard.ZstdError as error:
        raise Damaged(f"cannot be unpacked: {error}") from None


def _sums(differences: bytes, stride: int, height: int) -> bytes:
    from PIL import Image, ImageChops  # noqa: PLC0415

    if len(differences) != stride * height:
        raise Damaged("was cut off")
    view = memoryview(differences)
    rows, above = [differences[:stride]], None
    for start in range(0, stride * height, stride):
        row = Image.frombuffer("L", (stride, 1), cast("bytes", view[start : start + stride]), "raw", "L", 0, 1)
        above = row if above is None else ImageChops.add_modulo(above, row)
        if start:
            rows.append(above.tobytes())
    return b"".join(rows)
