"""Who is let in: by a bearer token, or by a session that a token opened; and the end of what is let in no longer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.types import Message, Scope, Send

from controller.errors import StoreError
from controller.gateway.limits import Buckets, Limits, Penalty, too_often
from controller.gateway.refusals import Refusals
from controller.host.listening import network_of
from controller.http.failures import Refused
from controller.model.token import Token
from controller.station.port import Access, Caller
from controller.store.known_tokens import KnownTokens

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.25
"""Seconds between two looks whether what was let in still is: a revoked token's streams end."""
READS = {"GET", "HEAD"}
_SCHEME = "bearer "


def caller_of(token: Token) -> Caller:
    """Return who comes with a token."""
    return Caller(f"token:{token.name}", Access[token.role], granted=token.recordings)


def address_of(scope: Scope) -> str:
    """Return what counts as one peer of a request."""
    client = scope.get("client")
    return network_of(client[0]) if client else ""


class Admission:
    """Lets requests in by the tokens of one store. `refusals` counts what is not let in, `penalty` keeps it back."""

    def __init__(self, tokens: KnownTokens, limits: Limits, refusals: Refusals) -> None:
        self.tokens = tokens
        self.refusals = refusals
        self.penalty = Penalty(limits)
        self._of_token = Buckets(limits.requests_of_token)
        self._reads = Buckets(limits.reads_of_token)
        self._of_address = Buckets(limits.requests_of_address)
        self._refused_tokens = Buckets(limits.refusals_of_token)
        self._refused_addresses = Buckets(limits.refusals_of_address)
        self._inside: dict[asyncio.Task[None], str] = {}
        self._ended: set[asyncio.Task[None]] = set()
        self._trouble = ""
        """Why nobody is let in, as it was logged."""

    def greet(self, scope: Scope) -> None:
        """Count a request of an address. Raises Refused 429: it comes too often."""
        if wait := self._of_address.take(address_of(scope)):
            raise too_often("requests from this address", wait)

    def by_bearer(self, scope: Scope) -> Token:
        """Return the token that a request brings.

        Raises:
            Refused: 401, it brings none that is valid; 429, the token is used too often.
        """
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        text = given[0].decode("latin-1") if len(given) == 1 else ""
        if not text.lower().startswith(_SCHEME):
            raise self.refused(scope, "a token is needed", "")
        token = self.find(text[len(_SCHEME) :].strip())
        if token is None:
            raise self.refused(
                scope, "the token is not accepted: unknown, revoked or expired", ', error="invalid_token"'
            )
        if scope["method"] in READS and (wait := self._reads.take(token.id)):  # a status takes longer than a call
            raise too_often(f"questions with the token {token.name!r}", wait)
        self.count(token)
        return token

    def count(self, token: Token) -> None:
        """Count a request of a token. Raises Refused 429."""
        if wait := self._of_token.take(token.id) or self._refused_tokens.wait(token.id):
            raise too_often(f"requests with the token {token.name!r}", wait)

    def find(self, text: str) -> Token | None:
        """Return the valid token with a text; nobody is let in while the tokens cannot be read."""
        try:
            found = self.tokens.find(text)
        except StoreError as error:
            if self._trouble != str(error):  # once, however often a stranger asks
                self._trouble = str(error)
                log.error("nobody is let in: %s", error)  # noqa: TRY400 - an operator's error, not a defect
            return None
        self._trouble = ""
        return found

    def by_id(self, identity: str) -> Token | None:
        """Return the valid token with an id; see `find`."""
        try:
            return self.tokens.by_id(identity)
        except StoreError:
            return None

    def refused(self, scope: Scope, why: str, more: str) -> Refused:
        """Return the refusal of a request without a valid token, and count it: 401, or 429 where it is one of many.

        Whoever has a valid token is let in all the same: others may share the address.
        """
        if wait := self._refused_addresses.take(address_of(scope)):
            return too_often("requests without a valid token from this address", wait)
        return Refused(
            401, why,
            next_step="send `Authorization: Bearer TOKEN`; `pvctl token create` on the station makes one",
            headers={"WWW-Authenticate": f'Bearer realm="procvision"{more}'},
        )  # fmt: skip

    async def keep_back(self, scope: Scope, status: int) -> None:
        """Wait until a refusal is to be told."""
        await self.penalty.pass_by(address_of(scope), status)

    async def inside(self, token: Token, send: Send, work: Callable[[Send], Awaitable[None]]) -> None:
        """Do the work of a request that was let in by a token; ended when the token is valid no longer."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        told = _Told(send, lambda: self._forbidden(token))
        self._inside[task] = token.id
        try:
            await work(told)
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            await told.finish()
        finally:
            self._ended.discard(task)
            del self._inside[task]

    def _forbidden(self, token: Token) -> None:
        """Count that a token asked for what its role may not do."""
        self._refused_tokens.take(token.id)
        self.refusals.count("forbidden")

    async def watch(self) -> None:
        """End what was let in by tokens that are revoked or expired, for ever."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            for task, identity in tuple(self._inside.items()):
                if task not in self._ended and self.by_id(identity) is None:
                    self._ended.add(task)
                    task.cancel()


class _Told:
    """Passes an answer on; knows whether it may still be finished, and counts refusals for want of access."""

    def __init__(self, send: Send, on_forbidden: Callable[[], object]) -> None:
        self._send = send
        self._on_forbidden = on_forbidden
        self._goes_on = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] == 403:
                self._on_forbidden()
            self._goes_on = not any(name == b"content-length" for name, _ in message["headers"])
        elif not message.get("more_body", False):
            self._goes_on = False
        await self._send(message)

    async def finish(self) -> None:
        """End an answer that would have gone on; any other is cut off."""
        if self._goes_on:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
