"""The TCP socket of `pvctl run --listen`: bound by the daemon, handed to the process that serves it."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import time
from typing import NamedTuple

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from pathlib import Path

_BACKLOG = 512
_PATIENCE = 5.0
"""Seconds for which an address that is in use is tried again: a daemon that was killed may still be going."""
_RETRY = 0.05


class Listening(NamedTuple):
    """What `pvctl run` was told: where to listen (port 0: any that is free), and the PEM files of TLS, both or none."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address: at the first one of a name. `::` is for IPv4 too.

    Raises OSError: there is no such address here, or it is in use.
    """
    family, kind, protocol, _, place = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]  # fmt: skip
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return _listen(socket.socket(family, kind, protocol), place)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > until:
                raise
        time.sleep(_RETRY)


def _listen(listener: socket.socket, place: tuple[str | int, ...] | tuple[int, bytes]) -> socket.socket:
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(place[0] != "::"))
        listener.bind(place)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def beyond_loopback(listener: socket.socket) -> bool:
    """Whether other machines may reach a listening socket."""
    return not ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def url_of(listener: socket.socket, *, tls: bool) -> str:
    """Return the address of a listening socket, with the port that it has, such as `https://0.0.0.0:8443`."""
    host, port = listener.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def network_of(address: str) -> str:
    """Return what counts as one peer: an IPv4 address, or the /64 network of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies. Ends it at once where that has happened already."""
    import ctypes  # noqa: PLC0415 - only a process that is somebody's child

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)


_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
