"""Who looks at the page: browser contexts that are logged in by role, and that note every complaint of the browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from tests.browser.site import Site
from tests.waiting import PATIENCE

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
CSP = """
document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`content security policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


class Visitors:
    """Opens pages at a site, and knows at the end what the browser complained about."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self._browser = browser
        self._site = site
        self._contexts: list[BrowserContext] = []
        self._complaints: list[str] = []
        self._expected: list[str] = []
        self._elsewhere: list[str] = []

    def open(self, role: str | None = "operator", path: str = "/", **context: Any) -> Page:
        """Return a page at a path; `role` None: of somebody who has not logged in. `context`: Playwright's options."""
        options = {"locale": "en-US", "reduced_motion": "reduce", "viewport": {"width": 1280, "height": 800}, **context}
        made = self._browser.new_context(base_url=self._site.url, **options)
        self._contexts.append(made)
        made.add_init_script(CSP)
        made.set_default_timeout(PATIENCE * 1000)
        if role is not None:
            made.add_cookies(self._cookies(role))
        page = made.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self._complaints.append(f"exception: {error}"))
        page.on("request", self._watch)
        page.goto(path)
        return page

    def expect(self, pattern: str) -> None:
        """Take complaints with these words as they are: the test makes them happen."""
        self._expected.append(pattern)

    def complaints(self) -> list[str]:
        """Return what nobody expected; requests to anywhere but the station too."""
        odd = [each for each in self._complaints if not any(re.search(known, each) for known in self._expected)]
        return odd + self._elsewhere

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._complaints.append(f"{message.text} ({message.location['url']})")

    def _watch(self, request: Request) -> None:
        if not request.url.startswith((self._site.url, "data:")):
            self._elsewhere.append(f"asked for {request.url}")

    def _cookies(self, role: str) -> Any:
        """Return the cookies of somebody with a role who logged in; once for each, since log-ins are counted."""
        known = self._site.sessions
        if role not in known:
            context = self._browser.new_context(base_url=self._site.url, locale="en-US")
            log_in(context.new_page(), self._site.token(role))
            known[role] = context.cookies()
            context.close()
        return known[role]


def log_in(page: Page, token: str) -> None:
    """Fill in the form as a person does."""
    page.goto("/")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


def violations(page: Page, ignored: Iterable[str] = ()) -> list[str]:
    """Return what axe-core finds on the page as it is now: the rule, what it asks for, and where."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["passes"], "axe-core looked at nothing"
    return [
        f"{each['id']}: {each['help']}: {json.dumps([node['target'] for node in each['nodes']][:4])}"
        for each in found["violations"]
        if each["id"] not in set(ignored)
    ]


def targets(page: Page) -> dict[str, tuple[float, float]]:
    """Return width and height in CSS pixels of everything that can be pressed and is shown."""
    rows = page.evaluate(
        """() => [...document.querySelectorAll(`a[href], button, input:not([type=hidden]), select, summary, textarea,
                                               [role=button], [role=tab]`)]
            .filter((each) => each.checkVisibility() && each.getClientRects().length)
            .map((each) => {
                const box = (each.closest('label') ?? each).getBoundingClientRect();
                return [each.outerHTML.slice(0, 120), box.width, box.height];
            })"""
    )
    assert rows, "there is nothing to press"
    return {html: (width, height) for html, width, height in rows}
