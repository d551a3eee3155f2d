"""Who is at the other end of a connection: the kernel says which user a Unix socket's peer is.

A kiosk is one user with many workers. Whom it acts for it says in a header, and is believed where it could write the
store itself: as the store's owner, or root.
"""

from __future__ import annotations

import os
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from controller.errors import CallError, Code
from controller.host.users import name_of
from controller.model.worker import worker_name
from controller.station.port import WORKER, AccessDenied, Caller


def acting_caller_of(request: Request) -> Caller:
    """Return who asks for something that goes on record, and for whom.

    Raises:
        AccessDenied: a peer names a worker that is not trusted with that.
        CallError: 1003, what is named is no name.
    """
    caller, named = caller_of(request), request.headers.get(WORKER)
    if named is None:
        return caller
    uid = request.scope["state"].get("uid")
    if uid not in {0, os.getuid()}:
        raise AccessDenied(
            f"{caller.name} may not act for somebody else: {WORKER} is believed of the store's owner and root",
            next_step="leave it out, or call as the user that runs the station",
        )
    try:
        return caller._replace(worker=worker_name(unquote_to_bytes(named.encode("latin-1")).decode()))
    except ValueError as error:
        raise CallError(Code.invalid_params, f"{WORKER}: {error}", next_step="percent-encode it as UTF-8") from None


def caller_of(request: Request) -> Caller:
    """Return who asks: the socket is its owner's, so its peers may do everything."""
    return _caller(request.scope["state"].get("uid", os.getuid()))


@lru_cache(maxsize=64)
def _caller(uid: int) -> Caller:
    """Return a user of this machine as a caller; asked for at every call, so looked up once."""
    return Caller(name_of(uid))
