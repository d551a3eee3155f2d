"""The page with gloves, by keyboard, and for a screen reader: axe-core on every view, in both themes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.site import BRIGHT, DARK, PIDS, Site
from tests.browser.visitor import Visitors, targets, violations
from tests.system import requires

pytestmark = [pytest.mark.real, requires("chromium")]
GLOVE = 48
"""CSS pixels that a finger in a glove hits."""
OUTSIDE = """() => [...document.querySelectorAll('header.top *, .bar-of-tools *, main, main > *, .sheet')]
    .filter((each) => each.checkVisibility() && !each.closest('.unseen, svg'))
    .map((each) => [each, each.getBoundingClientRect()])
    .filter(([, box]) => box.width && (box.left < 0 || box.right > innerWidth + 0.5))
    .map(([each]) => each.outerHTML.slice(0, 120))
    .concat(document.documentElement.scrollWidth > innerWidth ? ['the page scrolls sideways'] : [])"""
"""What stands outside of the screen, to the left or to the right."""
VIEWS = ("/", "/page/packages", "/page/revisions", "/page/audit", "/page/logs", "/page/pids/A01")
TABLET = {"viewport": {"width": 1024, "height": 768}, "has_touch": True}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a station in the middle of a rollout, with an NG part, a held PID, and a revision that was refused."""
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.pack("1.0.0", "1.1.0")
        site.desire("1.0.0")
        site.start()
        site.until_active("1.0.0")
        for pid in PIDS:
            site.call(pid, DARK if pid == "A01" else BRIGHT)
        site.desire("1.1.0")
        site.daemon.until_active("A04", "1.1.0")
        site.call("A04", BRIGHT)
        yield site
    finally:
        site.end()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_view(visitors: Visitors, scheme: str) -> None:
    page = visitors.open(color_scheme=scheme)
    found = {}
    for path in VIEWS:
        page.goto(path)
        expect(page.get_by_role("main")).to_be_visible()
        found[path] = violations(page)
    page.goto("/page/pids/A02")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found["dialog"] = violations(page)

    assert {path: each for path, each in found.items() if each} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_where_somebody_has_still_to_log_in(visitors: Visitors, scheme: str) -> None:
    assert violations(visitors.open(None, color_scheme=scheme)) == []


@pytest.mark.parametrize("screen", [TABLET, PHONE], ids=["tablet", "phone"])
def test_everything_that_is_pressed_is_large_enough_for_a_glove(visitors: Visitors, screen: dict[str, Any]) -> None:
    page = visitors.open(**screen)
    small = {}
    for path in VIEWS:
        page.goto(path)
        expect(page.get_by_role("main")).to_be_visible()
        small[path] = {html: size for html, size in targets(page).items() if min(size) < GLOVE}
    page.goto("/page/pids/A02")
    page.get_by_role("button", name="Roll back").tap()
    expect(page.get_by_role("dialog")).to_be_visible()
    small["dialog"] = {html: size for html, size in targets(page).items() if min(size) < GLOVE}

    assert {path: each for path, each in small.items() if each} == {}


@pytest.mark.parametrize(
    "screen", [TABLET, PHONE, {**PHONE, "locale": "de-DE"}], ids=["tablet", "phone", "phone in German"]
)
def test_nothing_runs_out_of_a_screens_side(visitors: Visitors, screen: dict[str, Any]) -> None:
    page = visitors.open(**screen)
    for path in VIEWS:
        page.goto(path)
        expect(page.get_by_role("main")).to_be_visible()
        page.locator("details.menu summary").click()
        assert page.evaluate(OUTSIDE) == [], path
        assert page.locator("header.top").evaluate("(each) => each.clientHeight") <= 3 * GLOVE, path
        page.evaluate("document.querySelector('.menu summary').firstChild.data = 'token:' + 'w'.repeat(64)")
        assert page.evaluate(OUTSIDE) == [], f"{path} with a long name"


def until_focused(page: Page, name: str) -> None:
    """Press Tab until the element with this name has the focus, and shows it."""
    for _ in range(80):
        page.keyboard.press("Tab")
        label = page.evaluate("""() => {
            const each = document.activeElement;
            return (each.getAttribute('aria-label') ?? each.labels?.[0]?.innerText ?? each.innerText ?? '').trim();
        }""")
        if re.fullmatch(name, label, re.IGNORECASE | re.DOTALL):
            outline = page.evaluate("""() => {
                const style = getComputedStyle(document.activeElement);
                return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
            }""")
            assert outline, f"the focus on {label!r} is not shown"
            return
    raise AssertionError(f"Tab does not come to {name!r}")


def test_a_rollback_by_keyboard_alone(visitors: Visitors, site: Site) -> None:
    page = visitors.open(None)
    until_focused(page, "Token.*")
    page.keyboard.type(site.token("operator"))
    page.keyboard.press("Enter")
    expect(page.locator("#pid-A04")).to_be_visible()
    until_focused(page, "A04.*")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Roll back")).to_be_visible()
    until_focused(page, "Roll back")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("Enter")  # the focus is back where it was
    expect(dialog.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")

    expect(dialog).to_contain_text("The station says")
    assert [row["reason"] for row in site.audited("rollback")] == ["by keyboard"]
