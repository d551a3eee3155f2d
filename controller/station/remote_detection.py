"""One detection through a daemon, at once or not at all: what `pvctl exec` asks for."""

from __future__ import annotations

from controller.calls.request import DetectionRequest
from controller.client.addresses import Address
from controller.client.answers import Detection
from controller.client.blocking import Client


def detect(address: Address, request: DetectionRequest) -> Detection:
    """Return the daemon's answer.

    Raises:
        NotReached: at once, where none runs.
        CallError: like `Client.execute`.
    """
    with Client(store=address.store, connect_timeout=0) as client:
        what, for_pid = (str(package), request.pid or None) if (package := request.package) else (request.pid, None)
        given = request.arguments.to_document()
        return client.execute(what, request.image, request.guide_image, for_pid=for_pid, **given)
