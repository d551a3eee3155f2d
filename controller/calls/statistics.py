"""What calls and processes came to, counted as they end. It judges nothing: limits are the planner's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping

from controller.calls.failure_log import FailureLog
from controller.client.answers import Detection
from controller.errors import CallError
from controller.model.package import PackageRef
from controller.model.tally import Counted, Kind, PartVerdict, Recorder, Tally, classify, classify_result
from controller.processes.process import AlgorithmProcess

_AT_ONCE = 20
"""Tallies that are made before the event loop has its turn again."""
_WORDS = 500
"""Characters of an error's text that are kept as evidence."""


class CallStatistics:
    """Cumulative counts per PID and version.

    `on_failing` is called at each failure that counts; `last_errors` keeps the words of the latest. `not_counted` are
    the calls that are no sample of any version, by PID and reason.
    """

    def __init__(self) -> None:
        self._recorders: dict[Counted, Recorder] = {}
        self.last_errors: dict[Counted, str] = {}
        self._served: Container[str] = ()
        self.not_counted: Counter[tuple[str, str]] = Counter()
        self.on_failing: Callable[[], None] = lambda: None
        self._log = FailureLog()

    def answered(self, detection: Detection, ref: PackageRef) -> None:
        """Count a call that ended with a result."""
        kind = classify_result(detection.status, detection.data.get("result_status"))
        self._recorder(detection.pid, ref).record(kind, detection.latency_ms / 1000)
        if kind is Kind.error:
            self._trouble(detection.pid, ref, "result ERROR", detection.message)

    def failed(self, pid: str, process: AlgorithmProcess, error: CallError) -> None:
        """Count a call that was put to a process and failed, unless the caller left or we took the process away."""
        kind = classify(error.code)
        if kind is Kind.ignored or process.draining or error.details.get("caller_timeout"):
            self.turned_away(pid, error)
        else:
            recorder = self._recorder(pid, process.key.ref)
            recorder.record(kind, process.spec.call_timeout)
            if kind is Kind.error:
                recorder.failed()
            what, place = f"{int(error.code)} {error.code.name}", error.details.get("traceback", ())
            self._trouble(pid, process.key.ref, what, error.message, place)

    def turned_away(self, pid: str, error: CallError) -> None:
        """Count a call that failed and is no sample of any version: it was refused, or its caller left."""
        left = error.details.get("caller_timeout")
        self.not_counted[pid if pid in self._served else "", "caller_left" if left else error.code.name] += 1

    def excused(self, pid: str, ref: PackageRef) -> None:
        """Count a call that failed on the stable version as well: it is not held against this one."""
        self._recorder(pid, ref).excused()

    def _trouble(self, pid: str, ref: PackageRef, what: str, words: str, traceback: Iterable[str] = ()) -> None:
        self.last_errors[pid, ref] = words[:_WORDS]
        self._log.tell(pid, ref, what, words[:_WORDS], traceback)
        self.on_failing()

    def reviewed(self, pid: str, ref: PackageRef, verdict: PartVerdict, truth: PartVerdict) -> None:
        """Count what was true of a part, for the version that judged it."""
        self._recorder(pid, ref).reviewed(verdict, truth)
        if verdict != truth:
            self.on_failing()

    def ended(self, process: AlgorithmProcess, pid: str) -> None:
        """Count an unexpected exit: once, for one PID (empty: none is known), because judging pools over PIDs."""
        if pid:
            recorder = self._recorder(pid, process.key.ref)
            match process.cause:
                case "memory":
                    recorder.memory_exceeded()
                case "heartbeat":
                    recorder.heartbeat_lost()
                case "itself":
                    recorder.crashed()
        self.on_failing()

    def _recorder(self, pid: str, ref: PackageRef) -> Recorder:
        recorder = self._recorders.get((pid, ref))
        if recorder is None:
            recorder = self._recorders[pid, ref] = Recorder()
        return recorder

    def serve(self, pids: Container[str]) -> None:
        """Take which PIDs deployments have: calls that are turned away count for no other by name, or names add up."""
        self._served = pids
        for key in [key for key in self.not_counted if key[0] and key[0] not in pids]:
            del self.not_counted[key]

    async def settle(self) -> None:
        """Have the tallies of what was called lately at hand, so that `tallies` need not make them all at once."""
        for number, recorder in enumerate(tuple(self._recorders.values()), 1):
            _ = recorder.tally
            if not number % _AT_ONCE:
                await asyncio.sleep(0)

    def tallies(self) -> dict[Counted, Tally]:
        """Return the counts so far, with those that were restored."""
        return {key: recorder.tally for key, recorder in self._recorders.items()}

    def restore(self, tallies: Mapping[Counted, Tally]) -> None:
        """Count on from an earlier life's tallies; what was counted since stays counted."""
        for key, tally in tallies.items():
            since = self._recorders.get(key)
            self._recorders[key] = Recorder(tally + since.tally if since else tally)

    def forget(self, counted: Iterable[Counted]) -> None:
        """Drop counts that nobody will ask for again."""
        for key in counted:
            self._recorders.pop(key, None)
            self.last_errors.pop(key, None)
