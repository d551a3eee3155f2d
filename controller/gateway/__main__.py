"""The gateway's process, as the daemon starts it: objects are built and plugged together, nothing else."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import time
from pathlib import Path

from controller.client.addresses import Address
from controller.gateway.admission import Admission
from controller.gateway.application import Gateway
from controller.gateway.bounded import BoundedStation
from controller.gateway.certificates import Certificates
from controller.gateway.forwarding import Forwarder
from controller.gateway.limits import Limits, Places
from controller.gateway.listener import Listener
from controller.gateway.refusals import Refusals
from controller.gateway.sessions import Sessions, Signer
from controller.gateway.upstream import Upstream
from controller.host.listening import end_with
from controller.host.memory import give_back, use_one_arena
from controller.host.priority import give_way_to_all
from controller.json_log import logging_to
from controller.page.application import Page
from controller.station.event_loop import run
from controller.station.remote_async import AsyncRemoteStation
from controller.store.known_tokens import KnownTokens
from controller.store.layout import StoreLayout

log = logging.getLogger(__name__)

_GRACE = 1.0
_GIVE_BACK_EVERY = 10.0
"""Seconds between two times at which memory is given back that requests and views have freed."""


async def serve(
    layout: StoreLayout, listening: socket.socket, certificates: Certificates | None, refusals: Refusals
) -> None:
    """Serve at a listening socket until SIGTERM. SIGHUP reads the certificate again."""
    limits, upstream, tls = Limits(), Upstream(layout), certificates is not None
    admission = Admission(KnownTokens(layout, time.time), limits, refusals)
    page_places = Places(limits.page_at_once, limits.turn, "requests of the page")
    page = Page(BoundedStation(AsyncRemoteStation(Address.of(layout.root, None, None)), page_places))
    sessions = Sessions(page.application, Signer.of(layout), admission, port=listening.getsockname()[1], tls=tls)
    gateway = Gateway(sessions, admission, Forwarder(upstream, limits), limits, tls=tls)
    listener = Listener(gateway, listening, certificates, limits, admission)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    loop.add_signal_handler(signal.SIGHUP, certificates.reload if certificates else lambda: None)
    watching = (
        asyncio.create_task(admission.watch(), name="looking whether tokens are valid"),
        asyncio.create_task(_give_memory_back(), name="giving memory back"),
    )
    await listener.start()
    print("ready", flush=True)  # noqa: T201 - what the daemon waits for
    await ended.wait()
    for task in watching:
        task.cancel()
    await page.close()
    await listener.stop(_GRACE)
    upstream.close()


async def _give_memory_back() -> None:
    while True:
        await asyncio.sleep(_GIVE_BACK_EVERY)
        give_back()


def main() -> None:
    """Be the gateway of the store that the arguments name, at the socket that they hand over."""
    parser = argparse.ArgumentParser(prog="python -m controller.gateway")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--refusals", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--log-level", default="info")
    given = parser.parse_args()
    end_with(given.parent)
    use_one_arena()
    give_way_to_all()
    layout = StoreLayout.at(given.store)
    with logging_to(layout.gateway_log, given.log_level):
        certificates = Certificates(given.certificate, given.key) if given.certificate else None
        run(serve(layout, socket.socket(fileno=given.socket), certificates, Refusals(given.refusals)))


if __name__ == "__main__":
    main()
