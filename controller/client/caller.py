"""What the two clients are alike in: an address, patience, idle connections, and the flow of a call."""

from __future__ import annotations

import os
import weakref

from controller.client.addresses import Address
from controller.client.answers import Detection
from controller.client.attempts import Attempts, Patience
from controller.client.calls import Arguments, Call, Target
from controller.client.connections import Connections
from controller.client.effects import Flow
from controller.client.flow import detect
from controller.client.pictures import Image
from controller.client.slots import Slots

_ROLES = ("image", "guide_image")


class Caller:
    """Calls one station. Its subclasses carry the flow out, each in its own way, and say how they are called."""

    _IDLE = 16
    """Connections that are kept while nobody calls."""

    def __init__(
        self,
        *,
        store: str | os.PathLike[str] | None = None,
        url: str | None = None,
        token: str | None = None,
        connect_timeout: float = 30.0,
        retry_busy: bool = False,
    ) -> None:
        self._connections = Connections(Address.of(store, url, token), self._IDLE)
        self._where = str(self._connections.address)
        self._slots = Slots()
        weakref.finalize(self, self._slots.clear)  # also when the interpreter ends
        self._connect_timeout = connect_timeout
        self._retry_busy = retry_busy

    def _detect(
        self,
        target: Target,
        images: tuple[Image | None, Image | None],
        arguments: Arguments,
        timeout: float | None,
        retry_unknown: bool,
    ) -> Flow[Detection]:
        """Return the flow of one call. Its time begins now."""
        named = {role: image for role, image in zip(_ROLES, images, strict=True) if image is not None}
        patience = Patience(self._connect_timeout, retry_unknown, self._retry_busy)
        attempts = Attempts(self._where, patience, timeout)
        return detect(self._connections, Call(target, named, arguments, self._slots), attempts)

    def close(self) -> None:
        """Close the idle connections, and delete the slots of pictures."""
        self._connections.clear()
        self._slots.clear()
