"""What an operator sees of a rollout, and does about it: it advances, it is rolled back by itself, and by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.site import PIDS, Site
from tests.browser.visitor import Visitors
from tests.end_to_end.load import Load
from tests.system import requires

pytestmark = [pytest.mark.real, requires("chromium")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a station on 1.0.0, with a good version and a bad one to come."""
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.pack("1.0.0", "1.1.0", bad=["1.2.0"])
        site.desire("1.0.0")
        site.start()
        site.until_active("1.0.0")
        yield site
    finally:
        site.end()


@pytest.fixture(scope="module")
def load(site: Site) -> Iterator[Load]:
    with site.load() as load:
        yield load


@pytest.fixture
def page(visitors: Visitors, load: Load) -> Page:
    """Return the page of an operator while calls go on."""
    load.until_answered(1, PIDS)
    return visitors.open()


def tile(page: Page, pid: str) -> Locator:
    return page.locator(f"#pid-{pid}")


def test_a_rollout_is_seen_to_advance_and_waits_for_a_word(page: Page, site: Site) -> None:
    expect(tile(page, "A04")).to_contain_text("1.0.0")

    site.desire("1.1.0")
    expect(tile(page, "A04")).to_contain_text("1.1.0")
    expect(tile(page, "A04").locator(".mark")).to_have_text("canary")
    expect(tile(page, "A01")).to_contain_text("1.0.0")
    card = page.locator("#deployment-line")
    expect(card).to_contain_text("Paused")
    lines = card.locator("[data-series]")
    expect(lines.locator("canvas")).to_have_count(2)
    moments = lines.evaluate("figure => figure.plots[0].axes[0]._values")
    assert moments, "an axis has moments"
    assert len(moments) == len(set(moments)), "they are told apart"

    card.get_by_role("button", name="Promote").click()
    dialog = page.get_by_role("dialog")
    for pid in ("A01", "A02", "A03"):
        expect(dialog).to_contain_text(pid)
    dialog.get_by_label("Reason").fill("the shift's parts look right")
    dialog.get_by_role("button", name="Promote").click()
    expect(dialog).to_contain_text("The station says")
    dialog.get_by_role("button", name="Close").click()

    for pid in PIDS:
        expect(tile(page, pid)).to_contain_text("1.1.0")
    expect(card).to_contain_text("Healthy")
    (row,) = site.audited("promote")
    assert row["actor"] == "token:operator"
    assert row["reason"] == "the shift's parts look right"


def test_a_bad_version_is_seen_to_be_rolled_back(page: Page, site: Site) -> None:
    site.desire("1.2.0")

    expect(page.locator("#banner")).to_contain_text("Rolled back")
    card = page.locator("#deployment-line")
    expect(card).to_contain_text("Degraded")
    expect(card).to_contain_text("error rate")
    expect(card).to_contain_text("screws@1.2.0")
    for pid in PIDS:
        expect(tile(page, pid)).to_contain_text("1.1.0")
    site.desire("1.1.0")
    expect(card).to_contain_text("Healthy")


def test_a_rollback_is_clicked_with_its_reason_and_found_in_the_audit(page: Page, site: Site) -> None:
    site.desire("1.1.0")
    site.until_active("1.1.0")
    tile(page, "A02").get_by_role("link").click()
    page.get_by_role("button", name="Roll back").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".moves")).to_contain_text("A02 1.1.0 → 1.0.0")
    dialog.get_by_role("button", name="Roll back").click()  # the browser asks for the reason
    expect(dialog.get_by_label("Reason")).to_be_focused()
    assert site.audited("rollback") == []
    dialog.get_by_label("Reason").fill("scratches are missed since noon")
    dialog.get_by_role("button", name="Roll back").click()

    expect(dialog).to_contain_text("The station says")
    dialog.get_by_role("button", name="Close").click()
    site.daemon.until_active("A02", "1.0.0")
    (row,) = site.audited("rollback")
    assert (row["object"], row["reason"]) == ("pid/A02", "scratches are missed since noon")
    assert row["actor"] == "token:operator"

    page.get_by_role("navigation").get_by_role("link", name="Audit").click()
    expect(page.get_by_role("row").filter(has_text="scratches are missed since noon").first).to_contain_text("A02")

    page.get_by_role("navigation").get_by_role("link", name="Line").click()
    expect(tile(page, "A02")).to_contain_text("1.0.0")
    expect(tile(page, "A02").locator(".mark")).to_have_text("held")
