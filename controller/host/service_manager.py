"""Telling systemd, or whatever manages the service, how its life goes: sd_notify(3)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

_KIND = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK


def notify(state: str) -> None:
    """Tell the service manager, where there is one, a state such as `READY=1`.

    One that does not listen is no error, and one that does not read is not waited for: calls are answered meanwhile.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, _KIND) as channel, suppress(OSError):
            channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
