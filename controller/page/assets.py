"""The page's static files: named by their content, so that a browser may keep them for ever, and compressed once."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from controller.page.sessions import STATIC

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
FIRST = ("page.css", "htmx.min.js", "sse.min.js", "idiomorph-ext.min.js", "page.js")
"""What a page loads before it is shown; uPlot follows where there is something to draw."""
LATER = ("uPlot.iife.min.js", "uPlot.min.css")
ICON = "icon.svg"
_KEEP = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """A file as it is sent; `path` has the hash of its content."""

    path: str
    kind: str
    content: bytes
    packed: bytes


@cache
def assets() -> dict[str, Asset]:
    """Return the assets by their own names."""
    return {name: _read(name) for name in (*FIRST, *LATER, ICON)}


@cache
def _by_path() -> dict[str, Asset]:
    return {each.path: each for each in assets().values()}


def _read(name: str) -> Asset:
    static = files(__package__).joinpath("static")
    file = static.joinpath(name)
    content = (file if file.is_file() else static.joinpath("vendor", name)).read_bytes()
    stem, _, ending = name.rpartition(".")
    path = f"{STATIC}{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{ending}"
    return Asset(path, _TYPES[ending], content, gzip.compress(content, 9, mtime=0))


async def serve(request: Request) -> Response:
    """Answer with an asset; a name of another release is not found."""
    asset = _by_path().get(request.url.path)
    if asset is None:
        return Response(status_code=404)
    headers = {"Cache-Control": _KEEP, "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.packed, media_type=asset.kind, headers={**headers, "Content-Encoding": "gzip"})
    return Response(asset.content, media_type=asset.kind, headers=headers)
