"""A station with 200 PIDs: all are shown, one among them is found, and what happens is seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.site import DARK, Site
from tests.browser.visitor import Visitors, violations
from tests.system import requires

pytestmark = [pytest.mark.real, requires("chromium")]
PIDS = tuple(f"P{number:03}" for number in range(200))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.pack("1.0.0", pids=PIDS)
        site.desire("1.0.0", PIDS, strategy={})
        site.start()
        site.until_active("1.0.0", PIDS)
        yield site
    finally:
        site.end()


def test_two_hundred_pids_are_shown_and_stay_live(visitors: Visitors, site: Site) -> None:
    page = visitors.open("operator")
    expect(page.locator("[id^=pid-]")).to_have_count(len(PIDS))
    page.evaluate("window.notReloaded = true")

    site.call("P137", DARK)

    expect(page.locator("#pid-P137")).to_contain_text("NG")
    assert page.evaluate("window.notReloaded") is True
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
