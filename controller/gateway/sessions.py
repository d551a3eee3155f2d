"""Sessions of the page: a token is exchanged for a cookie that names it, signed with the store's key.

Nothing is kept of a session, so a restart logs nobody out; what it may do is what its token may at this moment, and
it ends with the token, after `IDLE`, or by logging out in that browser.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controller.errors import StoreError
from controller.gateway.admission import Admission, caller_of
from controller.gateway.limits import TOO_MANY, UNAUTHORIZED
from controller.gateway.refusing import guarded
from controller.http.failures import Refused
from controller.model.token import Token
from controller.page.sessions import CSRF_HEADER, LOGIN, LOGOUT, RENEW, STATIC, Session
from controller.store.atomic import write_atomic
from controller.store.layout import StoreLayout

IDLE = 12 * 3600
"""Seconds after which a session ends that nobody used."""
_RENEW_AFTER = 600
"""Seconds after which a session that is used is signed anew."""
_KEY_BYTES = 32
_SMALL = 4096
_SAFE = {"GET", "HEAD"}
_IN_PLACES = ":/%#?=@[]!$&'()*+,;"
"""What of a place to go to is not percent-encoded, as in starlette's redirects."""


class _Ticket(NamedTuple):
    """What a cookie says: the token's id, a number of its own, and when it was signed (epoch seconds)."""

    token: str
    nonce: str
    at: int


