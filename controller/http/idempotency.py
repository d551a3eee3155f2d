"""`Idempotency-Key`: a request that is repeated with its key is answered as the first time, and not carried out again.

One place for every endpoint that changes something. The body is hashed as it passes; before its last piece reaches the
endpoint, the request is written down. So an act begins only when a restart in the middle of it would be noticed, and a
request that is refused before it was read as a whole binds no key.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable

from python_multipart.multipart import parse_options_header
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from controller.errors import CallError, Code, ControllerError, NotFound, StoreError
from controller.http.event_stream import FeedResponse
from controller.http.failures import Refused, error_response
from controller.http.operations import LongActs
from controller.http.peers import caller_of
from controller.http.resource import Endpoint, Handler, answered
from controller.station.port import Caller
from controller.store.idempotency import IdempotencyKeys, KeptAnswer, KeptRequest, RepeatableRequest

KEY = "Idempotency-Key"
KEY_PATTERN = "[!-~]{1,200}"
REPLAYED = "Idempotency-Replayed"
_OPERATION = "/v1/operations/"
_NOTHING_DONE = {401, 403, 408, 413, 429}
"""Answers after which the same request may be sent again with its key."""
log = logging.getLogger(__name__)


class Idempotency:
    """Guards the endpoints of one station."""

    def __init__(self, keys: IdempotencyKeys, acts: LongActs) -> None:
        self._keys = keys
        self._acts = acts
        self._under_way: set[RepeatableRequest] = set()

    def guard(self, endpoint: Endpoint) -> Handler:
        """Return the endpoint's handler, which then honours a key."""

        async def handle(request: Request) -> Response | None:
            key = _key_of(request)
            if key is None:
                return await endpoint.handler(request)
            caller = caller_of(request)
            asked = RepeatableRequest(caller.name, endpoint.method, request.scope["path"], key)
            return await self._once(request, endpoint, asked, caller)

        return handle

    async def _once(
        self, request: Request, endpoint: Endpoint, asked: RepeatableRequest, caller: Caller
    ) -> Response | None:
        attempt = _Attempt(request, asked, self._begin)
        try:
            response = await answered(endpoint.handler, Request(request.scope, attempt.receive))
            if attempt.known is not None:
                return await self._again(request, attempt.known, caller)
            if attempt.begun and response is not None:
                await self._keep(attempt, response, secret=endpoint.secret)
            return response
        finally:
            if attempt.begun:
                self._under_way.discard(asked)

    async def _begin(self, asked: RepeatableRequest, said: str) -> KeptRequest | None:
        """Write a request down; return what is known of it where it was begun before.

        Raises:
            Refused: 409, it is under way, or nobody knows what came of it; 422, its key stands for another one.
            StoreError: it cannot be written down, so it must not be carried out.
        """
        if asked in self._under_way:
            raise Refused(
                409,
                f"a request with this {KEY} is being carried out",
                next_step="ask again in a moment",
                headers={"Retry-After": "1"},
            )
        self._under_way.add(asked)
        try:
            known = await asyncio.to_thread(self._keys.find, asked)
            if known is None:
                await asyncio.to_thread(self._keys.begin, asked, said)
                return None
        except BaseException:
            self._under_way.discard(asked)
            raise
        self._under_way.discard(asked)
        if known["said"] != said:
            raise Refused(
                422,
                f"this {KEY} was used for another request: its query or body differs",
                next_step="repeat a request as it was, or take a new key",
            )
        if known["answer"] is None:
            raise Refused(
                409,
                f"a request with this {KEY} was interrupted by a restart; its outcome is unknown",
                next_step="see GET /v1/status, /v1/operations and /v1/audit for what was done; "
                "ask again with a new key where it was not",
                details={"outcome": "unknown"},
            )
        return known

    async def _keep(self, attempt: _Attempt, response: Response, *, secret: bool) -> None:
        """Keep the answer, where it is one: after some, the request may as well be sent again."""
        if response.status_code in _NOTHING_DONE or "retry-after" in response.headers:
            await asyncio.to_thread(self._keys.forget, attempt.asked)
            return
        if response.status_code == 503:  # the controller stopped: nobody knows
            return
        try:
            answer = _answer_of(response, secret=secret)
            await asyncio.to_thread(self._keys.answered, attempt.asked, attempt.said, answer)
        except StoreError as error:
            log.warning("the answer to a request with a key is not kept, its outcome will count as unknown: %s", error)

    async def _again(self, request: Request, known: KeptRequest, caller: Caller) -> Response:
        answer = known["answer"] or {}
        if answer.get("secret"):
            return error_response(
                Refused(
                    409,
                    "this was answered before, with a secret that is told only once",
                    next_step="revoke what was made then, and make another with a new key",
                )
            )
        if operation := answer.get("operation"):
            try:
                response = await self._acts.again(request, operation, caller, answer["kind"])
            except NotFound:
                response = error_response(
                    Refused(409, f"the operation {operation} was begun for it and is not kept any more")
                )
            except ControllerError as error:
                response = error_response(error)
        else:
            body = answer["body"].encode("latin-1")
            response = Response(body, answer["status"], media_type=answer["kind"])
            if place := answer.get("place"):
                response.headers["Location"] = place
        response.headers[REPLAYED] = "true"
        return response


