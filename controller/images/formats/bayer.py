"""Bayer mosaics made into colours, bilinearly: of what a camera with a colour filter on its sensor hands out.

A pixel's missing colours are the means of the nearest pixels that have them, two or four, rounded half up; beyond the
edges the mosaic is mirrored about its outermost pixels, which keeps the order of colours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from controller.images.npy import NotAnImage

Bytes = NDArray[np.uint8]
_VALUES = 128 * 1024
"""Values of a strip: more of them leave the processor's cache, and take half as long again."""


def demosaiced(mosaic: Bytes, order: str) -> Bytes:
    """Return the H×W×3 picture, RGB, of an H×W mosaic whose first two rows have the colours of `order` (such as RGGB).

    Raises:
        NotAnImage: it has one row, or one column, only.
    """
    height, width = mosaic.shape
    if min(height, width) < 2:
        raise NotAnImage(f"is {height}×{width}, too small for a Bayer mosaic")
    red = divmod(order.index("R"), 2)
    padded = np.pad(mosaic, 1, mode="reflect")
    found = np.empty((height, width, 3), np.uint8)
    rows = max(2, _VALUES // width // 2 * 2)  # an even number: each strip begins with the same colour
    for top in range(0, height, rows):
        _interpolate(padded[top : top + rows + 2], found[top : top + rows], red)
    return found


def _interpolate(mosaic: Bytes, found: Bytes, red: tuple[int, int]) -> None:
    """Fill `found` from a mosaic that has one more pixel at each side; `red`: where its first red pixel is."""
    near = mosaic.astype(np.uint16)
    beside = near[:, :-2] + near[:, 2:]
    above_below = near[:-2, 1:-1] + near[2:, 1:-1]
    beside_it = beside[1:-1]
    own = mosaic[1:-1, 1:-1]
    around = (above_below + beside_it + 2) >> 2
    corners = (beside[:-2] + beside[2:] + 2) >> 2
    row_mates, column_mates = (beside_it + 1) >> 1, (above_below + 1) >> 1
    down, right = red
    for colour, (y, x) in ((0, (down, right)), (2, (1 - down, 1 - right))):
        at, opposite = np.s_[y::2, x::2], np.s_[1 - y :: 2, 1 - x :: 2]
        same_row, same_column = np.s_[y::2, 1 - x :: 2], np.s_[1 - y :: 2, x::2]
        plane = found[..., colour]
        plane[at], plane[opposite] = own[at], corners[opposite]
        plane[same_row], plane[same_column] = row_mates[same_row], column_mates[same_column]
        green = found[..., 1]
        green[at], green[same_row] = around[at], own[same_row]
