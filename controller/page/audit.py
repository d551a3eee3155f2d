"""The audit as acts: the record of what somebody began and that of what became of it, in one row.

A page of them begins with the newest. An act stands where its last record does; the records beside a page's edge are
looked at as well, so that an act is neither cut in two nor shown on two pages.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from controller.model.status_document import AuditRow
from controller.page.texts import epoch_of
from controller.station.commands.records import AuditPage, ReadAudit

ActState = Literal["succeeded", "failed", "unfinished"]
_Read = Callable[[ReadAudit], Awaitable[AuditPage]]

ROWS = 50
"""Acts on a page."""
_BESIDE = 200
"""Records above a page in which its acts may have ended: several batches of switches."""
_LOOKED_FOR = 5
"""Acts of a page whose end is looked for further away, at most."""
_STARTED = "started"


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did. `seqs`: the numbers of its first and its last record, which are the same where there is one.

    `at` is when it ended, or began where nothing is on record of its end; `took` how many seconds it took, where both
    are. `outcome`: how it failed, or what was noted with its end; empty: it succeeded.
    """

    seqs: tuple[int, int]
    at: str
    actor: str
    worker: str
    action: str
    object: str
    reason: str
    state: ActState
    outcome: str
    took: float | None


@dataclass(frozen=True, slots=True)
class ActsPage:
    """Acts, the newest first; `before`: what the next page is asked for with, where there is one."""

    acts: tuple[Act, ...]
    before: int | None


def acts(records: Iterable[AuditRow]) -> list[Act]:
    """Return the acts of records that come newest first, in the same order.

    An end belongs to the last beginning of the same action on the same object before it: of the same actor, where
    several are under way, else of anybody, since a controller ends what another one left.
    """
    found: list[Act] = []
    open_ends: dict[tuple[str, str], list[int]] = {}
    for record in records:
        subject = (record["action"], record["object"])
        if record["outcome"] != _STARTED:
            open_ends.setdefault(subject, []).append(len(found))
            found.append(_act(record))
            continue
        ends = open_ends.get(subject, [])
        of_actor = [each for each in ends if found[each].actor == record["actor"]]
        if not ends:
            found.append(_act(record))
            continue
        place = (of_actor or ends)[-1]
        ends.remove(place)
        found[place] = _whole(record, found[place])
    return found


async def page_of_acts(read: _Read, asked: ReadAudit) -> ActsPage:
    """Return a page of acts: the newest, or those whose last record has a number below `before`."""
    before = asked.before
    top = before + _BESIDE if before else None
    records = await read(replace(asked, limit=2 * ROWS + _BESIDE, before=top))
    found = [each for each in acts(records.rows) if not before or each.seqs[1] < before]
    shown = found[:ROWS]
    following = shown[-1].seqs[1] if len(found) > ROWS else records.next_before
    if before or asked.actor:  # else nothing newer is left out, and what is open here is open
        shown = await _closed(read, shown, before)
    return ActsPage(tuple(shown), following)


async def _closed(read: _Read, shown: Sequence[Act], before: int | None) -> list[Act]:
    """Return the acts of this page: none that ends on an earlier one, and with the ends that a filter hides."""
    ends: dict[int, Act] = {}
    for each in [act for act in shown if act.state == "unfinished"][:_LOOKED_FOR]:
        records = await read(ReadAudit(2 * ROWS, None, action=each.action, object=each.object))
        ends |= {act.seqs[0]: act for act in acts(records.rows)}
    whole = [ends.get(each.seqs[0], each) if each.state == "unfinished" else each for each in shown]
    return [each for each in whole if not before or each.seqs[1] < before]


def _act(record: AuditRow) -> Act:
    outcome, worker = record["outcome"], record.get("worker", "")
    state: ActState = "unfinished" if outcome == _STARTED else "succeeded" if outcome == "succeeded" else "failed"
    return Act(
        (record["seq"], record["seq"]), record["time"], record["actor"], worker, record["action"], record["object"],
        record["reason"], state, outcome if state == "failed" else "", None,
    )  # fmt: skip


def _whole(began: AuditRow, ended: Act) -> Act:
    """Return an act with its beginning: who wanted it and why stand there; what else its end says is kept."""
    first, last = epoch_of(began["time"]), epoch_of(ended.at)
    took = last - first if first is not None and last is not None else None
    noted = [text for text in (ended.outcome, "" if ended.reason == began["reason"] else ended.reason) if text]
    return replace(
        ended, seqs=(began["seq"], ended.seqs[1]), actor=began["actor"], worker=began.get("worker", ""),
        reason=began["reason"], outcome=": ".join(noted), took=took,
    )  # fmt: skip
