"""What a picture costs that has to be converted: each way of `controller/images/formats`, beside a plain copy of it.

Processor time of one thread, of pictures of 1920×1200; and, beside our interpolation of mosaics, OpenCV's, which a
station does not have. Run as `python -m benchmarks.conversion`.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from controller.client.pixel_formats import pixel_format
from controller.images.formats import Reading, load
from controller.model.input import PictureInput

_SIZE = (1200, 1920)
_ROUNDS = 15
TAKES_ALL = PictureInput(depth="shift", alpha="drop", exif="apply", cmyk="convert")


def main() -> None:
    """Print a table."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(1)
    grey, wide = (rng.integers(0, 2**bits, _SIZE).astype(kind) for bits, kind in ((8, np.uint8), (12, np.uint16)))
    colours = rng.integers(0, 256, (*_SIZE, 4)).astype(np.uint8)
    scale = PictureInput(depth="scale")
    scene = cv2.GaussianBlur(colours, (0, 0), 5)
    rows: dict[str, Callable[[], object]] = {
        "a copy of H×W×3": lambda: bytearray(colours[..., :3].tobytes()),
        "uint16, shift": _array(wide, "Mono12", TAKES_ALL),
        "uint16, scale": _array(wide, "Mono12", scale),
        "Mono12p, shift": _raw(grey, "Mono12p"),
        "Mono12Packed, shift": _raw(grey, "Mono12Packed"),
        "RGBa8, drop": _array(colours, "RGBa8", TAKES_ALL),
        "BayerRG8": _array(grey, "BayerRG8", TAKES_ALL),
        "BayerRG12, shift": _array(wide, "BayerRG12", TAKES_ALL),
        "(OpenCV, bilinear)": lambda: cv2.demosaicing(grey, cv2.COLOR_BayerRGGB2RGB),
        "PNG 8 bit RGB": _file(cv2.imencode(".png", scene[..., :3])[1].tobytes()),
        "PNG 16 bit RGB, shift": _file(cv2.imencode(".png", scene[..., :3].astype(np.uint16) * 257)[1].tobytes()),
        "(OpenCV, the same file)": _opencv(cv2.imencode(".png", scene[..., :3].astype(np.uint16) * 257)[1]),
        "TIFF 16 bit grey, LZW, shift": _file(
            cv2.imencode(".tiff", scene[..., 0].astype(np.uint16) * 257)[1].tobytes()
        ),
        "JPEG": _file(_jpeg(scene, 1)),
        "JPEG, turned": _file(_jpeg(scene, 6)),
    }
    print(f"| {_SIZE[1]}×{_SIZE[0]} | ms |\n|---|---|")
    for name, work in rows.items():
        print(f"| {name} | {_median(work):.1f} |")


def _array(array: np.ndarray, name: str, wanted: PictureInput) -> Callable[[], object]:
    return lambda: load(array, reading=Reading(wanted, pixel_format(name)))


def _raw(grey: np.ndarray, name: str) -> Callable[[], object]:
    data = np.resize(grey, grey.size * 3 // 2).tobytes()
    return lambda: load(data, reading=Reading(TAKES_ALL, pixel_format(name), (_SIZE[1], _SIZE[0])))


def _file(data: bytes) -> Callable[[], object]:
    return lambda: load(data, reading=Reading(TAKES_ALL))


def _opencv(data: np.ndarray) -> Callable[[], object]:
    return lambda: cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


def _jpeg(scene: np.ndarray, orientation: int) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[274] = orientation
    Image.fromarray(scene[..., :3]).save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()


def _median(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return sorted(times)[_ROUNDS // 2] * 1000


if __name__ == "__main__":
    main()
