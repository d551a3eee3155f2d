"""Pixel formats by the names that cameras give them: GenICam's Pixel Format Naming Convention (PFNC) 2.4.

Understood are the formats that one plane of pixels holds: Mono and Bayer, RGB, BGR, RGBa and BGRa of 8 to 16 bits, and
the packed ones of 10 and 12 bits. It stands in the client's room for the reason that `arguments.py` does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_UNPACKED = "(8|10|12|14|16)"
PATTERN = f"^((Mono|Bayer(RG|GR|GB|BG))({_UNPACKED}|1[02]p|1[02]Packed)|(RGB|BGR)[Aa]?({_UNPACKED}|8Packed))$"
"""What a name may be. `RGBA8` stands for `RGBa8`, and GigE Vision's `RGB8Packed` for `RGB8`, which it is."""
_PARTS = re.compile("(Mono|Bayer|RGBa|BGRa|RGB|BGR)(RG|GR|GB|BG)?([0-9]+)(p|Packed)?")
_CHANNELS = {"Mono": 1, "Bayer": 1, "RGB": 3, "BGR": 3, "RGBa": 4, "BGRa": 4}
_MOSAICS = {"RG": "RGGB", "GR": "GRBG", "GB": "GBRG", "BG": "BGGR"}
"""GenICam names the first two pixels of the first row; here the first two rows are named."""


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A pixel format. `bits` of each value count; those of more than 8 stand in 16, lowest first, unless `packing`.

    `mosaic` is the order of colours in the first two rows (RGGB: red, green; green, blue), empty where there is none.
    `packing`: "p", PFNC's own, values follow each other bit by bit, lowest bit first; "Packed", GigE Vision's, two
    values stand in three bytes.
    """

    name: str
    kind: str
    bits: int
    mosaic: str = ""
    packing: str = ""

    @property
    def channels(self) -> int:
        return _CHANNELS[self.kind]

    @property
    def order(self) -> str | None:
        """The order of the channels, RGB or BGR; None where there is one only."""
        return self.kind[:3] if self.channels > 1 else None

    @property
    def bits_stored(self) -> int:
        """Bits that a value takes up."""
        if self.packing == "p":
            return self.bits
        return 12 if self.packing else 8 if self.bits == 8 else 16

    def size(self, width: int, height: int) -> int:
        """Return the bytes of a picture, whose rows follow each other without a gap."""
        return -(-width * height * self.channels * self.bits_stored // 8)


@lru_cache(maxsize=64)
def pixel_format(name: str) -> PixelFormat:
    """Return the format of that name. Raises ValueError where there is none."""
    if not re.fullmatch(PATTERN, name):
        raise ValueError(f"{name[:40]!r} is no pixel format that is understood")
    name = name.replace("A", "a") if name[3:4] == "A" else name
    found = _PARTS.fullmatch(name)
    assert found is not None  # noqa: S101  (the pattern above is narrower)
    kind, mosaic, bits, packing = found.groups()
    if bits == "8":
        packing, name = None, name.removesuffix("Packed")
    return PixelFormat(name, kind, int(bits), _MOSAICS.get(mosaic, ""), packing or "")
