"""Who is at the other end of a connection: the kernel says which user a Unix socket's peer is.

Two headers are believed where the peer could write the store itself, as its owner or root: for whom it acts (a kiosk is
one user with many workers), and, of the gateway, who asked over the network and what they may do.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response

from controller.errors import CallError, Code
from controller.host.users import name_of
from controller.http.resource import Handler
from controller.model.worker import worker_name
from controller.station.port import (
    ACCESS,
    CALLER,
    GRANTS,
    RECORDINGS,
    WORKER,
    Access,
    AccessDenied,
    Caller,
    require,
)

_CALLER = CALLER.lower().encode()


def acting_caller_of(request: Request) -> Caller:
    """Return who asks for something that goes on record, and for whom.

    Raises:
        AccessDenied: a peer names a worker, or another caller, that is not trusted with that.
        CallError: 1003, what is named is no name.
    """
    caller, named = caller_of(request), request.headers.get(WORKER)
    if named is None:
        return caller
    if CALLER in request.headers or not _believed(request):
        raise AccessDenied(
            f"{caller.name} may not act for somebody else: {WORKER} may only be sent by the store's owner and root",
            next_step="leave it out, or call as the user that runs the station",
        )
    return caller._replace(worker=_name(WORKER, named))


def caller_of(request: Request) -> Caller:
    """Return who asks: the socket is its owner's, so its peers may do everything; but for whom the gateway speaks.

    Raises like `acting_caller_of`.
    """
    for name, value in request.scope["headers"]:  # asked at every call: no object is made of them
        if name == _CALLER:
            return _forwarded(request, value.decode("latin-1"))
    return _caller(request.scope["state"].get("uid", os.getuid()))


def admitted(handler: Handler, needed: Access) -> Handler:
    """Return a handler for callers who may ask for it: nothing of a body is taken in from anybody else.

    The station checks every command itself; but an upload would be on the disk by then.
    """
    if needed is Access.viewer:  # whoever asks has that
        return handler

    def handle(request: Request) -> Awaitable[Response | None]:
        require(needed, caller_of(request))
        return handler(request)

    return handle


def _forwarded(request: Request, named: str) -> Caller:
    """Return the caller whom the gateway let in."""
    if not _believed(request):
        raise AccessDenied(
            f"{CALLER} may only be sent by the gateway, which runs as the store's owner", next_step="leave it out"
        )
    access = request.headers.get(ACCESS, "")
    if access not in Access.__members__:
        raise CallError(Code.invalid_params, f"{ACCESS} must name an access: {', '.join(Access.__members__)}")
    granted = request.headers.get(GRANTS, "") == RECORDINGS
    return Caller(_name(CALLER, named), Access[access], granted=granted)


def _believed(request: Request) -> bool:
    return request.scope["state"].get("uid") in {0, os.getuid()}


def _name(header: str, text: str) -> str:
    try:
        return worker_name(unquote_to_bytes(text.encode("latin-1")).decode())
    except ValueError as error:
        raise CallError(Code.invalid_params, f"{header}: {error}", next_step="percent-encode it as UTF-8") from None


@lru_cache(maxsize=64)
def _caller(uid: int) -> Caller:
    """Return a user of this machine as a caller; asked for at every call, so looked up once."""
    return Caller(name_of(uid))
