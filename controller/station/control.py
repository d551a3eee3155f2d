"""What operators may ask of a running daemon: the port of the HTTP surface, on the loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from controller.errors import Code, CodedError, DesiredStateError
from controller.reconciler.exits import Exit
from controller.reconciler.loop import Loop
from controller.reconciler.reconciler import Outcome
from controller.reconciler.revisions import RevisionTaker
from controller.station.operator import Operator, Wish

Notify = Callable[[str], None]


class Notices:
    """Progress lines for whoever listens; always also for `log`."""

    def __init__(self, log: Notify) -> None:
        self._log = log
        self._listeners: list[Notify] = []

    def __call__(self, line: str) -> None:
        self._log(line)
        for listener in tuple(self._listeners):
            listener(line)

    @contextmanager
    def heard_by(self, listener: Notify) -> Iterator[None]:
        """Let `listener` hear what is said during the block."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)


class Control:
    """Answers for one daemon. `end_processes` ends every algorithm process of the store."""

    def __init__(
        self,
        loop: Loop,
        taker: RevisionTaker,
        operator: Operator,
        notices: Notices,
        end_processes: Callable[[], Awaitable[tuple[str, ...]]],
    ) -> None:
        self._loop = loop
        self._taker = taker
        self._operator = operator
        self._notices = notices
        self._end_processes = end_processes

    def status(self) -> dict[str, Any]:
        """Return the status document as of the last pass that could be finished, and why a later one could not be."""
        if self._loop.refusal is not None:
            return self._loop.refusal
        if self._loop.outcome is None:
            raise CodedError(Code.not_initialized, self._starting(), next_step="ask again in a moment")
        document = self._loop.outcome.status.to_document()
        if self._loop.trouble:
            document["converged"] = False
            document["waiting"] = [
                *document["waiting"], {"what": "the daemon's next pass", "until": None, "reason": self._loop.trouble}
            ]  # fmt: skip
        return document

    def _starting(self) -> str:
        trouble = self._loop.trouble
        if self._loop.refusal is not None:
            return "no revision is valid yet"
        return f"the daemon cannot finish its first pass: {trouble}" if trouble else "the daemon is still starting"

    def ready(self) -> tuple[bool, str]:
        """Return whether every PID with an active version can be answered, and if not, why."""
        outcome = self._loop.outcome
        if outcome is None:
            return False, self._starting()
        waiting = [pid.pid for pid in outcome.status.pids if pid.active and not pid.ready]
        return not waiting, f"not ready: {', '.join(waiting)}" if waiting else ""

    async def reconcile(self, *, allow_empty: bool, wait: bool, timeout: float, notify: Notify) -> dict[str, Any]:
        """Read the desired tree again, and return {exit, status} once nothing is left that can be done now."""
        self._taker.read_again(allow_empty=allow_empty)
        with self._notices.heard_by(notify):
            try:
                outcome: Outcome = await self._loop.wait_idle(timeout, wait=wait)
            except DesiredStateError:
                return {"exit": int(Exit.invalid), "status": self.status()}
        return {"exit": int(outcome.exit), "status": outcome.status.to_document()}

    async def operate(self, verb: str, subject: str, arguments: dict[str, Any], actor: str) -> dict[str, Any]:
        """Carry out an operator's verb on a deployment or a PID; return {message}. Raises CodedError, StoreError."""
        wish = Wish(verb, subject, arguments, actor)
        message = await self._loop.decide(lambda: self._operator.carry_out(wish))
        self._loop.wake()
        return {"message": message}

    async def down(self) -> tuple[str, ...]:
        """End the loop, then every algorithm process; return their names."""
        self._loop.stop()
        await self._loop.finished.wait()
        return await self._end_processes()
