"""Refusals of the gateway itself, JSON for programs and a page for browsers; what keeps a browser from misuse."""

from __future__ import annotations

import logging

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Scope, Send

from controller.errors import ControllerError
from controller.http.failures import error_response
from controller.page.refusals import refusal

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_OF_CONTENT = {"content-length", "content-type"}


def refused(scope: Scope, error: ControllerError) -> Response:
    """Return the answer that an error is, in the form that was asked for."""
    answer = error_response(error)
    answer.headers.update(_GUARDS)
    try:
        page = refusal(Request(scope), error, answer.status_code)
    except Exception:  # a head that nothing can be made of is refused all the same
        log.exception("a refusal has no page")
        page = None
    if page is None:
        return answer
    page.headers.update({name: value for name, value in answer.headers.items() if name not in _OF_CONTENT})
    return page


_GUARDS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",  # with no-referrer a browser says of its own form: Origin: null
    "Cross-Origin-Opener-Policy": "same-origin",
}


def guarded(send: Send) -> Send:
    """Return a `send` that adds what keeps a browser from being misused to every answer of the page."""

    async def guarding(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _GUARDS.items():
                headers.setdefault(name, value)  # a page that shows what others wrote has a policy of its own
        await send(message)

    return guarding
