"""Who may do what on the page, in which words and colours, and what it never shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from controller.recordings.keeping import keeper
from controller.store.layout import StoreLayout
from tests.browser.site import BRIGHT, DARK, DEFECT, HEIGHT, PIDS, WIDTH, Site
from tests.browser.visitor import Visitors, log_in
from tests.recorded import pictures, recorded
from tests.system import requires

pytestmark = [pytest.mark.real, requires("chromium")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a station whose A01 judged its last part NG, and the others OK."""
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.pack("1.0.0")
        site.desire("1.0.0")
        site.start()
        site.until_active("1.0.0")
        site.call("A01", DARK)
        for pid in PIDS[1:]:
            site.call(pid, BRIGHT)
        yield site
    finally:
        site.end()


def test_a_wrong_token_and_one_that_was_revoked_are_refused_in_plain_words(site: Site, visitors: Visitors) -> None:
    visitors.expect("status of 40[13]")
    page = visitors.open(None)
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    expect(page.locator("[id^=pid-]")).to_have_count(0)

    revoked = site.new_token("kiosk", "operator")
    site.station.pvctl("token", "revoke", "kiosk")
    for wrong in ("pvt-nothing", revoked):
        log_in(page, wrong)
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.locator("[id^=pid-]")).to_have_count(0)


def test_a_session_ends_with_its_token(site: Site, visitors: Visitors) -> None:
    visitors.expect(r"status of 40[13]|ERR_INCOMPLETE_CHUNKED_ENCODING|\[object Event\]")  # its events end

    page = visitors.open(None)
    log_in(page, site.new_token("visitor", "viewer"))
    expect(page.locator("#pid-A01")).to_be_visible()

    site.station.pvctl("token", "revoke", "visitor")

    page.reload()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_a_viewer_sees_everything_and_is_refused_every_act(site: Site, visitors: Visitors) -> None:
    visitors.expect("status of 403")
    page = visitors.open("viewer")
    expect(page.locator("#pid-A01 .verdict")).to_have_text("NG")
    for path in ("/", "/page/pids/A01"):
        page.goto(path)
        acts = page.locator("#main .acts")
        expect(acts.first).to_contain_text("Acts need the role operator")
        expect(acts.locator("button:enabled")).to_have_count(0)
    asked = page.evaluate("async () => (await fetch('/page/acts/rollback?subject=A01&kind=pid')).status")
    acted = page.evaluate("""async () => (await fetch('/page/acts/rollback', {
        method: 'POST',
        headers: {[document.body.dataset.csrfHeader]: document.body.dataset.csrf},
        body: new URLSearchParams({subject: 'A01', kind: 'pid', reason: 'mischief'}),
    })).text()""")
    assert asked == 403
    assert "operator" in acted
    assert site.audited("rollback") == []

    operator = visitors.open("operator", "/page/pids/A01")
    expect(operator.get_by_role("button", name="Roll back")).to_be_enabled()


def test_defects_are_drawn_over_the_picture_where_they_are(site: Site, visitors: Visitors) -> None:
    page = visitors.open()  # pictures are kept while somebody looks
    expect(page.locator("#pid-A02")).to_be_visible()
    page.route("**/pids/A01/picture?*", lambda route: route.fulfill(body=""), times=1)  # asked for again
    site.call("A01", DARK)
    expect(page.locator("#pid-A01 .picture")).to_be_visible()
    site.call("A02", BRIGHT)
    picture, defect = page.locator("#pid-A01 .picture img"), page.locator("#pid-A01 .picture svg rect")
    expect(defect).to_be_visible()
    page.wait_for_function("() => [...document.images].every((each) => each.complete && each.naturalWidth > 0)")

    whole, part = picture.bounding_box(), defect.bounding_box()
    assert whole is not None
    assert part is not None
    seen = (
        (part["x"] - whole["x"]) / whole["width"], (part["y"] - whole["y"]) / whole["height"],
        part["width"] / whole["width"], part["height"] / whole["height"],
    )  # fmt: skip
    meant = (DEFECT["x"] / WIDTH, DEFECT["y"] / HEIGHT, DEFECT["width"] / WIDTH, DEFECT["height"] / HEIGHT)
    assert seen == pytest.approx(meant, abs=0.02)
    expect(page.locator("#pid-A02 .picture")).to_be_visible()
    expect(page.locator("#pid-A02 .picture svg")).to_have_count(0)

    # An element that is given another source shows the former picture until that has come: with a verdict on another.
    picture.evaluate("(each) => { each.former = true }")
    site.call("A01", BRIGHT)
    expect(page.locator("#pid-A01 .verdict")).to_have_text("OK")
    assert not page.locator("#pid-A01 img").evaluate_all("(all) => all.some((each) => each.former)")


@pytest.mark.parametrize(("locale", "language", "word"), [("de-DE", "de", "Pakete"), ("zh-CN", "zh", "软件包")])
def test_it_speaks_the_browsers_language(visitors: Visitors, locale: str, language: str, word: str) -> None:
    page = visitors.open(locale=locale)

    expect(page.locator("html")).to_have_attribute("lang", re.compile(f"^{language}"))
    expect(page.get_by_role("navigation").first).to_contain_text(word)


def test_it_is_dark_where_that_is_wished_for(visitors: Visitors) -> None:
    def brightness(scheme: str) -> float:
        page = visitors.open(color_scheme=scheme)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        red, green, blue = (int(each) for each in re.findall(r"\d+", colour)[:3])
        return (red + green + blue) / 765

    assert brightness("light") > 0.8
    assert brightness("dark") < 0.2


def test_pictures_are_hidden_where_the_policy_says_so(site: Site, visitors: Visitors) -> None:
    visitors.expect("status of 404.*picture")  # gone between the part and the look at it
    page = visitors.open()
    site.call("A01", DARK)
    expect(page.locator("#pid-A01 .picture")).to_be_visible()

    site.station.order(page={"pictures": "off"})

    expect(page.locator(".picture")).to_have_count(0)
    expect(page.locator("#pid-A01 .verdict")).to_have_text("NG")


def test_a_recorded_call_is_a_page_of_its_own_for_who_was_granted_them(site: Site, visitors: Visitors) -> None:
    visitors.expect("status of 40[34]")
    with keeper(StoreLayout.at(site.station.store)) as kept:
        call = kept.add(recorded(7), pictures(7))
    granted = json.loads(site.station.pvctl(
        "token", "create", "vision", "--role", "viewer", "--recordings", "-o", "json",
    ).stdout)  # fmt: skip

    page = visitors.open(None)
    log_in(page, granted["token"])
    expect(page.locator("#pid-A01")).to_be_visible()
    page.goto(f"/page/recordings/{call.id}")
    expect(page.locator("svg rect")).to_have_count(1)
    expect(page.locator("h1")).to_have_text("NG A01")
    assert page.evaluate("document.querySelector('svg image').getBoundingClientRect().width") > 0
    assert page.evaluate("getComputedStyle(document.querySelector('svg rect')).stroke") == "rgb(255, 59, 48)"
    page.goto("/page/recordings/20270115080000000-ffffffffff")
    expect(page.locator("body")).to_contain_text("there is no recorded call")

    other = visitors.open("viewer", f"/page/recordings/{call.id}")
    expect(other.locator("body")).to_contain_text("needs the grant 'recordings'")
    expect(other.locator("svg image")).to_have_count(0)
