"""What is said to an adapter and what it answers: one request at a time over its pipes, each with its deadline."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from controller.errors import CallError, Code, ProtocolViolation
from controller.processes.attach import Attachment
from controller.processes.pipes import Pipes
from controller.wire.messages import CallFailed, Message, ShutdownAck, StartupError
from controller.wire.session import Session, State

Overdue = Callable[[], CallError]
"""Makes the error for an answer that did not come in time; most come."""

_CONVERSATION = secrets.token_hex(4)
_numbers = itertools.count(1)


def new_request_id() -> str:
    """Return an id that no earlier controller has used: late answers to those must not be taken for ours."""
    return f"{_CONVERSATION}-{next(_numbers)}"


class Conversation:
    """The conversation with one adapter, over the pipes of an attachment.

    `heard` is when, by the loop's clock, a sign of life came last. `on_fault` is called where the adapter broke the
    protocol, said that it cannot load, or missed a deadline; `on_idle` when a request has its answer, or will have
    none.
    """

    def __init__(
        self,
        attachment: Attachment,
        *,
        adopted: bool,
        on_fault: Callable[[CallError], None],
        on_idle: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._session = Session(adopted=adopted)
        self._on_fault = on_fault
        self._on_idle = on_idle
        self._awaited: asyncio.Future[Message] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._pipes = Pipes(attachment.stdin, attachment.stdout, self._receive)
        self.heard = self._loop.time()

    @property
    def greeted(self) -> bool:
        """Whether the adapter's hello has arrived."""
        return self._session.state is not State.SPAWNED

    @property
    def under_way(self) -> bool:
        """Whether an answer is awaited, also where whoever asked has left."""
        return self._awaited is not None

    @property
    def broken_off(self) -> bool:
        """Whether a message has arrived in part."""
        return bool(self._session.pending)

    # What is said. Each returns at once; the answer, or the error instead of it, is put into the future.

    def hello(self, overdue: Overdue) -> asyncio.Future[Message]:
        """Wait for what a new adapter says first."""
        return self._await(None, overdue)

    def greet(self, heartbeat_interval_ms: int, grace_ms: int) -> None:
        self._pipes.write(self._session.hello(heartbeat_interval_ms, grace_ms))

    def ping(self, timeout: float | None, overdue: Overdue) -> asyncio.Future[Message]:
        """Ask for a sign of life; a fault after `timeout` seconds (None: whoever asks has a deadline of its own)."""
        self._pipes.write(self._session.ping(new_request_id()))
        return self._await(timeout, overdue)

    def call(
        self, request_id: str, data: Mapping[str, Any], timeout: float, overdue: Overdue, patience: float
    ) -> asyncio.Future[Message]:
        """Call the algorithm; a fault after `timeout` seconds. After `patience` only the caller leaves (1005).

        Raises:
            CallError: 1003, the data cannot be sent; then nothing was.
        """
        self._pipes.write(self._session.call(request_id, data))
        return self._await(timeout, overdue, patience)

    def shutdown(self) -> None:
        """Ask the adapter to end."""
        self._pipes.write(self._session.shutdown())

    def _await(
        self, timeout: float | None, overdue: Overdue, patience: float = float("inf")
    ) -> asyncio.Future[Message]:
        awaited = self._awaited = self._loop.create_future()
        if timeout is not None:
            self._timers.append(self._loop.call_later(timeout, lambda: self._on_fault(overdue())))
            if patience < timeout:
                self._timers.append(self._loop.call_later(patience, _leave, awaited, patience))
        return awaited

    # What is heard.

    def drain(self) -> None:
        """Hear everything that has arrived by now."""
        self._pipes.drain()

    def _receive(self, data: bytes) -> None:
        self.heard = self._loop.time()
        try:
            messages = self._session.receive(data)
        except ProtocolViolation as violation:
            self._on_fault(CallError(Code.stdout_contaminated, violation.message, next_step=violation.next_step))
            return
        for message in messages:
            if isinstance(message, StartupError):
                self._on_fault(CallError(Code.not_initialized, message.message or "it said no reason"))
            elif not isinstance(message, ShutdownAck):
                self._conclude(message)

    def _conclude(self, message: Message) -> None:
        awaited = self._stop_awaiting()
        if awaited is not None and not awaited.done():
            awaited.set_result(message)

    def _stop_awaiting(self) -> asyncio.Future[Message] | None:
        awaited, self._awaited = self._awaited, None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._on_idle()
        return awaited

    def close(self, error: CallError) -> None:
        """Let go of the pipes; whoever awaits an answer is told `error`."""
        self._pipes.close()
        awaited = self._stop_awaiting()
        if awaited is not None and not awaited.done():
            awaited.set_exception(error)


_ADAPTERS_OWN = {Code.unknown, Code.not_initialized, Code.execute_exception, Code.stdout_contaminated}
"""The codes that the SDK's adapter gives. Every other one would blame somebody else: the caller, or this controller."""


def failure_of(answer: CallFailed) -> CallError:
    """Return the error that an `error` frame stands for; the message is the algorithm's own.

    What a call came to is this controller's to say: an algorithm that answers 1003 has failed (1009) and has not
    refused its caller's parameters. Its own code is told in the details.
    """
    details: dict[str, Any] = {"traceback": list(answer.traceback)} if answer.traceback else {}
    try:
        code = Code(int(answer.error_code))
    except ValueError:
        code = Code.unknown
    if code >= Code.invalid_zip:
        code = Code.unknown
    elif code not in _ADAPTERS_OWN:
        code, details = Code.execute_exception, {**details, "algorithm_code": answer.error_code}
    return CallError(code, answer.message or "the algorithm failed without a message", details=details)


def _leave(awaited: asyncio.Future[Message], patience: float) -> None:
    if not awaited.done():
        awaited.set_exception(
            CallError(
                Code.timeout,
                f"no answer within the {patience:.3g} s that the caller waits",
                next_step="raise the request's timeout",
                details={"caller_timeout": True},
            )
        )
