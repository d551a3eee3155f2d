"""A browser for each module, and visitors whose complaints fail the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.site import Site
from tests.browser.visitor import Visitors
from tests.system import program
from tests.waiting import PATIENCE

expect.set_options(timeout=2 * PATIENCE * 1000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Yield the system's browser. For one module only: while it is driven, no other event loop runs in its thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"))
        yield browser
        browser.close()


@pytest.fixture
def visitors(chromium: Browser, site: Site) -> Iterator[Visitors]:
    """Yield who opens pages. A test fails on whatever the browser complains about that the test does not expect."""
    visitors = Visitors(chromium, site)
    yield visitors
    complaints = visitors.complaints()
    visitors.close()
    assert complaints == []
