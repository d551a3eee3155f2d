"""A page whose station has gone: it says so at once, shows nothing as if it were now, and comes back by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.site import Site
from tests.browser.visitor import Visitors, violations
from tests.system import requires

pytestmark = [pytest.mark.real, requires("chromium")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.pack("1.0.0", "1.1.0")
        site.desire("1.0.0")
        site.start()
        site.until_active("1.0.0")
        yield site
    finally:
        site.end()


def test_a_killed_daemon_is_told_at_once_and_its_successor_is_seen_without_a_reload(
    site: Site, visitors: Visitors
) -> None:
    visitors.expect(
        "ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|object Event"
    )
    page = visitors.open()
    page.evaluate("window.notReloaded = true")
    cut = page.locator("#cut")
    expect(page.locator("#pid-A01")).to_contain_text("1.0.0")
    expect(cut).to_be_hidden()

    site.daemon.kill()
    expect(cut).to_be_visible()
    expect(cut).to_contain_text("Cut off since")
    expect(page.locator("#banner .word")).not_to_be_visible()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert violations(page) == []

    site.desire("1.1.0", strategy={})
    site.start()
    expect(page.locator("#pid-A01")).to_contain_text("1.1.0")
    expect(cut).to_be_hidden()
    assert page.evaluate("window.notReloaded") is True
