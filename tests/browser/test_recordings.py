"""The page of a recorded call, opened as the file that it is: rectangles stand where defects are, nothing is run."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from controller.images.formats import Picture
from controller.model.recording import RecordedPicture
from controller.recordings.drawing import MOST_PIXELS
from controller.recordings.showing import page_of
from controller.recordings.source import Pictures
from tests.browser.test_hostile import HOSTILE
from tests.recorded import recorded
from tests.system import requires

pytestmark = [pytest.mark.real, requires("chromium")]

LEFT, TOP, WIDTH, HEIGHT = 400, 150, 120, 60
SIZES = {"small": (480, 640), "large": (3000, 4000)}


def a_page(folder: Path, size: tuple[int, int], scale: int = 1) -> Path:
    """Write the page of a dark picture with one bright block, which is its defect."""
    pixels = np.full((*size, 3), 40, np.uint8)
    left, top, width, height = (each * scale for each in (LEFT, TOP, WIDTH, HEIGHT))
    pixels[top : top + height, left : left + width] = 230
    defect = {"x": left, "y": top, "width": width, "height": height, "label": HOSTILE, "score": 0.97}
    data = {"result_status": "NG", "ng_reason": HOSTILE, "defect_rects": [defect]}
    call = recorded(image=RecordedPicture(pixels.shape), message=HOSTILE, data=data, arguments={HOSTILE: [HOSTILE]})
    path = folder / "part.html"
    path.write_text(page_of(call, Pictures(Picture(pixels.shape, memoryview(pixels).cast("B")), None)))
    return path


def opened(chromium: Browser, path: Path, scheme: str) -> tuple[Page, list[str]]:
    """Return the page in a window, and whatever it asks for or the browser complains about."""
    page = chromium.new_page(viewport={"width": 1000, "height": 1600}, color_scheme=scheme)  # type: ignore[arg-type]
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", lambda dialog: heard.append(dialog.message))
    page.on("request", lambda request: heard.append(request.url) if not request.url.startswith("data:") else None)
    page.goto(path.as_uri())
    return page, heard


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("size", "scale"), [(SIZES["small"], 1), (SIZES["large"], 5)], ids=["small", "large"])
def test_a_rectangle_stands_around_what_it_is_about(
    chromium: Browser, tmp_path: Path, size: tuple[int, int], scale: int, scheme: str
) -> None:
    path = a_page(tmp_path, size, scale)
    page, heard = opened(chromium, path, scheme)
    box, image = page.locator("svg rect").bounding_box(), page.locator("svg image").bounding_box()
    assert box is not None
    assert image is not None
    seen = np.asarray(Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("L")).astype(int)
    ratio = image["width"] / size[1]

    assert box["x"] == pytest.approx(image["x"] + LEFT * scale * ratio, abs=2)
    assert box["y"] == pytest.approx(image["y"] + TOP * scale * ratio, abs=2)
    assert box["width"] == pytest.approx(WIDTH * scale * ratio, abs=4)
    assert box["height"] == pytest.approx(HEIGHT * scale * ratio, abs=4)
    x, y, width, height = (round(box[each]) for each in ("x", "y", "width", "height"))
    assert (seen[y + 5 : y + height - 5, x + 5 : x + width - 5] > 200).all()
    assert (seen[y + 5 : y + height - 5, x - 12 : x - 5] < 60).all()
    assert ("Reduced from" in page.content()) == (size[0] * size[1] > MOST_PIXELS)
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (light == "rgb(238, 240, 238)") == (scheme == "light")
    assert heard == [path.as_uri()]
    assert page.locator("script, iframe, object, embed, link").count() == 0
    page.close()
