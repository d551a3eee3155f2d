"""What every call came to, and what of it must not be: each is answered rightly, or there is a reason why it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from controller.client import NotReached, UnknownOutcome
from controller.errors import Code
from tests.end_to_end.load import Call
from tests.soak.witness import Witness

_OF_A_DYING_PROCESS = {Code.unknown, Code.heartbeat_lost, Code.not_initialized}
"""What a call may end with whose process was killed, or is being started again."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A time (monotonic) in which calls may fail, because something was killed and had not come back yet."""

    began: float
    ended: float

    def touches(self, call: Call) -> bool:
        return call.began <= self.ended and self.began <= call.ended


@dataclass(slots=True)
class Judgement:
    """Counts of calls by what they came to; `violations` are sentences, one for each call that broke a promise."""

    answered: int = 0
    unambiguous: int = 0
    excused: Counter[str] = field(default_factory=Counter)
    stale: list[str] = field(default_factory=list)
    swapped: list[str] = field(default_factory=list)
    unexcused: list[str] = field(default_factory=list)


def judge(
    calls: Iterable[Call], witness: Witness, deaths: Sequence[Outage], absences: Sequence[Outage],
    echo: Callable[[Call], bool],
) -> Judgement:  # fmt: skip
    """Judge every call. `deaths` are the kills of processes, `absences` those of the daemon.

    A call was accepted between its begin and its end, so the version that answered must have been active at a moment
    of that time. Where only one was, the judgement is exact (`unambiguous`); the others overlapped a switch.
    """
    found = Judgement()
    for call in calls:
        if call.error is not None:
            _judge_error(call, deaths, absences, found)
            continue
        found.answered += 1
        possible = witness.possible(call.pid, call.began, call.ended)
        found.unambiguous += len(possible) == 1
        if call.version not in possible:
            found.stale.append(f"{call.pid} answered by {call.version}, where {sorted(possible)} was active")
        if call.debug.get("version") != call.version or not echo(call):
            found.swapped.append(f"{call.pid} by {call.version} got {dict(call.debug)}")
    return found


def _judge_error(call: Call, deaths: Sequence[Outage], absences: Sequence[Outage], found: Judgement) -> None:
    assert call.error is not None
    if isinstance(call.error, UnknownOutcome):
        excused = any(outage.touches(call) for outage in absences)
    elif isinstance(call.error, NotReached):  # a client waits longer than the daemon may be away
        excused = False
    else:
        excused = call.error.code in _OF_A_DYING_PROCESS and any(outage.touches(call) for outage in deaths)
    if excused:
        found.excused[call.failure] += 1
    else:
        found.unexcused.append(f"{call.pid} after {call.ended - call.began:.3f} s: {call.failure}: {call.error}")
