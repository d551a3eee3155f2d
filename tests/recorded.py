"""Recorded calls and their pictures, as tests need them."""

from __future__ import annotations

import random
from typing import Any

from controller.images.formats import Picture
from controller.model.package import PackageRef
from controller.model.recording import RecordedCall, RecordedPicture
from controller.model.timestamps import format_timestamp
from controller.recordings.source import Pictures

AT = 1_800_000_000.0
"""When the first of them ended."""


def picture(seed: int = 0, shape: tuple[int, ...] = (24, 32, 3)) -> Picture:
    """Return a picture with some structure and some noise, the same for a seed."""
    chance = random.Random(seed)  # noqa: S311
    size = 1
    for side in shape:
        size *= side
    pixels = bytes((index // 7 + chance.randrange(6)) % 256 for index in range(size))
    return Picture(shape, memoryview(pixels))


def recorded(number: int = 0, pid: str = "A01", guide: Picture | None = None, **other: Any) -> RecordedCall:
    """Return a call that ended `number` seconds after the first; with a guide of its own where one is given."""
    at = AT + number
    values: dict[str, Any] = {
        "id": f"{20270115080000000 + number * 1000:017d}-{number:010x}", "pid": pid, "deployment": "screw-check",
        "package": PackageRef("screw-check", "1.0.0"), "digest": f"sha256:{'0' * 64}", "request_id": f"r{number}",
        "at": format_timestamp(at), "epoch": at, "verdict": "NG", "kinds": ("NG",),
        "image": RecordedPicture((24, 32, 3)), "message": "scratch",
        "data": {"result_status": "NG", "defect_rects": [{"x": 1, "y": 2, "width": 3, "height": 4}]},
        "latency_ms": 12.5, "arguments": {"step_index": 1},
        "guide": None if guide is None else RecordedPicture(guide.shape),
    }  # fmt: skip
    return RecordedCall(**(values | other))


def pictures(number: int = 0, guide: Picture | None = None) -> Pictures:
    """Return the pictures of such a call."""
    return Pictures(picture(number), guide)
