"""Who is at the other end of a connection: the kernel says which user a Unix socket's peer is."""

from __future__ import annotations

import os
from functools import lru_cache

from starlette.requests import Request

from controller.host.users import name_of
from controller.station.port import Caller


def caller_of(request: Request) -> Caller:
    """Return who asks: the socket is its owner's, so its peers may do everything."""
    return _caller(request.scope["state"].get("uid", os.getuid()))


@lru_cache(maxsize=64)
def _caller(uid: int) -> Caller:
    """Return a user of this machine as a caller; asked for at every call, so looked up once."""
    return Caller(name_of(uid))
