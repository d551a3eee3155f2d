"""Reading request bodies: bounded one by one and all together, because images wait in record for their turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar, cast

from starlette.requests import ClientDisconnect, Request

from controller.errors import CallError, Code
from controller.http.failures import CLOSE, Refused
from controller.http.landing import IncomingForm, LandedForm
from controller.http.whole_body import LARGE, RECEIVE, Buffers, WholeBody
from controller.images.uploads import Uploads

MIB = 1024 * 1024
_FORM = "multipart/form-data"
_Body = TypeVar("_Body")


class BodyLimits:
    """The bounds for bodies: `each` and `total` bytes, and `patience` seconds for one to arrive.

    `each` fits two pictures of the largest size that the runner takes. `uploads`: where pictures of forms may land.
    """

    def __init__(self, each: int = 640 * MIB, total: int = 1024 * MIB, patience: float = 60.0) -> None:
        self.each = each
        self.total = total
        self.patience = patience
        self.held = 0
        self.buffers = Buffers()
        self.uploads: Uploads | None = None

    def body(self, request: Request) -> HeldBody[bytes | bytearray]:
        """Return a context in which the request's body is held and counted."""
        return HeldBody(self, request, self._whole)

    def form(self, request: Request) -> HeldBody[bytes | bytearray | LandedForm]:
        """Return the same for a body that may be a form with pictures, of which one may land where it is read."""
        kind, uploads = request.headers.get("content-type", ""), self.uploads
        if uploads is None or not kind.startswith(_FORM):
            return HeldBody(self, request, self._whole)
        return HeldBody(self, request, lambda size: IncomingForm(size, kind, self.buffers, uploads))

    def _whole(self, size: int) -> WholeBody:
        return WholeBody(size, self.buffers)


class HeldBody(Generic[_Body]):
    """`async with` reads the body; leaving gives its bytes back to the bounds.

    Entering raises Refused (413, 408), CallError (1011: too much waits already) or ClientDisconnect.
    """

    def __init__(
        self, limits: BodyLimits, request: Request, receiver: Callable[[int], WholeBody | IncomingForm]
    ) -> None:
        self._limits = limits
        self._request = request
        self._receiver = receiver
        self._counted = 0
        self._incoming: WholeBody | IncomingForm | None = None
        self.left = False
        """Whether its caller left before the answer."""

    async def __aenter__(self) -> _Body:
        patience = self._limits.patience
        try:
            announced = self._request.headers.get("content-length", "")
            if announced.isdecimal():
                self._count(int(announced))
            async with asyncio.timeout(patience):
                return cast("_Body", await self._read())
        except TimeoutError:
            self._release()
            raise Refused(408, f"the request did not arrive within {patience:g} s", headers=CLOSE) from None
        except BaseException:
            self._release()
            raise

    async def _read(self) -> bytes | bytearray | LandedForm:
        receive = self._request.scope.get(RECEIVE)
        if receive is not None and self._counted >= LARGE:  # counted so far is what was announced
            incoming = self._incoming = self._receiver(self._counted)
            if await receive(incoming):
                return incoming.result()
        chunks: list[bytes] = []
        arrived, more = 0, True
        while more:
            message = await self._request.receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            chunks.append(message["body"])
            arrived += len(message["body"])
            self._count(arrived)
            more = message["more_body"]
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _count(self, size: int) -> None:
        """Count the body as `size` bytes where it was counted as fewer."""
        limits, more = self._limits, size - self._counted
        if more <= 0:
            return
        if size > limits.each:
            raise Refused(
                413,
                f"the request has more than {limits.each / MIB:.3g} MiB",
                next_step="on this machine, pass large images by image_ref",
                headers=CLOSE,
            )
        if limits.held + more > limits.total:
            raise CallError(
                Code.busy,
                f"requests of {limits.held / MIB:.0f} MiB wait already",
                next_step="call again later, or pass images by image_ref",
            )
        limits.held += more
        self._counted = size

    def _release(self, *, answered: bool = False) -> None:
        self._limits.held -= self._counted
        self._counted = 0
        if self._incoming is not None:
            self._incoming.end(answered=answered)
            self._incoming = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release(answered=error is None and not self.left)
