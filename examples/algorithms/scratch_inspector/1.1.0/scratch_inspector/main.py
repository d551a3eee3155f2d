"""Finds scratches on a brushed-metal plate: lines of pixels that stand out of their brush lines.

New in 1.1.0: contrast is summed along lines, so that a scratch too faint for its single pixels is found too; every
scratch gets a tight rectangle of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from procvision_algorithm_sdk import BaseAlgorithm

PLATE_IS_BRIGHTER_THAN = 80
LINE_LENGTH = 25
LINE_ANGLES = np.deg2rad(np.arange(0, 180, 22.5))
LINE_SIGMAS = 7.0
MIN_PIXELS = 40
MAX_RECTS = 20  # the SDK's limit


class ScratchInspectorAlgorithm(BaseAlgorithm):
    def execute(
        self, step_index: int, step_desc: str, cur_image: Any, guide_image: Any, guide_info: Any
    ) -> dict[str, Any]:
        if cur_image is None:
            return {"status": "ERROR", "message": "no image was given", "error_code": "1002"}
        grey = cur_image.mean(axis=2)
        plate = find_plate(grey)
        if plate is None:
            return ng([], "no part in the picture")
        scratches = connected(line_contrast(contrast(grey[plate])) > LINE_SIGMAS)
        rects = [rectangle(pixels, plate) for pixels in scratches if len(pixels) >= MIN_PIXELS][:MAX_RECTS]
        if not rects:
            return {"status": "OK", "data": {"result_status": "OK", "defect_rects": []}}
        return ng(rects, f"{len(rects)} scratch" + ("es" if len(rects) > 1 else ""))


def ng(rects: list[dict[str, Any]], reason: str) -> dict[str, Any]:
    return {"status": "OK", "data": {"result_status": "NG", "defect_rects": rects, "ng_reason": reason}}


def find_plate(grey: np.ndarray) -> tuple[slice, slice] | None:
    """The rows and columns that are mostly bright, less a margin for the plate's edge."""
    bright = grey > PLATE_IS_BRIGHTER_THAN
    rows = np.flatnonzero(bright.mean(axis=1) > 0.3)
    columns = np.flatnonzero(bright.mean(axis=0) > 0.3)
    if rows.size < 50 or columns.size < 50:
        return None
    return slice(int(rows[0]) + 4, int(rows[-1]) - 3), slice(int(columns[0]) + 4, int(columns[-1]) - 3)


def contrast(metal: np.ndarray) -> np.ndarray:
    """How far each pixel is from its brush line and the light over the plate, in standard deviations of the noise."""
    rest = metal - np.median(metal, axis=1, keepdims=True)
    rest = rest - np.median(rest, axis=0, keepdims=True)
    sigma = 1.4826 * np.median(np.abs(rest))
    return rest / max(sigma, 1e-6)


def line_contrast(pixels: np.ndarray) -> np.ndarray:
    """For each pixel the strongest contrast of a short line through it, again in standard deviations."""
    half = LINE_LENGTH // 2
    padded = np.pad(np.clip(pixels, -6, 6), half)
    rows, columns = pixels.shape
    strongest = np.zeros_like(pixels)
    for angle in LINE_ANGLES:
        total = np.zeros_like(pixels)
        for step in range(-half, half + 1):
            down, right = half + round(step * np.sin(angle)), half + round(step * np.cos(angle))
            total += padded[down : down + rows, right : right + columns]
        np.maximum(strongest, np.abs(total) / np.sqrt(LINE_LENGTH), out=strongest)
    return strongest


def connected(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """Groups of (row, column) whose pixels touch, the largest first."""
    left = set(zip(*(axis.tolist() for axis in np.nonzero(mask)), strict=True))
    groups = []
    while left:
        group = [left.pop()]
        for row, column in group:  # grows while it is walked
            near = {(row + dy, column + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            group.extend(near)
        groups.append(group)
    return sorted(groups, key=len, reverse=True)


def rectangle(pixels: list[tuple[int, int]], plate: tuple[slice, slice]) -> dict[str, Any]:
    rows, columns = zip(*pixels, strict=True)
    return {
        "x": min(columns) + plate[1].start,
        "y": min(rows) + plate[0].start,
        "width": max(columns) - min(columns) + 1,
        "height": max(rows) - min(rows) + 1,
        "label": "scratch",
    }