class Signer:
    """Signs tickets with a key that only the store's owner can read."""

    def __init__(self, key: bytes, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._now = now

    @classmethod
    def of(cls, layout: StoreLayout) -> Signer:
        """Return the signer of a store; its key is made when it is first needed. Raises StoreError."""
        path = layout.session_key
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = b""
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}", next_step="check its permissions") from None
        if len(key) != _KEY_BYTES:
            key = secrets.token_bytes(_KEY_BYTES)
            write_atomic(path, key, mode=0o600)
        return cls(key)

    def new(self, token: str) -> _Ticket:
        """Return the ticket of somebody who logged in just now."""
        return _Ticket(token, secrets.token_hex(8), int(self._now()))

    def renewed(self, ticket: _Ticket) -> _Ticket | None:
        """Return the ticket as of now, where it is worth it."""
        now = int(self._now())
        return ticket._replace(at=now) if abs(now - ticket.at) > _RENEW_AFTER else None

    def written(self, ticket: _Ticket) -> str:
        """Return a ticket as a cookie has it."""
        text = f"{ticket.token}.{ticket.nonce}.{ticket.at}"
        return f"{text}.{self._mac('session', text)}"

    def read(self, cookie: str) -> _Ticket | None:
        """Return the ticket of a cookie; None where it was not signed here, or is over."""
        text, _, mac = cookie.rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac("session", text).encode()):
            return None
        token, nonce, at = text.split(".")
        ticket = _Ticket(token, nonce, int(at))
        return ticket if abs(self._now() - ticket.at) < IDLE else None  # one of a clock that was ahead ends, too

    def csrf(self, ticket: _Ticket) -> str:
        """Return what the acts of a session have to send along."""
        return self._mac("csrf", f"{ticket.token}.{ticket.nonce}")

    def _mac(self, purpose: str, text: str) -> str:
        digest = hmac.new(self._key, f"{purpose}.{text}".encode("utf-8", "replace"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Sessions:
    """Lets people in to the page. `port`: part of the cookie's name, so that stations on one host keep theirs apart."""

    def __init__(self, page: ASGIApp, signer: Signer, admission: Admission, *, port: int, tls: bool) -> None:
        self._page = page
        self._signer = signer
        self._admission = admission
        self._tls = tls
        self._cookie = f"{'__Host-' if tls else ''}pvctl-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for the page. Raises Refused."""
        send = guarded(send)
        path, request = scope["path"], Request(scope, receive)
        if path.startswith(STATIC):
            await self._page(scope, receive, send)
            return
        if request.method not in _SAFE:
            _require_same_site(request)
        if path == LOGIN:
            await (
                self._log_in(scope, receive, send, request)
                if request.method == "POST"
                else self._page(scope, receive, send)
            )
            return
        ticket, token = self._ticket_of(request)
        if ticket is None or token is None:
            answer = _to_login(request, "ended" if ticket else "")
            if answer.status_code == UNAUTHORIZED:  # else somebody came who is to log in
                self._admission.refusals.count("unauthorized")
            await answer(scope, receive, send)
            return
        self._admission.count(token)
        if request.method not in _SAFE:
            self._require_csrf(request, ticket)
        scope["state"]["session"] = Session(caller_of(token), self._signer.csrf(ticket))
        renewing = self._renewing(send, self._signer.renewed(ticket))
        if path in {LOGOUT, RENEW}:
            await self._own(path, request)(scope, receive, renewing if path == RENEW else send)
            return
        await self._admission.inside(token, renewing, lambda told: self._page(scope, receive, told))

    def _ticket_of(self, request: Request) -> tuple[_Ticket | None, Token | None]:
        cookie = _cookies_of(request).get(self._cookie, "")
        ticket = self._signer.read(cookie) if cookie else None
        return ticket, (self._admission.by_id(ticket.token) if ticket else None)

    def _own(self, path: str, request: Request) -> Response:
        if path == RENEW:
            return Response(status_code=204)
        if request.method != "POST":
            raise Refused(405, f"{LOGOUT} has no {request.method}", next_step="use POST", headers={"Allow": "POST"})
        answer = _go(request, LOGIN)
        answer.delete_cookie(self._cookie, path="/", secure=self._tls, httponly=True, samesite="strict")
        return answer

    async def _log_in(self, scope: Scope, receive: Receive, send: Send, request: Request) -> None:
        form = await _form_of(request)
        after = form.get("next", "/")
        if not after.startswith("/") or after.startswith(("//", "/\\")):
            after = "/"
        token = self._admission.find(form.get("token", "").strip())
        if token is None:
            refusal = self._admission.refused(scope, "", "")
            self._admission.refusals.count("too_often" if refusal.status == TOO_MANY else "unauthorized")
            if refusal.status == TOO_MANY:
                await self._admission.keep_back(scope, refusal.status)
                await self._too_often(refusal, after, scope, receive, send)
                return
            await _to_login(request, "token", after)(scope, receive, send)
            return
        answer = _go(request, after)
        self._set(answer, self._signer.new(token.id))
        await answer(scope, receive, send)

    async def _too_often(self, refusal: Refused, after: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the form, which says so: whoever sits before it is a person."""
        query = urlencode({"refused": "often", "next": after}).encode()

        async def refusing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "status": refusal.status}
                MutableHeaders(scope=message).update(refusal.headers)
            await send(message)

        await self._page({**scope, "method": "GET", "query_string": query}, receive, refusing)

    def _set(self, answer: Response, ticket: _Ticket) -> None:
        answer.set_cookie(
            self._cookie, self._signer.written(ticket), max_age=IDLE, path="/", secure=self._tls, httponly=True,
            samesite="strict",
        )  # fmt: skip

    def _renewing(self, send: Send, ticket: _Ticket | None) -> Send:
        if ticket is None:
            return send
        carrier = Response()
        self._set(carrier, ticket)
        cookie = carrier.headers["set-cookie"]

        async def renewing(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        return renewing

    def _require_csrf(self, request: Request, ticket: _Ticket) -> None:
        given = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode("latin-1", "replace"), self._signer.csrf(ticket).encode()):
            raise Refused(403, f"{CSRF_HEADER} is not this session's", next_step="load the page again")


def _require_same_site(request: Request) -> None:
    """Raise Refused 403 where another site has the browser act."""
    fetched = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    foreign = origin is not None and origin.partition("://")[2] != host
    if foreign or fetched not in {None, "same-origin", "none"}:
        raise Refused(403, "another site asks for this", next_step="act on the station's own page")


def _to_login(request: Request, refused: str, after: str = "") -> Response:
    """Send somebody to the form: a browser by a redirect, htmx by its header; what cannot follow gets a 401."""
    after = after or (request.url.path if request.method == "GET" and "hx-request" not in request.headers else "/")
    query = "&".join(
        f"{key}={quote(value, safe='')}" for key, value in (("refused", refused), ("next", after)) if value
    )
    place = f"{LOGIN}?{query}"
    if "hx-request" in request.headers:
        return Response(status_code=UNAUTHORIZED, headers={"HX-Redirect": place})
    if "text/event-stream" in request.headers.get("accept", ""):
        return Response(status_code=UNAUTHORIZED)
    return RedirectResponse(place, 303)


def _go(request: Request, place: str) -> Response:
    place = quote(place, safe=_IN_PLACES)  # a browser takes "/\t/other" for another host
    if "hx-request" in request.headers:
        return Response(status_code=204, headers={"HX-Redirect": place})
    return RedirectResponse(place, 303)


async def _form_of(request: Request) -> dict[str, str]:
    """Return the fields of a small form. Raises Refused 413, 415."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Refused(415, "the form is not urlencoded", next_step="send application/x-www-form-urlencoded")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _SMALL:
            raise Refused(413, f"the form has more than {_SMALL} bytes")
    with suppress(ValueError):
        return dict(parse_qsl(body.decode("ascii"), max_num_fields=8))
    return {}


def _cookies_of(request: Request) -> dict[str, str]:
    with suppress(ValueError):
        return cookie_parser(request.headers.get("cookie", ""))
    return {}
