"""What a person sees of a request that is refused before the page has it: plain words in their language, no menus.

It asks nothing of the station and is the same for all who get it, so that a flood of them costs little.
"""

from __future__ import annotations

from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from controller.errors import ControllerError
from controller.page.rendering import html, rendered
from controller.page.viewers import language_of

_DIALOG = "dialog"


def refusal(request: Request, error: ControllerError, status: int) -> Response | None:
    """Return an error as a page for a browser, or as what stands in an act's dialog; None: neither was asked for."""
    language = language_of(request)
    if request.headers.get("hx-target") == _DIALOG:
        return html(request, rendered("_answer.html", language, error=error, message=error.message, done=False), status)
    if "text/html" in request.headers.get("accept", ""):
        return html(request, _page(language, status, error.message, error.next_step), status)
    return None


@lru_cache(64)
def _page(language: str, status: int, message: str, next_step: str) -> str:
    return rendered("refusal.html", language, status=status, message=message, next_step=next_step)
