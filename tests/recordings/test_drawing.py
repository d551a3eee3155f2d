"""A picture as HTML: its very pixels, rectangles where the defects are, and nothing that anybody else wrote runs."""

from __future__ import annotations

import io
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from controller.images.formats import Picture
from controller.model.last_part import Defect
from controller.recordings.drawing import Group, View, document, figure, png

HOSTILE = '</text></svg><script>alert(1)</script><img src="https://elsewhere/x.png">'
PIXELS = np.random.default_rng(10).integers(0, 256, (48, 64, 3), np.uint8)


def picture(pixels: np.ndarray) -> Picture:
    return Picture(pixels.shape, memoryview(np.ascontiguousarray(pixels)).cast("B"))


def defect(x: float, y: float, label: str = "", score: float | None = None) -> Defect:
    return {"x": x, "y": y, "width": 10, "height": 5, "label": label, "score": score}


class Elements(HTMLParser):
    """The elements of a page, each with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def embedded(page: Elements) -> np.ndarray:
    """Return the pixels of the page's only picture."""
    (image,) = page.named("image")
    kind, _, text = str(image["href"]).partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(b64decode(text)), formats=["PNG"]) as shown:
        return np.asarray(shown)


@pytest.mark.parametrize(
    ("pixels", "order", "seen"),
    [
        (PIXELS, "RGB", PIXELS),
        (PIXELS, "BGR", PIXELS[..., ::-1]),
        (PIXELS[..., 0], "RGB", PIXELS[..., 0]),
        (PIXELS[..., :1], "BGR", PIXELS[..., 0]),
    ],
    ids=["RGB", "BGR", "grey", "grey with a channel"],
)
def test_a_picture_is_shown_without_loss_in_the_colours_that_it_has(
    pixels: np.ndarray, order: str, seen: np.ndarray
) -> None:
    page = Elements(figure(picture(pixels), [View("Image")], key="image", color_space=order))

    np.testing.assert_array_equal(embedded(page), seen)
    with Image.open(io.BytesIO(png(picture(pixels), order)), formats=["PNG"]) as file:
        np.testing.assert_array_equal(np.asarray(file), seen)


def test_rectangles_stand_in_the_pixels_of_the_picture_with_label_and_score() -> None:
    groups = [Group("1.0.0", [defect(3, 4, "scratch", 0.9312)]), Group("1.1.0", [defect(30, 20)], look=1)]
    page = Elements(figure(picture(PIXELS), [View("Both", groups)], key="image"))

    assert [each["viewbox"] for each in page.named("svg")] == ["0 0 64 48"]
    assert page.named("rect") == [
        {"x": "3", "y": "4", "width": "10", "height": "5"}, {"x": "30", "y": "20", "width": "10", "height": "5"},
    ]  # fmt: skip
    assert "scratch 0.931" in page.words
    assert "1.0.0: 1" in page.words
    assert len(page.named("text")) == 1  # a rectangle without a word has none


def test_side_by_side_the_pixels_stand_in_the_page_once() -> None:
    page = Elements(figure(picture(PIXELS), [View("1.0.0"), View("1.1.0")], key="p7"))

    assert [each["id"] for each in page.named("image")] == ["p7"]
    assert page.named("use") == [{"href": "#p7"}]
    assert len(page.named("svg")) == 2


def test_a_large_picture_is_reduced_and_the_page_says_so() -> None:
    drawn = figure(picture(PIXELS), [View("Image", [Group("defects", [defect(3, 4)])])], key="i", most_pixels=64 * 12)
    page = Elements(drawn)
    height, width, _ = embedded(page).shape

    assert width * height <= 64 * 12
    assert "Reduced from 64×48 to 32×24" in page.words
    assert page.named("rect")[0]["x"] == "3"  # still in the pixels of the original
    assert page.named("svg")[0]["viewbox"] == "0 0 64 48"


def test_what_others_wrote_is_text_only_and_nothing_is_fetched_or_run() -> None:
    groups = [Group(HOSTILE, [defect(1, 1, HOSTILE)])]
    page = Elements(document(HOSTILE, figure(picture(PIXELS), [View(HOSTILE, groups, HOSTILE)], key="image")))

    tags = {tag for tag, _ in page.found}
    assert tags.isdisjoint({"script", "img", "iframe", "link", "object"})
    assert page.words.count("alert(1)") >= 5
    addresses = [value for _, each in page.found for name, value in each.items() if name in {"href", "src", "style"}]
    assert all(str(value).startswith(("data:image/png;base64,", "#")) for value in addresses)
    assert any("default-src 'none'" in str(each.get("content")) for each in page.named("meta"))
