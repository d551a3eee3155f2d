"""One algorithm process as the attached controller sees it: proven, called, ended. All on one event loop.

Who holds its call lock may call, one call at a time. A process that broke the protocol, missed a deadline or ended is
of no use any more; the cure is another one, started by whoever decides that.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from controller.errors import CallError, Code
from controller.host.identity import send_signal
from controller.images.slots import Slots
from controller.model.observed import ProcessKey, ProcessState
from controller.processes import records
from controller.processes.attach import Attachment, ShimGone
from controller.processes.call_lock import CallLock
from controller.processes.conversation import Conversation, failure_of
from controller.processes.exit_watch import ExitWatch
from controller.processes.records import Exit, ProcessRecord, Readiness
from controller.processes.spec import ProcessSpec
from controller.wire.messages import CallFailed, Hello, Result

if TYPE_CHECKING:
    from controller.processes.usage import Usage

_HEEDED = 2.0
"""Seconds that a shim may take to say that it ends its adapter; then both are killed."""
_LAST_WORDS = 2.0
"""Seconds that a shim may take to end after its adapter."""
_UNKILLABLE = 10.0
"""Seconds beyond all grace after which a process that SIGKILL does not end is given up on."""

Cause = Literal["itself", "heartbeat", "memory"]
"""Why a process ended or is being ended: by itself (or a call's deadline), a missed pong, too much memory."""


class AlgorithmProcess:
    """An adapter that we are attached to.

    `usage` is what it used when it was last measured (None: never). `on_exit` is called once, when the process has
    ended. `exited` has its exit then (None: nobody saw it).
    """

    def __init__(self, attachment: Attachment, slots: Slots, *, adopted: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._attachment = attachment
        self._released_by_answer = False
        self._ending: asyncio.Task[None] | None = None
        self.record: ProcessRecord = attachment.record
        self.spec: ProcessSpec = attachment.record.spec
        self.ready: Readiness | None = attachment.record.ready
        self.slots = slots
        self.call_lock = CallLock()
        self._broken: CallError | None = None
        self.draining = False
        self.usage: Usage | None = None
        self.exited: asyncio.Future[Exit | None] = self._loop.create_future()
        self.on_exit: Callable[[AlgorithmProcess], None] = lambda _: None
        self._conversation = Conversation(
            attachment, adopted=adopted, on_fault=self._break, on_idle=self._release_by_answer
        )
        self._exit_watch = ExitWatch(attachment, on_end=self._conversation.drain, on_exit=self._exited)

    @property
    def key(self) -> ProcessKey:
        return self.spec.key

    @property
    def os_pid(self) -> int:
        return self.record.adapter.os_pid

    @property
    def heard(self) -> float:
        """When, by the loop's clock, it last gave a sign of life."""
        return self._conversation.heard

    @property
    def greeted(self) -> bool:
        """Whether its hello has arrived."""
        return self._conversation.greeted

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
        return "busy" if self.call_lock.held else "ready"

    # Proving it.

    async def greet(self) -> Readiness:
        """Wait for the hello, answer it, and return when a pong has proven that the algorithm is loaded.

        To be called at once after construction; the deadline is the caller's matter.

        Raises:
            CallError: it said that it cannot load, ended, or spoke garbage.
        """
        hello = cast(Hello, await self._conversation.hello(self._late))  # what the session's table allows here
        if self._broken is not None:  # it said at once that it cannot load, before this line was reached
            raise self._broken
        self._conversation.greet(self.spec.heartbeat_interval_ms, self.spec.grace_ms)
        await self._conversation.ping(None, self._silent)
        self.ready = Readiness(hello.sdk_version, hello.generation)
        return self.ready

    async def reconnect(self, timeout: float) -> None:
        """Prove a process that another controller left behind: read what it left unread, then ping.

        Raises:
            CallError: 1006, no pong within `timeout` seconds; the process is being ended then.
        """
        self._conversation.drain()
        await self._conversation.ping(timeout, self._silent)

    async def ping(self, timeout: float) -> None:
        """Have the idle process give a sign of life.

        Raises:
            CallError: 1011, it is at work; 1006, no pong within `timeout` seconds: it is being ended then.
        """
        async with self.exclusively(0):
            await self._conversation.ping(timeout, self._silent)

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

    @asynccontextmanager
    async def exclusively(self, patience: float) -> AsyncIterator[None]:
        """Hold the call lock, ahead of every queued call: for whoever has this very process in mind, one at a time.

        Raises:
            CallError: 1011, it was not free within `patience` seconds; 1006, the process is of no use.
        """
        self._require_usable()
        if not await self.call_lock.acquire(patience):
            raise CallError(
                Code.busy,
                f"{self.key} was busy for {patience:g} s",
                next_step="call again, or raise spec.replicas",
                details={"retry_after": patience},
            )
        try:
            self._require_usable()
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Give the call lock back: now, or where its holder leaves early, when the adapter has answered."""
        if self._conversation.under_way:
            self._released_by_answer = True
        else:
            self.slots.let_go()
            self.call_lock.release()

    def _release_by_answer(self) -> None:
        if self._released_by_answer:
            self._released_by_answer = False
            self.slots.let_go()
            self.call_lock.release()

    async def call(self, request_id: str, data: Mapping[str, Any], timeout: float, patience: float) -> Result:
        """Call the algorithm and return its answer; the caller holds the call lock.

        After `timeout` seconds the process is ended. A caller with less `patience` leaves earlier, and nothing else
        happens for that.

        Raises:
            CallError: 1005 no answer in time, 1006 the process ended, 1010 it spoke garbage, 1003 the arguments
                cannot be sent, or what the algorithm's own `error` frame says.
        """
        self._require_usable()
        answer = await self._conversation.call(request_id, data, timeout, self._late, patience)
        if isinstance(answer, CallFailed):
            raise failure_of(answer)
        return cast(Result, answer)  # what the session's table allows here

    def _late(self) -> CallError:
        return CallError(
            Code.timeout,
            f"{self.key} did not answer within {self.spec.call_timeout:g} s",
            next_step="it is being replaced; see spec.timeouts.call and `pvctl logs`",
        )

    def _require_usable(self) -> None:
        if self._broken is not None:
            raise CallError(
                Code.heartbeat_lost, f"{self.key} is of no use: {self.detail}", next_step="it has to be started again"
            )

    # Its end.

    def _break(self, error: CallError) -> None:
        """Note why the process is of no use, tell whoever waits for its answer, and have it ended."""
        if self._broken is not None:
            return
        self._broken = error
        self._conversation.close(error)
        if not self.exited.done():
            self._ending = self._loop.create_task(self.end(0))

    def _exited(self, ended: Exit | None) -> None:
        self.record = replace(self.record, exit=ended)
        self.exited.set_result(ended)
        where = " in the middle of a message" if self._conversation.broken_off else ""
        self._break(CallError(Code.heartbeat_lost, f"the process ended ({ended or 'killed with its shim'}){where}"))
        self.on_exit(self)

    async def end(self, grace: float) -> None:
        """Have the process ended with all that it started: SIGTERM, after `grace` seconds SIGKILL (0: at once).

        Returns when its shim has ended too.
        """
        try:
            async with asyncio.timeout(_HEEDED):
                await self._attachment.link.request(f"terminate {grace}")
        except (ShimGone, TimeoutError):  # it is dead, and the kernel ends the adapter; or it stands still
            for each in (self.record.shim, self.record.adapter):
                send_signal(each, signal.SIGKILL)
        with suppress(TimeoutError):  # it waits for a device and cannot even be killed; there is nothing left to do
            await asyncio.wait_for(asyncio.shield(self.exited), 2 * grace + _UNKILLABLE)
        await asyncio.wait([self._attachment.link.closed], timeout=_LAST_WORDS)

    async def wait_ended(self) -> None:
        """Wait until a process that broke has ended."""
        if self._ending is not None:
            await self._ending

    async def stop(self, drain: float) -> None:
        """Let the present call finish within `drain` seconds, ask the adapter to end, and end it where it does not."""
        self.draining = True
        with suppress(CallError):  # it is of no use, or the call goes on for too long: both end now
            async with self.exclusively(drain):
                self._conversation.shutdown()
                await asyncio.wait([self.exited], timeout=self.spec.stop_grace)
        await self.end(self.spec.stop_grace)

    def detach(self) -> None:
        """Give the pipes back. Unless it has ended, the process goes on for who attaches next.

        What became of a call under way is then unknown, and its caller is told so.
        """
        self._conversation.close(CallError(Code.unknown, f"the controller stopped while {self.key} worked on the call"))
        self._exit_watch.close()
        self._attachment.link.close()
        self.slots.close()
