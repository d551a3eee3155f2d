"""Pictures with what was found on them, as HTML: for a page about a recorded call, and for one about a replay.

A page is one file: pictures are lossless and stand in it, nothing is fetched from anywhere, and nothing of it is run.
What an algorithm or a caller wrote is escaped.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple, cast

from controller.model.last_part import Defect

if TYPE_CHECKING:
    from jinja2 import Environment
    from PIL.Image import Image

    from controller.images.formats import Picture

MOST_PIXELS = 8_000_000
"""Pixels of a picture on a page, at most: what has more is reduced, and the page says so."""
_LETTERS_ACROSS = 50
_SMALLEST_LETTER = 6
_COMPRESSION = 4


class Group(NamedTuple):
    """Defects that are drawn alike. `legend` says whose they are; `look` 0 is red and drawn through, 1 blue, dashed."""

    legend: str
    defects: Sequence[Defect]
    look: int = 0


class View(NamedTuple):
    """One drawing of a picture: the groups of defects on it, and what stands above and below it."""

    title: str
    groups: Sequence[Group] = ()
    caption: str = ""


def figure(
    picture: Picture, views: Sequence[View], *, key: str, color_space: str = "RGB", most_pixels: int = MOST_PIXELS
) -> str:
    """Return a picture as HTML, drawn once for each view, side by side; its pixels stand in it only once.

    `key` is a word that no other figure of the page has; `color_space` the order of the picture's channels. Blocks: a
    picture of 8 Mpx takes a second.
    """
    shown = image_of(picture, color_space)
    width, height = shown.size
    content, size = _png(_reduced(shown, most_pixels))
    return rendered(
        "figure.html",
        href=f"data:image/png;base64,{b64encode(content).decode()}",
        key=key,
        width=width,
        height=height,
        reduced=None if size == (width, height) else size,
        letter=max(_SMALLEST_LETTER, round(max(width, height) / _LETTERS_ACROSS, 1)),
        views=views,
    )


def document(title: str, body: str) -> str:
    """Return a whole page around HTML that `figure` or `rendered` returned; light or dark as the reader's system is."""
    return rendered("document.html", title=title, body=body)


def rendered(template: str, **values: object) -> str:
    """Return a template of this folder with values in it; what it does not call safe itself is escaped."""
    return _environment().get_template(template).render(values)


def png(picture: Picture, color_space: str = "RGB", *, most_pixels: int | None = None) -> bytes:
    """Return a picture as a PNG file: lossless, of its whole size unless it is to have fewer pixels. Blocks."""
    image = image_of(picture, color_space)
    return _png(image if most_pixels is None else _reduced(image, most_pixels))[0]


def image_of(picture: Picture, color_space: str = "RGB") -> Image:
    """Return a picture for Pillow, in RGB or grey."""
    from PIL import Image  # noqa: PLC0415 - 8 MB that only who looks at a picture needs

    height, width = picture.shape[:2]
    grey = len(picture.shape) == 2 or picture.shape[2] == 1
    order = "L" if grey else "BGR" if color_space == "BGR" else "RGB"
    return Image.frombuffer(
        "L" if grey else "RGB", (width, height), cast("bytearray", picture.pixels), "raw", order, 0, 1
    )


def _reduced(image: Image, most_pixels: int) -> Image:
    pixels = image.width * image.height
    if pixels <= most_pixels:
        return image
    from PIL.Image import Resampling  # noqa: PLC0415

    shrunk = sqrt(most_pixels / pixels)
    return image.resize(
        (max(1, int(image.width * shrunk)), max(1, int(image.height * shrunk))), Resampling.BOX, reducing_gap=2.0
    )


def _png(image: Image) -> tuple[bytes, tuple[int, int]]:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=_COMPRESSION)
    return file.getvalue(), image.size


def label_of(defect: Mapping[str, object]) -> str:
    """Return what stands at a rectangle: its label and its score, as far as they are said."""
    score = defect.get("score")
    parts = (str(defect.get("label") or ""), f"{score:.3g}" if isinstance(score, (int, float)) else "")
    return " ".join(each for each in parts if each)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - 5 MB that no call needs

    made = Environment(
        loader=PackageLoader("controller.recordings"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["label"] = label_of
    return made
