"""Strangers' words in a real browser: an algorithm, a zip, a tree, reasons and log lines that want to be markup.

And what others do while somebody looks: at a PID, and at a log.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from examples.packing import Algorithm, build_package
from tests.browser.site import DARK, STEPS, Site
from tests.browser.visitor import Visitors
from tests.system import requires
from tests.waiting import eventually

pytestmark = [pytest.mark.real, requires("chromium")]
IMAGE, SCRIPT = "<img src=x onerror=alert(1)>", '"><script>alert(2)</script>'
HOSTILE = f"{IMAGE} {SCRIPT}"
EVENTS = "\r\revent: beat\rdata: {}\r\rretry: 86400000\r\r"
"""What ends a line, and begins another field, where somebody writes an event of a stream without a thought."""
LABEL = "<img src=x onerror=a()>"
LINES = 120
EVIL = Algorithm(
    top=f"""
import json, sys
for number in range({LINES}):
    sys.stderr.write(f"line {{number}} {IMAGE}\\n")
sys.stderr.flush()
""",
    body=f"""
print({HOSTILE!r}, file=sys.stderr)
print(json.dumps({{"level": {SCRIPT!r}, "message": {HOSTILE!r}, {IMAGE!r}: {HOSTILE!r}}}), file=sys.stderr, flush=True)
rectangle = {{"x": 60, "y": 90, "width": 120, "height": 190, "label": {LABEL!r}}}
found = {{"result_status": "NG", "ng_reason": {HOSTILE + EVENTS!r}, "defect_rects": [rectangle]}}
return {{"status": "OK", "data": found}}
""",
)
BECAME_MARKUP = """() => [...document.querySelectorAll('[onerror], [onload], img[src="x"], body script')]
    .map((each) => each.outerHTML)"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a station in which everybody who may say something says what wants to be markup."""
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        for version in ("1.0.0", "1.1.0"):
            build_package(site.station.zips, name="evil", version=version, source=EVIL)
        (site.station.zips / f"{IMAGE}-1.0.0.zip").write_bytes(b"no zip")
        site.station.desire("line", "evil", "1.0.0", ["A01", "A04"])
        site.start()
        site.until_active("1.0.0", ["A01", "A04"])
        site.station.desire("line", "evil", "1.1.0", ["A01", "A04"], **STEPS)
        site.daemon.until_active("A04", "1.1.0")
        site.call("A04", DARK)
        site.station.pvctl("--as", IMAGE, "abort", "line", "--reason", HOSTILE)
        site.daemon.until_active("A04", "1.0.0")
        site.station.pvctl("rollback", "A04", "--to", "1.1.0", "--reason", HOSTILE)
        site.daemon.until_active("A04", "1.1.0")
        yield site
    finally:
        site.end()


def stands_literally(page: Page, text: str) -> None:
    """Check that a text is there to be read, and that none of it became markup."""
    if text:
        expect(page.get_by_text(text).first).to_be_visible()
    assert page.evaluate(BECAME_MARKUP) == []


def test_what_strangers_say_is_text_on_every_view(site: Site, visitors: Visitors) -> None:
    visitors.expect("status of 404")  # the page of that name
    page = visitors.open()
    stands_literally(page, "in quarantine since")
    site.call("A01", DARK)  # told by the feed, which puts HTML into a page that is there already
    expect(page.locator("#pid-A01 .picture svg text")).to_have_text(LABEL)
    expect(page.locator("#pid-A01 .said")).to_have_text(HOSTILE + EVENTS)
    stands_literally(page, HOSTILE)

    for path, text in {
        "/page/packages": HOSTILE,
        "/page/audit": HOSTILE,
        "/page/logs?subject=line": HOSTILE,
        "/page/logs": IMAGE,
        "/page/pids/A04": HOSTILE,
        "/page/pids/A01": HOSTILE,
        f"/page/{IMAGE}": IMAGE,
        f"/page/audit?object={IMAGE}": "",
    }.items():
        page.goto(path)
        stands_literally(page, text)
    page.goto("/page/audit")
    expect(page.get_by_role("row").filter(has_text=f"({IMAGE})")).to_have_count(1)  # for whom; begun and ended

    page.goto("/page/pids/A04")
    page.get_by_role("button", name="Resume").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill(HOSTILE)
    dialog.get_by_role("button", name="Resume").click()
    expect(dialog).to_contain_text("The station says")
    assert page.evaluate(BECAME_MARKUP) == []

    (site.station.desired / "broken.yaml").write_text(f"kind: {HOSTILE!r}\n", encoding="utf-8")
    eventually(lambda: site.station.json("revisions")["refused"], "a refused revision")
    page.goto("/page/revisions")
    stands_literally(page, IMAGE)
    (site.station.desired / "broken.yaml").unlink()


def test_a_pids_page_follows_what_others_do_and_tells_of_a_resume(site: Site, visitors: Visitors) -> None:
    site.station.desire("line", "evil", "1.0.0", ["A01", "A04"], **STEPS)
    site.daemon.until(lambda status: status["converged"], "convergence")
    page = visitors.open("viewer", "/page/pids/A01")
    expect(page.locator("#about-A01")).to_contain_text("Deployment line")
    page.evaluate("window.notReloaded = true")

    site.station.pvctl("activate", "evil", "1.1.0", "--pid", "A01", "--hold", "--reason", "a trial")
    expect(page.locator("#about-A01 .refused")).to_contain_text("a trial")
    history = page.get_by_role("region", name="History")
    expect(history.get_by_role("row").nth(1)).to_contain_text("evil 1.1.0")

    site.station.pvctl("--as", "mia", "resume", "A01")
    expect(page.locator("#about-A01 .refused")).to_have_count(0)
    expect(history.get_by_role("row").nth(1)).to_contain_text("no longer held")
    acts = page.get_by_role("region", name="Acts")
    expect(acts.get_by_role("row").filter(has_text="resume")).to_contain_text("(mia)")
    assert page.evaluate("window.notReloaded") is True


def test_a_log_begins_at_its_newest_line_and_stays_there_while_it_grows(site: Site, visitors: Visitors) -> None:
    page = visitors.open(path="/page/logs?subject=A01&follow=yes")
    newest = page.locator(".log").last.locator("li").last
    expect(newest).to_be_in_viewport()
    before = page.locator(".log").last.locator("li").count()
    assert before > LINES

    site.call("A01", DARK)

    expect(page.locator(".log").last.locator("li").nth(before)).to_be_in_viewport()
    expect(newest).to_be_in_viewport()
    expect(newest.locator("b")).to_have_text(SCRIPT)
