"""Recorded parts whose pictures say what is on them, and packages that find it, or do not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from controller.images.formats import Picture
from controller.model.package import PackageRef
from controller.model.recording import RecordedCall, RecordedPicture, RecordingFilter
from controller.recordings.export import export
from controller.recordings.keeping import keeper
from controller.recordings.source import Pictures
from controller.recordings.stored import StoreRecordings
from controller.store.layout import StoreLayout
from examples.packing.algorithms import Algorithm
from examples.packing.building import build_package
from examples.packing.tools import Generation
from tests.recorded import recorded

SHAPE = (24, 32, 3)
OLD, NEW = PackageRef("inspector", "1.0.0"), PackageRef("inspector", "2.0.0")
SCRATCH = {"x": 4.0, "y": 6.0, "width": 10.0, "height": 3.0, "label": "scratch", "score": None}
EVERY_THIRD = 3
"""Of the parts, each third is scratched: 3, 6, 9 …"""

LOOK = """
number, scratched = int(image[0, 0, 0]), bool(image[0, 0, 1])
rects = [{"x": 4, "y": 6, "width": 10, "height": 3, "label": "scratch"}]
bad = {"status": "OK", "data": {"result_status": "NG", "ng_reason": "scratch", "defect_rects": rects}}
"""
SEES = Algorithm(body=f"{LOOK}\nreturn bad if scratched else ok()")
MISSES_ONE_IN_TEN = Algorithm(body=f"{LOOK}\nreturn bad if scratched and number % 10 else ok()")
"""Lets each tenth part pass, scratched or not: of the scratched ones 30, 60, 90 …"""


def part(number: int) -> Picture:
    """Return the picture of a part: its number in red, whether it is scratched in green, both in the first pixel."""
    pixels = bytearray(SHAPE[0] * SHAPE[1] * SHAPE[2])
    pixels[0], pixels[1] = number, 255 if is_scratched(number) else 0
    return Picture(SHAPE, memoryview(bytes(pixels)))


def is_scratched(number: int) -> bool:
    return number % EVERY_THIRD == 0


def call(number: int, **other: object) -> RecordedCall:
    """Return the recorded call of a part, as the old version answered it."""
    scratched = is_scratched(number)
    data = {"result_status": "NG" if scratched else "OK", "defect_rects": [SCRATCH] if scratched else []}
    values = {"package": OLD, "verdict": data["result_status"], "data": data, "guide_is_image": True}
    return replace(recorded(number), **{"image": RecordedPicture(SHAPE), **values, **other})


def record(store: Path, numbers: Iterable[int], **other: object) -> StoreRecordings:
    """Have calls of those parts recorded in a store; return them as a source."""
    layout = StoreLayout.at(store)
    with keeper(layout) as found:
        for number in numbers:
            found.add(call(number, **other), Pictures(part(number), None))
    return StoreRecordings(layout)


def export_file(folder: Path, numbers: Iterable[int], **other: object) -> Path:
    """Return a file with the recorded calls of those parts."""
    path = folder / "recordings.zip"
    with path.open("wb") as out:
        export(record(folder / "recorded", numbers, **other), RecordingFilter(), out)
    return path


def inspector(
    folder: Path, version: str, algorithm: Algorithm | str, generation: Generation = "0.3", **manifest: object
) -> Path:
    """Return the zip of a version, made with the real packager."""
    pids = ("A01", "A02")
    return build_package(
        folder, name="inspector", version=version, source=algorithm, generation=generation, supported_pids=pids,
        manifest=manifest,
    )  # fmt: skip
