"""Requests to an ASGI application in the same process."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.waiting import HANGS


@dataclass
class Reply:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        packed = self.headers.get("content-encoding") == "gzip"
        return (gzip.decompress(self.body) if packed else self.body).decode()


async def ask(
    app: Any, path: str, *, form: dict[str, str] | None = None, headers: dict[str, str] | None = None,
    until: str | None = None,
) -> Reply:  # fmt: skip
    """Return the answer; with `until`, what came of a stream when this text was in it."""
    target, _, query = path.partition("?")
    content = urlencode(form).encode() if form is not None else b""
    sent = {"host": "station", **(headers or {})}
    if form is not None:
        sent["content-type"] = "application/x-www-form-urlencoded"
    scope = {
        "type": "http", "method": "GET" if form is None else "POST", "path": target, "raw_path": target.encode(),
        "query_string": query.encode(), "headers": [(k.encode(), v.encode()) for k, v in sent.items()],
        "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("station", 80), "state": {},
        "asgi": {"version": "3.0", "spec_version": "2.4"},
    }  # fmt: skip
    reply, enough = Reply(), asyncio.Event()
    asked = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if asked:
            return asked.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        else:
            reply.body += message.get("body", b"")
            if until is not None and until.encode() in reply.body:
                enough.set()

    answering = asyncio.create_task(app(scope, receive, send))
    if until is None:
        await answering
        return reply
    waiting = asyncio.create_task(enough.wait())
    async with asyncio.timeout(HANGS):
        await asyncio.wait({answering, waiting}, return_when=asyncio.FIRST_COMPLETED)
    for task in (answering, waiting):
        task.cancel()
    await asyncio.gather(answering, waiting, return_exceptions=True)
    assert until.encode() in reply.body
    return reply
