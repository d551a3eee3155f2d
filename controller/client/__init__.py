"""For host applications: detections through a running daemon. Imports nothing of the daemon, and quickly.

Here lives a call as its caller sees it: its arguments, its picture, its connection, when it is tried again.
Not here: commands of operators and the fleet (`station/remote.py`), and anything that needs the daemon's packages.

    from controller.client import Client
    with Client(store="runtime_store") as client:
        detection = client.execute("A01", image)     # a path, bytes, or an H×W or H×W×3 array of uint8

A call ends as a `Detection`, as the `CallError` that the station answered, as `NotReached` (it was never accepted,
in spite of retries) or as `UnknownOutcome` (it was accepted and nobody knows how it ended). What never was accepted is
tried again until `connect_timeout`; what was accepted only with `retry_unknown=True`. See `exchange.py` for how the
two are told apart, and `flow.py` for how a call goes: once for both clients, and without I/O. Only `blocking.py` and
`asynchronous.py` wait for a socket or a clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.client.answers import Detection, NotReached, UnknownOutcome
from controller.errors import CallError

if TYPE_CHECKING:
    from controller.client.asynchronous import AsyncClient
    from controller.client.blocking import Client

__all__ = ["AsyncClient", "CallError", "Client", "Detection", "NotReached", "UnknownOutcome"]


def __getattr__(name: str) -> Any:
    if name == "AsyncClient":  # whoever does not use it need not import asyncio
        from controller.client.asynchronous import AsyncClient  # noqa: PLC0415

        return AsyncClient
    if name == "Client":  # the daemon knows the answers, and calls nobody
        from controller.client.blocking import Client  # noqa: PLC0415

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
