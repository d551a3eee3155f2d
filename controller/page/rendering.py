"""Templates with rows put into them: HTML in one language. Everything that is put in is escaped."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from controller.page.assets import assets
from controller.page.texts import LANGUAGES, NAMES, texts

HEADERS = {"Cache-Control": "no-store"}
"""The gateway adds what keeps a browser from being misused."""
_SMALL = 1024


@cache
def environment() -> Environment:
    """Return the templates' environment."""
    made = Environment(
        loader=PackageLoader("controller.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["asset"] = lambda name: assets()[name].path
    made.globals["languages"] = [(each, NAMES[each]) for each in LANGUAGES]
    return made


def rendered(template: str, language: str, **values: object) -> str:
    """Return a template's HTML in a language."""
    return environment().get_template(template).render(t=texts(language), **values)


def html(request: Request, body: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return HTML as an answer, compressed where the browser takes it and it is worth it."""
    content = body.encode()
    sent = {**HEADERS, "Vary": "Accept-Encoding, Accept-Language, Cookie", **(headers or {})}
    if len(content) > _SMALL and "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, 6, mtime=0)
        sent["Content-Encoding"] = "gzip"
    return Response(content, status, sent, "text/html; charset=utf-8")
