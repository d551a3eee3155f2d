"""Picture files written from their specifications (PNG 1.2, TIFF 6.0), by nothing that the product reads them with."""

from __future__ import annotations

import struct
import zlib

import numpy as np

_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _filtered(rows: np.ndarray, step: int) -> bytes:
    """Return rows of bytes, each by another one of PNG's five filters."""
    found, before = bytearray(), np.zeros(rows.shape[1], int)
    for number, row in enumerate(rows.astype(int)):
        left = np.concatenate((np.zeros(step, int), row))[: len(row)]
        corner = np.concatenate((np.zeros(step, int), before))[: len(row)]
        guess = left + before - corner
        distances = np.abs([guess - left, guess - before, guess - corner])
        paeth = np.where(
            (distances[0] <= distances[1]) & (distances[0] <= distances[2]),
            left, np.where(distances[1] <= distances[2], before, corner),
        )  # fmt: skip
        kind = number % 5
        found.append(kind)
        found += ((row - (0, left, before, (left + before) // 2, paeth)[kind]) % 256).astype(np.uint8).tobytes()
        before = row
    return bytes(found)


def png(pixels: np.ndarray, *, interlaced: bool = False, chunks: bytes = b"") -> bytes:
    """Return a PNG file of an H×W or H×W×C array of uint8 or uint16; `chunks` stand before its data."""
    height, width = pixels.shape[:2]
    array = pixels.reshape(height, width, -1)
    channels, size = array.shape[2], array.dtype.itemsize
    data = b""
    for x, y, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        part = array[y::down, x::across]
        if part.size:
            rows = np.ascontiguousarray(part.astype(f">u{size}")).view(np.uint8).reshape(part.shape[0], -1)
            data += _filtered(rows, channels * size)
    head = struct.pack(">IIBBBBB", width, height, 8 * size, _PNG_COLOURS[channels], 0, 0, interlaced)
    before, after = _chunk(b"IHDR", head) + chunks, _chunk(b"IDAT", zlib.compress(data)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + before + after


def transparent_colour(*values: int) -> bytes:
    """Return the chunk that says which colour is transparent."""
    return _chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


def tiff(
    pixels: np.ndarray, *, big_endian: bool = False, deflated: bool = False, differences: bool = False,
    rows_per_strip: int = 3, **tags: int,
) -> bytes:  # fmt: skip
    """Return a TIFF file of an H×W or H×W×C array of uint8 or uint16, in strips of a few rows.

    `differences`: each value is stored as its difference to its neighbour (predictor 2). `tags` by the names below
    say something else of the picture than what the array says.
    """
    end = ">" if big_endian else "<"
    height, width = pixels.shape[:2]
    array = pixels.reshape(height, width, -1)
    channels, size = array.shape[2], array.dtype.itemsize
    stored = array.astype(f"u{size}")
    if differences:
        stored = stored.copy()
        stored[:, 1:] -= array[:, :-1]
    strips = [
        np.ascontiguousarray(stored[top : top + rows_per_strip].astype(f"{end}u{size}")).tobytes()
        for top in range(0, height, rows_per_strip)
    ]
    strips = [zlib.compress(strip) for strip in strips] if deflated else strips
    names = {
        "width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262, "offsets": 273,
        "orientation": 274, "samples": 277, "rows": 278, "counts": 279, "planar": 284, "predictor": 317, "extra": 338,
        "sample_format": 339,
    }  # fmt: skip
    said: dict[str, list[int]] = {
        "width": [width], "height": [height], "bits": [8 * size] * channels, "compression": [8 if deflated else 1],
        "photometric": [1 if channels < 3 else 2], "offsets": [0] * len(strips), "samples": [channels],
        "rows": [rows_per_strip], "counts": [len(strip) for strip in strips], "planar": [1],
    }  # fmt: skip
    if differences:
        said["predictor"] = [2]
    if channels in {2, 4}:
        said["extra"] = [2]
    said |= {name: [value] * channels if name == "sample_format" else [value] for name, value in tags.items()}
    entries = sorted((names[name], values) for name, values in said.items())
    at = 8 + 2 + 12 * len(entries) + 4
    wide = {names["offsets"], names["counts"]}
    beside, body = b"", b""
    where = at + sum(4 * len(values) for tag, values in entries if len(values) * (4 if tag in wide else 2) > 4)
    for strip in strips:
        body += strip
    offsets, place = [], where
    for strip in strips:
        offsets.append(place)
        place += len(strip)
    directory = struct.pack(f"{end}H", len(entries))
    for tag, what in entries:
        values = offsets if tag == names["offsets"] else what
        kind, letter, most = (4, "I", 1) if tag in wide else (3, "H", 2)
        if len(values) <= most:
            directory += struct.pack(f"{end}HHI{len(values)}{letter}", tag, kind, len(values), *values).ljust(12, b"\0")
        else:
            directory += struct.pack(f"{end}HHII", tag, kind, len(values), at + len(beside))
            beside += struct.pack(f"{end}{len(values)}{letter}", *values).ljust(4 * len(values), b"\0")
    start = b"MM\0*" if big_endian else b"II*\0"
    return start + struct.pack(f"{end}I", 8) + directory + struct.pack(f"{end}I", 0) + beside + body


def packed(values: np.ndarray, bits: int) -> bytes:
    """Return PFNC's packing (`Mono10p`, `Mono12p`): bit by bit, lowest first."""
    row = values.astype(np.uint16).reshape(-1, 1) >> np.arange(bits, dtype=np.uint16) & 1
    return np.packbits(row.astype(np.uint8).reshape(-1), bitorder="little").tobytes()


def packed_by_gige(values: np.ndarray, bits: int) -> bytes:
    """Return GigE Vision's packing (`Mono10Packed`, `Mono12Packed`): two values in three bytes."""
    low, found = bits - 8, bytearray()
    flat = [int(value) for value in values.reshape(-1)]
    for first, second in zip(flat[::2], [*flat[1::2], 0], strict=False):
        found += bytes([first >> low, (second & (1 << low) - 1) << 4 | (first & (1 << low) - 1), second >> low])
    return bytes(found[: -(-len(flat) * 12 // 8)])


def demosaiced(mosaic: np.ndarray, order: str) -> np.ndarray:
    """Return the bilinear interpolation of a mosaic, pixel by pixel: the means of the nearest pixels of each colour.

    Beyond the edges the mosaic is mirrored about its outermost pixels.
    """
    height, width = mosaic.shape
    colour = {(y, x): "RGB".index(order[2 * y + x]) for y in (0, 1) for x in (0, 1)}
    found = np.zeros((height, width, 3), np.uint8)

    def mirrored(place: int, size: int) -> int:
        return -place if place < 0 else 2 * (size - 1) - place if place >= size else place

    for y in range(height):
        for x in range(width):
            around: dict[int, dict[int, list[int]]] = {}
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    there = colour[(y + dy) % 2, (x + dx) % 2]
                    value = int(mosaic[mirrored(y + dy, height), mirrored(x + dx, width)])
                    around.setdefault(there, {}).setdefault(abs(dy) + abs(dx), []).append(value)
            for channel, by_distance in around.items():
                nearest = by_distance[min(by_distance)]
                found[y, x, channel] = (2 * sum(nearest) + len(nearest)) // (2 * len(nearest))
    return found


def narrowed(values: np.ndarray, bits: int, depth: str) -> np.ndarray:
    """Return values of so many bits as 8: their highest ones, or scaled, rounded half up."""
    wide = values.astype(object)
    full = 2**bits - 1
    found = wide // 2 ** (bits - 8) if depth == "shift" else (wide * 510 + full) // (2 * full)
    return found.astype(np.uint8)


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Return rows and columns by the words of the Exif standard: where the 0th row and the 0th column are."""
    return {
        1: array, 2: np.fliplr(array), 3: np.rot90(array, 2), 4: np.flipud(array), 5: np.swapaxes(array, 0, 1),
        6: np.rot90(array, -1), 7: np.rot90(np.swapaxes(array, 0, 1), 2), 8: np.rot90(array),
    }[orientation]  # fmt: skip
