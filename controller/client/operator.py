"""What the command line asks a running daemon for: detections at once or not at all, rounds, verbs, its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import orjson

from controller.client.addresses import Address
from controller.client.answers import Detection, NotReached, UnknownOutcome, document_of, error_of
from controller.client.arguments import CallArguments
from controller.client.blocking import Client, Pool
from controller.client.calls import request as request_bytes
from controller.client.exchange import Broken, NeverAccepted


class StorePlace(Protocol):
    """Where a store is (a `StoreLayout`)."""

    @property
    def root(self) -> Path: ...


class Asked(Protocol):
    """A detection that is asked for (a `DetectionRequest`), its images as a client takes them."""

    @property
    def pid(self) -> str: ...
    @property
    def image(self) -> Any: ...
    @property
    def guide_image(self) -> Any: ...
    @property
    def arguments(self) -> CallArguments: ...


def client_execute(layout: StorePlace, request: Asked) -> Detection:
    """Return the answer of the daemon that runs for a store.

    Raises:
        NotReached: at once, where none runs.
        CallError: like `Client.execute`.
    """
    with Client(store=layout.root, connect_timeout=0) as client:
        return client.execute(request.pid, request.image, request.guide_image, **request.arguments.to_document())


class Operator:
    """Asks the daemon of a store. Every method raises NotReached where none runs, and what the daemon answers."""

    def __init__(self, layout: StorePlace) -> None:
        self._address = Address.of(layout.root, None, None)
        self._pool = Pool(self._address)

    def status(self) -> dict[str, Any]:
        """Return the status document."""
        return self._ask("GET", "/v1/status")

    def operate(self, kind: str, subject: str, verb: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Have a verb carried out on a subject of a kind (deployments or pids); return what was done."""
        return self._ask("POST", f"/v1/{kind}/{quote(subject, safe='')}/{verb}", arguments)

    def down(self) -> tuple[str, ...]:
        """Have every process of the store ended, and the daemon; return the names of the processes."""
        return tuple(self._ask("POST", "/v1/down")["ended"])

    def reconcile(
        self, *, allow_empty: bool, wait: bool, timeout: float, notify: Callable[[str], None]
    ) -> dict[str, Any]:
        """Have the station reconciled, hear of the progress, and return {exit, status}."""
        lines = _Lines(notify)
        arguments = {"allow_empty": allow_empty, "wait": wait, "timeout": timeout}
        answer = self._ask("POST", "/v1/reconcile", arguments, lines.hear)
        last = answer or lines.last
        if "error" in last:
            raise error_of(last["error"])
        if "outcome" not in last:
            raise UnknownOutcome("the daemon's report ended early")
        outcome: dict[str, Any] = last["outcome"]
        return outcome

    def _ask(
        self,
        method: str,
        target: str,
        document: Mapping[str, Any] | None = None,
        heard: Callable[[bytes], None] | None = None,
    ) -> dict[str, Any]:
        body = [] if document is None else [orjson.dumps(document)]
        try:
            answer = self._pool.exchange(
                request_bytes(self._address, method, target, body), None, heard or (lambda _: None)
            )
        except NeverAccepted as failure:
            raise NotReached(str(self._address), str(failure)) from None
        except Broken as failure:
            raise UnknownOutcome(str(failure)) from None
        finally:
            self._pool.clear()
        if heard is not None and answer.status == 200:
            return {}
        return document_of(answer)


class _Lines:
    """Cuts a body into JSON lines: progress is told, the last line kept."""

    def __init__(self, notify: Callable[[str], None]) -> None:
        self.last: dict[str, Any] = {}
        self._notify = notify
        self._rest = b""

    def hear(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self.last = orjson.loads(line)
            if "progress" in self.last:
                self._notify(self.last["progress"])
