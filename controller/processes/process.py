"""One algorithm process as the attached controller sees it: proven, called, ended. All on one event loop.

The adapter is serial: who has the turn may call, one call at a time. A process that broke the protocol, missed a
deadline or ended is of no use any more; the cure is another one, started by whoever decides that.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import secrets
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from controller.errors import CallError, Code, ProtocolViolation
from controller.images.slots import Slots
from controller.model.observed import ProcessKey, ProcessState
from controller.processes import records
from controller.processes.attach import Attachment, ShimGone
from controller.processes.call_lock import CallLock, Overdue
from controller.processes.pipes import Pipes
from controller.processes.records import Exit, ProcessRecord, Readiness
from controller.processes.spec import ProcessSpec
from controller.wire.messages import CallFailed, Hello, Message, Result, ShutdownAck, StartupError
from controller.wire.session import Session, State

if TYPE_CHECKING:
    from controller.processes.usage import Usage

_REPORT = 2.0
"""Seconds that a shim may take to say how an adapter ended that is known to have ended."""
_UNKILLABLE = 10.0
"""Seconds beyond all grace after which a process that SIGKILL does not end is given up on."""
_CONVERSATION = secrets.token_hex(4)
_numbers = itertools.count(1)

Cause = Literal["itself", "heartbeat", "memory"]
"""Why a process ended or is being ended: by itself (or a call's deadline), a missed pong, too much memory."""


def new_request_id() -> str:
    """Return an id that no earlier controller has used: late answers to those must not be taken for ours."""
    return f"{_CONVERSATION}-{next(_numbers)}"


class AlgorithmProcess:
    """An adapter that we are attached to.

    `heard` is when, by the loop's clock, it last gave a sign of life; `usage` what it used when it was last measured
    (None: never). `on_exit` is called once, when the process has ended. `exited` has its exit then (None: nobody saw
    it).
    """

    def __init__(self, attachment: Attachment, slots: Slots, *, adopted: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._attachment = attachment
        self._session = Session(adopted=adopted)
        self._awaiting: asyncio.Future[Message] | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._turn_ends_with_answer = False
        self._report: asyncio.TimerHandle | None = None
        self._shim_gone = False
        self._released = False
        self._ending: asyncio.Task[None] | None = None
        self.record: ProcessRecord = attachment.record
        self.spec: ProcessSpec = attachment.record.spec
        self.ready: Readiness | None = attachment.record.ready
        self.slots = slots
        self.turns = CallLock()
        self._broken: CallError | None = None
        self.draining = False
        self.usage: Usage | None = None
        self.heard = self._loop.time()
        self.exited: asyncio.Future[Exit | None] = self._loop.create_future()
        self.on_exit: Callable[[AlgorithmProcess], None] = lambda _: None
        attachment.link.on_exit = self._on_report
        self._loop.add_reader(attachment.pidfd, self._on_end)
        self._pipes = Pipes(attachment.stdin, attachment.stdout, self._receive)

    @property
    def key(self) -> ProcessKey:
        return self.spec.key

    @property
    def os_pid(self) -> int:
        return self.record.adapter.os_pid

    @property
    def greeted(self) -> bool:
        """Whether its hello has arrived."""
        return self._session.state is not State.SPAWNED

    @property
    def failure(self) -> CallError | None:
        """What made it useless; None where it is of use."""
        return self._broken

    @property
    def cause(self) -> Cause:
        """Why it is of no use any more, for who counts ends."""
        details = self._broken.details if self._broken else {}
        return "heartbeat" if "missed_pong" in details else "memory" if "rss_bytes" in details else "itself"

    @property
    def detail(self) -> str:
        """Why it is of no use any more; empty where it is."""
        return self._broken.message if self._broken else ""

    @property
    def state(self) -> ProcessState:
        if self.exited.done():
            return "exited"
        if self._broken is not None:
            return "broken"
        if self.draining:
            return "draining"
        if self.ready is None:
            return "starting"
        return "busy" if self.turns.taken else "ready"

    # Proving it.

    async def greet(self) -> Readiness:
        """Wait for the hello, answer it, and return when a pong has proven that the algorithm is loaded.

        To be called at once after construction; the deadline is the caller's matter.

        Raises:
            CallError: it said that it cannot load, ended, or spoke garbage.
        """
        hello = cast(Hello, await self._await(None, self._late))  # what the session's table allows here
        if self._broken is not None:  # it said at once that it cannot load, before this line was reached
            raise self._broken
        self._pipes.write(self._session.hello(self.spec.heartbeat_interval_ms, self.spec.grace_ms))
        await self._ping(None)
        self.ready = Readiness(hello.sdk_version, hello.generation)
        return self.ready

    async def reconnect(self, timeout: float) -> None:
        """Prove a process that another controller left behind: read what it left unread, then ping.

        Raises:
            CallError: 1006, no pong within `timeout` seconds; the process is being ended then.
        """
        self._pipes.drain()
        await self._ping(timeout)

    async def ping(self, timeout: float) -> None:
        """Have the idle process give a sign of life; the turn is the caller's. Raises CallError like `reconnect`."""
        self._require_usable()
        await self._ping(timeout)

    async def _ping(self, timeout: float | None) -> None:
        self._pipes.write(self._session.ping(new_request_id()))
        await self._await(timeout, self._silent)

    def _silent(self) -> CallError:
        text = f"{self.key} did not answer a ping in time"
        return CallError(Code.heartbeat_lost, text, details={"missed_pong": True})

    def condemn(self, error: CallError) -> None:
        """Have the process ended at once with all that it started; `error` is what its callers are told."""
        self._break(error)

    async def mark(self, spec: ProcessSpec) -> None:
        """Record the process as proven, and its spec. Raises ShimGone."""
        about = records.about(spec, self.record.started_at, self.ready)
        await self._attachment.link.request(f"mark {json.dumps(about)}")
        self.spec = spec
        self.record = replace(self.record, spec=spec, ready=self.ready)

    # Calling it.

    async def take_turn(self, patience: float, overdue: Overdue) -> None:
        """Wait for the caller's turn. Raises what `overdue` makes after `patience` seconds, 1006 if it is of no use."""
        self._require_usable()
        await self.turns.take(patience, overdue)
        if self._broken is not None:
            self.turns.give()
            self._require_usable()

    def give_turn(self) -> None:
        """End the turn: now, or where its caller left early, when the adapter has answered."""
        if self._awaiting is None:
            self.turns.give()
        else:
            self._turn_ends_with_answer = True

    async def call(self, request_id: str, data: Mapping[str, Any], timeout: float, patience: float) -> Result:
        """Call the algorithm and return its answer; the turn is the caller's.

        After `timeout` seconds the process is ended. A caller with less `patience` leaves earlier, and nothing else
        happens for that.

        Raises:
            CallError: 1005 no answer in time, 1006 the process ended, 1010 it spoke garbage, 1003 the arguments
                cannot be sent, or what the algorithm's own `error` frame says.
        """
        self._require_usable()
        frame = self._session.call(request_id, data)
        self._pipes.write(frame)
        answer = await self._await(timeout, self._late, patience)
        if isinstance(answer, CallFailed):
            raise failure_of(answer)
        return cast(Result, answer)  # what the session's table allows here

    def _late(self) -> CallError:
        return CallError(
            Code.timeout,
            f"{self.key} did not answer within {self.spec.call_timeout:g} s",
            next_step="it is being replaced; see spec.timeouts.call and `pvctl logs`",
        )

    def _await(
        self, timeout: float | None, overdue: Overdue, patience: float = float("inf")
    ) -> asyncio.Future[Message]:
        """Return what the next accepted message is put into; after `timeout` the process breaks with `overdue`."""
        awaiting = self._awaiting = self._loop.create_future()
        if timeout is not None:
            self._timers.append(self._loop.call_later(timeout, lambda: self._break(overdue())))
            if patience < timeout:
                self._timers.append(self._loop.call_later(patience, _leave, awaiting, patience))
        return awaiting

    def _require_usable(self) -> None:
        if self._broken is not None:
            raise CallError(
                Code.heartbeat_lost, f"{self.key} is of no use: {self.detail}", next_step="it has to be started again"
            )

    # What comes from it.

    def _receive(self, data: bytes) -> None:
        self.heard = self._loop.time()
        try:
            messages = self._session.receive(data)
        except ProtocolViolation as violation:
            self._break(CallError(Code.stdout_contaminated, violation.message, next_step=violation.next_step))
            return
        for message in messages:
            if isinstance(message, StartupError):
                self._break(CallError(Code.not_initialized, message.message or "it said no reason"))
            elif not isinstance(message, ShutdownAck):
                self._conclude(message)

    def _conclude(self, message: Message) -> None:
        awaiting = self._stop_awaiting()
        if awaiting is not None and not awaiting.done():
            awaiting.set_result(message)

    def _stop_awaiting(self) -> asyncio.Future[Message] | None:
        awaiting, self._awaiting = self._awaiting, None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._turn_ends_with_answer:
            self._turn_ends_with_answer = False
            self.turns.give()
        return awaiting

    def _break(self, error: CallError) -> None:
        """Note why the process is of no use, tell everybody who waits, and have it ended."""
        if self._broken is not None:
            return
        self._broken = error
        self._pipes.close()
        awaiting = self._stop_awaiting()
        if awaiting is not None and not awaiting.done():
            awaiting.set_exception(error)
        self.turns.fail(error)
        if not self.exited.done():
            self._ending = self._loop.create_task(self.end(0))

    # Its end.

    def _on_end(self) -> None:
        """The pidfd says that the adapter has ended. How, the shim says."""
        self._loop.remove_reader(self._attachment.pidfd)
        self._pipes.drain()
        if self._shim_gone:
            self._finish(None)
        else:
            self._report = self._loop.call_later(_REPORT, self._finish, None)

    def _on_report(self, ended: Exit | None) -> None:
        """The shim reports how the adapter ended; or it is gone itself, and then the kernel ends the adapter."""
        self._shim_gone = ended is None
        if ended is not None or self._report is not None:
            self._finish(ended)
        else:
            self._report = self._loop.call_later(_REPORT, self._kill)

    def _kill(self) -> None:
        with suppress(OSError):  # it has ended
            signal.pidfd_send_signal(self._attachment.pidfd, signal.SIGKILL)
        self._finish(None)

    def _finish(self, ended: Exit | None) -> None:
        if self.exited.done():
            return
        if self._report is not None:
            self._report.cancel()
        self._pipes.drain()
        self._loop.remove_reader(self._attachment.pidfd)
        self.record = replace(self.record, exit=ended)
        self.exited.set_result(ended)
        where = " in the middle of a message" if self._session.pending else ""
        self._break(CallError(Code.heartbeat_lost, f"the process ended ({ended or 'killed with its shim'}){where}"))
        self.on_exit(self)

    async def end(self, grace: float) -> None:
        """Have the process ended with all that it started: SIGTERM, after `grace` seconds SIGKILL (0: at once).

        Returns when its shim has ended too.
        """
        with suppress(ShimGone):  # then the kernel is ending the adapter
            await self._attachment.link.request(f"terminate {grace}")
        with suppress(TimeoutError):  # it waits for a device and cannot even be killed; there is nothing left to do
            await asyncio.wait_for(asyncio.shield(self.exited), 2 * grace + _UNKILLABLE)
        await asyncio.wait([self._attachment.link.closed], timeout=_REPORT)

    async def wait_ended(self) -> None:
        """Wait until a process that broke has ended."""
        if self._ending is not None:
            await self._ending

    async def stop(self, drain: float) -> None:
        """Let the present call finish within `drain` seconds, ask the adapter to end, and end it where it does not."""
        self.draining = True
        with suppress(CallError):  # it is of no use, or the call goes on for too long: both end now
            await self.take_turn(drain, lambda: CallError(Code.busy, "still busy"))
            self._pipes.write(self._session.shutdown())
            await asyncio.wait([self.exited], timeout=self.spec.stop_grace)
        await self.end(self.spec.stop_grace)

    def release(self) -> None:
        """Give the pipes back. Unless it has ended, the process goes on for who attaches next.

        What became of a call under way is then unknown, and its caller is told so.
        """
        self._pipes.close()
        awaiting = self._stop_awaiting()
        if awaiting is not None and not awaiting.done():
            awaiting.set_exception(
                CallError(Code.unknown, f"the controller stopped while {self.key} worked on the call")
            )
        if self._report is not None:
            self._report.cancel()
        self._attachment.link.on_exit = lambda _: None
        self._attachment.link.close()
        if not self._released:
            self._released = True
            self._loop.remove_reader(self._attachment.pidfd)
            os.close(self._attachment.pidfd)
        self.slots.close()


def failure_of(answer: CallFailed) -> CallError:
    """Return the error that an `error` frame stands for; the message is the algorithm's own."""
    try:
        code = Code(int(answer.error_code))
    except ValueError:
        code = Code.unknown
    if code >= Code.invalid_zip:
        code = Code.unknown
    return CallError(code, answer.message or "the algorithm failed without a message")


def _leave(awaiting: asyncio.Future[Message], patience: float) -> None:
    if not awaiting.done():
        awaiting.set_exception(
            CallError(
                Code.timeout,
                f"no answer within the {patience:.3g} s that the caller waits",
                next_step="raise the request's timeout",
                details={"caller_timeout": True},
            )
        )
