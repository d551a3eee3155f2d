"""Draws what a station's camera sees: brushed-metal plates on a dark conveyor, good and scratched.

The same arguments give the same picture, byte for byte. Run it to have a look:
`python -m examples.parts FOLDER` writes one PNG for each entry of `PARTS`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 480, 640
PLATE = (slice(60, 420), slice(80, 560))
CONVEYOR_LEVEL, PLATE_LEVEL = 34.0, 150.0

# Each scratch: start and end (x, y), and how much darker than the metal it is.
DEEP = ((180, 130), (330, 190), 55.0)
FAINT = ((380, 360), (500, 270), 13.0)

PARTS = {
    "good": (),
    "scratched": (DEEP,),
    "faint": (FAINT,),
    "scratched-twice": (DEEP, FAINT),
    "empty": None,
}


def draw_part(scratches: tuple[tuple[tuple[int, int], tuple[int, int], float], ...] | None, seed: int) -> np.ndarray:
    """Return an RGB picture (H x W x 3, uint8) of a plate with these scratches; None draws the conveyor alone."""
    random = np.random.default_rng(seed)
    view = np.full((HEIGHT, WIDTH), CONVEYOR_LEVEL) + random.normal(0, 3, (HEIGHT, WIDTH))
    if scratches is not None:
        plate = brushed_metal(random)
        for start, end, depth in scratches:
            scratch(plate, start, end, depth)
        view[PLATE] = plate[PLATE]
    grey = np.clip(view, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def brushed_metal(random: np.random.Generator) -> np.ndarray:
    """Lines along x of one brightness each, lit brighter on the left, with the noise of a camera."""
    lines = random.normal(0, 9, (HEIGHT, 1))
    light = np.linspace(14, -14, WIDTH)[None, :]
    return PLATE_LEVEL + lines + light + random.normal(0, 4, (HEIGHT, WIDTH))


def scratch(metal: np.ndarray, start: tuple[int, int], end: tuple[int, int], depth: float) -> None:
    """Darken `metal` in place along a line three pixels wide."""
    steps = 2 * max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    xs = np.linspace(start[0], end[0], steps).round().astype(int)
    ys = np.linspace(start[1], end[1], steps).round().astype(int)
    mask = np.zeros(metal.shape, dtype=bool)
    for offset in (-1, 0, 1):
        mask[ys + offset, xs] = True
    metal[mask] -= depth


def write_parts(folder: Path) -> dict[str, Path]:
    """Write one PNG for each of `PARTS` and return its path by name."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.png" for name in PARTS}
    for seed, (name, scratches) in enumerate(PARTS.items()):
        Image.fromarray(draw_part(scratches, seed)).save(paths[name])
    return paths


if __name__ == "__main__":
    for written in write_parts(Path(sys.argv[1] if len(sys.argv) > 1 else "parts")).values():
        print(written)
