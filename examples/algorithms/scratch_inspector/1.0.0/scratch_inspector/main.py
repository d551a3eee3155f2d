"""Finds the worst scratch on a brushed-metal plate: pixels that stand out of their own brush line."""

from __future__ import annotations

from typing import Any

import numpy as np
from procvision_algorithm_sdk import BaseAlgorithm

PLATE_IS_BRIGHTER_THAN = 80
OUTLIER_SIGMAS = 6.0
MIN_PIXELS = 40
TILE = 16


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
        outliers = np.abs(contrast(grey[plate])) > OUTLIER_SIGMAS
        rectangle = densest_rectangle(outliers)
        if rectangle is None:
            return {"status": "OK", "data": {"result_status": "OK", "defect_rects": []}}
        x, y, width, height = rectangle
        rects = [
            {"x": x + plate[1].start, "y": y + plate[0].start, "width": width, "height": height, "label": "scratch"}
        ]
        return ng(rects, "1 scratch")


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


def densest_rectangle(outliers: np.ndarray) -> tuple[int, int, int, int] | None:
    """x, y, width and height around the outliers, in whole tiles; None where there are too few to be a scratch."""
    if outliers.sum() < MIN_PIXELS:
        return None
    ys, xs = np.nonzero(outliers)
    top, left = int(ys.min()) // TILE * TILE, int(xs.min()) // TILE * TILE
    bottom, right = (int(ys.max()) // TILE + 1) * TILE, (int(xs.max()) // TILE + 1) * TILE
    return left, top, min(right, outliers.shape[1]) - left, min(bottom, outliers.shape[0]) - top
