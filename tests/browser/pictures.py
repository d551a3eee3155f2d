"""Makes the pictures of docs/pictures/: `make pictures`, or `python -m tests.browser.pictures [FOLDER]`.

A real station on the examples' algorithms, in a state that tells something: a canary of 1.2.0, which fails one call in
five, is more than half of the way to its rollback, and a part on A03 is NG. Calls are made one by one and counted,
so that each run shows the same verdicts and the same evidence; times and latencies are what they are.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from controller.client import Client
from examples.demo.page import pack_as
from examples.packing import ALGORITHMS
from examples.parts import PARTS, draw_part
from tests.browser.site import Site
from tests.browser.visitor import Visitors
from tests.system import program

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "pictures"
PIDS = tuple(f"A{number:02}" for number in range(1, 9))
CANARY, SPOILT = "A08", "A03"
BEFORE, DURING = 40, 37
"""Rounds of calls before the canary and with it."""
ROUND = 1.0
"""Seconds from one round to the next, so that there is something to see over time."""
SCREENS: dict[str, dict[str, Any]] = {
    "page-1280x800": {"viewport": {"width": 1280, "height": 800}},
    "page-tablet": {"viewport": {"width": 1024, "height": 768}, "has_touch": True, "color_scheme": "dark"},
    "page-4k": {"viewport": {"width": 3840, "height": 2160}},
}
SHOWN = """() => [...document.images].filter((each) => each.getBoundingClientRect().top < innerHeight)
    .every((each) => each.complete && each.naturalWidth > 0)"""
"""Whether the pictures on the screen are there; others are loaded when somebody scrolls to them."""
SPEC: dict[str, Any] = {
    "strategy": {
        "canary": {
            "order": [CANARY],
            "critical": ["A01"],
            "steps": [
                {"setWeight": 12}, {"pause": {"duration": "15m"}},
                {"setWeight": 50}, {"pause": {}},
            ],
            "analysis": {"minSamples": 60},
        },
        "minHealthyTime": "5m",
    },
    "health": {"errorRate": {"max": "5%"}, "latencyP95": {"max": "800ms"}},
}  # fmt: skip


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        site = Site(Path(work))
        try:
            begin(site)
            browser = playwright.chromium.launch(executable_path=program("chromium"))
            Visitors(browser, site).open("viewer")  # pictures of parts are kept while somebody looks
            bring_about(site)
            for name, screen in SCREENS.items():
                take(browser, site, folder / f"{name}.webp", screen)
        finally:
            site.end()


def begin(site: Site) -> None:
    """Start the station on its stable versions."""
    inspector, zips = ALGORITHMS / "scratch_inspector", site.station.zips
    for version in ("1.1.0", "1.2.0"):
        pack_as(version, inspector / version, zips, supported_pids=PIDS)
    pack_as("1.0.0", ALGORITHMS / "legacy_presence" / "1.0.0", zips)
    site.station.desire("part-presence", "legacy-presence", "1.0.0", ["B01"])
    site.station.desire("surface-scratch", "scratch-inspector", "1.1.0", PIDS, **SPEC)
    site.start()
    for pid in PIDS:
        site.daemon.until_active(pid, "1.1.0")
    site.daemon.until_active("B01", "1.0.0")


def bring_about(site: Site) -> None:
    """Bring the station into the state that the pictures show."""
    with Client(store=site.station.store) as client:
        for number in range(BEFORE):
            call_each(client, (*PIDS, "B01"), number)
        site.station.desire("surface-scratch", "scratch-inspector", "1.2.0", PIDS, **SPEC)
        site.daemon.until_active(CANARY, "1.2.0")
        for number in range(DURING):
            call_each(client, (*PIDS, "B01"), number)
    show_parts(site)
    site.daemon.until(lambda status: any(each.get("evidence") for each in status["deployments"]), "the evidence")


def show_parts(site: Site) -> None:
    """Send a last part to each PID, slowly enough for each of them to get its picture."""
    for at, pid in enumerate((*PIDS, "B01")):
        time.sleep(ROUND)
        site.call(pid, draw_part(PARTS["scratched-twice" if pid == SPOILT else "good"], at))


def call_each(client: Client, pids: Sequence[str], number: int) -> None:
    """Send one detection to each PID; now and then a part is scratched."""
    began = time.monotonic()
    for at, pid in enumerate(pids):
        scratched = (number + 3 * at) % 17 == 0 and number + 1 < DURING
        client.execute(pid, draw_part(PARTS["scratched" if scratched else "good"], number + at))
    time.sleep(max(0.0, ROUND - (time.monotonic() - began)))


def take(browser: Browser, site: Site, path: Path, screen: dict[str, Any]) -> None:
    """Write what an operator sees on one kind of screen."""
    visitors = Visitors(browser, site)
    page = visitors.open("operator", **screen)
    settle(page)
    picture = path.with_suffix(".png")
    page.screenshot(path=picture)
    Image.open(picture).save(path, quality=82, method=6)
    picture.unlink()
    visitors.close()
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB, {visitors.complaints() or 'no complaints'}")


def settle(page: Page) -> None:
    """Wait until pictures and lines are drawn."""
    page.wait_for_selector("#pid-A01 .picture img")
    page.wait_for_function(SHOWN)
    page.wait_for_selector("figure canvas")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