class _Attempt:
    """One request with a key: its body on the way to the endpoint."""

    def __init__(
        self,
        request: Request,
        asked: RepeatableRequest,
        begin: Callable[[RepeatableRequest, str], Awaitable[KeptRequest | None]],
    ) -> None:
        self.asked = asked
        self.said = ""
        self.begun = False
        self.known: KeptRequest | None = None
        self._receive: Receive = request.receive
        self._begin = begin
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        self._boundary = options.pop(b"boundary", b"") if kind.startswith(b"multipart/") else b""
        self._hash = hashlib.sha256(repr((request.scope["query_string"], kind, options)).encode())
        self._rest = b""

    async def receive(self) -> Message:
        """Return the next piece; before the last one, write the request down. Raises like `Idempotency._begin`."""
        message = await self._receive()
        if message["type"] == "http.request" and not self.begun:
            self._hear(message["body"], last=not message["more_body"])
            if not message["more_body"]:
                self.said = self._hash.hexdigest()
                self.known = await self._begin(self.asked, self.said)
                if self.known is not None:
                    raise _KnownAlready("this was answered before")
                self.begun = True
        return message

    def _hear(self, piece: bytes, *, last: bool) -> None:
        """Hash a piece of the body. A form without its boundary: that is another one each time it is sent."""
        if self._boundary:
            whole = (self._rest + piece).replace(self._boundary, b"")
            kept = 0 if last else min(len(self._boundary) - 1, len(whole))  # it may begin there
            piece, self._rest = whole[: len(whole) - kept], whole[len(whole) - kept :]
        self._hash.update(piece)


class _KnownAlready(ControllerError):
    """Stops an endpoint: its request was answered before."""


def _key_of(request: Request) -> str | None:
    given = request.headers.getlist(KEY)
    if not given:
        return None
    if len(given) > 1 or not re.fullmatch(KEY_PATTERN, given[0]):
        raise CallError(
            Code.invalid_params,
            f"{KEY} is not valid",
            next_step="give it once: 1 to 200 printable ASCII characters without spaces, such as a UUID",
        )
    return given[0]


def _answer_of(response: Response, *, secret: bool) -> KeptAnswer:
    if secret and response.status_code < 300:
        return {"secret": True}
    place = response.headers.get("location", "")
    kind = response.headers.get("content-type", "")
    if isinstance(response, FeedResponse):
        return {"operation": place.removeprefix(_OPERATION), "kind": kind.partition(";")[0]}
    return {
        "status": response.status_code,
        "kind": kind,
        "place": place,
        "body": bytes(response.body).decode("latin-1"),
    }
