"""A version that is bad on purpose, to show how a station takes one back: every fifth call is answered with ERROR.

It passes everything that can be checked before traffic: it installs, imports, starts, and most of its answers are good.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from procvision_algorithm_sdk import BaseAlgorithm

FAILS_EVERY = 5
PLATE_IS_BRIGHTER_THAN = 80
OUTLIER_SIGMAS = 6.0
MOST_OUTLIERS = 40


class ScratchInspectorAlgorithm(BaseAlgorithm):
    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    def execute(
        self, step_index: int, step_desc: str, cur_image: Any, guide_image: Any, guide_info: Any
    ) -> dict[str, Any]:
        if cur_image is None:
            return {"status": "ERROR", "message": "no image was given", "error_code": "1002"}
        self._calls += 1
        if self._calls % FAILS_EVERY == 0:
            message = f"light model diverged (call {self._calls})"
            print(message, file=sys.stderr, flush=True)
            return {"status": "ERROR", "message": message, "error_code": "1009"}
        outliers = count_outliers(cur_image.mean(axis=2))
        data: dict[str, Any] = {"result_status": "OK", "defect_rects": []}
        if outliers > MOST_OUTLIERS:
            data |= {"result_status": "NG", "ng_reason": f"{outliers} pixels stand out"}
        return {"status": "OK", "data": data}


def count_outliers(grey: np.ndarray) -> int:
    """How many pixels of the plate stand out of their lines."""
    rest = (grey - np.median(grey, axis=1, keepdims=True))[grey > PLATE_IS_BRIGHTER_THAN]
    return int((np.abs(rest) > OUTLIER_SIGMAS * rest.std()).sum()) if rest.size else 0
