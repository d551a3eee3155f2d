"""Acts are one row each: how records become acts, at the edges of pages too, and what is never called unfinished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from controller.page.audit import ROWS, Act, acts, page_of_acts
from controller.station.commands.records import AuditPage, ReadAudit
from tests.page.made_up import record


def done(first: int, action: str = "switch", object_: str = "pid/A01", **changed: Any) -> list[Any]:
    """Return the two records of an act, newest first."""
    return [record(first + 1, action, object_, "succeeded", **changed), record(first, action, object_, "started")]


def shown(found: Sequence[Act]) -> list[tuple[tuple[int, int], str]]:
    return [(each.seqs, each.state) for each in found]


def test_what_was_begun_and_what_became_of_it_are_one_act() -> None:
    one, other = done(1), done(2, object_="pid/A02")  # begun side by side
    other[0]["seq"] = 4
    one[0] |= {"seq": 3, "time": "2026-11-30T11:00:13.500000Z"}

    found = acts([other[0], one[0], other[1], one[1]])

    assert shown(found) == [((2, 4), "succeeded"), ((1, 3), "succeeded")]
    assert found[1].took == 12.5


def test_an_act_without_an_end_is_unfinished_and_one_that_failed_says_how() -> None:
    again, killed = done(2), record(1, "switch", "pid/A01", "started")
    failed = [record(5, "resume", "pid/A01", "failed: nothing is held"), record(4, "resume", "pid/A01", "started")]

    found = acts([*failed, *again, killed])

    assert shown(found) == [((4, 5), "failed"), ((2, 3), "succeeded"), ((1, 1), "unfinished")]
    assert found[0].outcome == "failed: nothing is held"


def test_what_another_controller_ended_is_still_the_act_of_who_began_it() -> None:
    ended = record(9, "switch", "pid/A01", "succeeded", actor="pvctl run", reason="found unfinished at start")

    [found] = acts([ended, record(3, "switch", "pid/A01", "started", actor="ann", reason="scrap", worker="mia")])

    assert (found.actor, found.worker, found.reason) == ("ann", "mia", "scrap")
    assert (found.state, found.outcome) == ("succeeded", "found unfinished at start")


def test_of_two_under_way_each_has_its_own_end_and_a_lone_end_is_an_act() -> None:
    records = [
        record(5, "token.create", "token/x", "failed: there is one", actor="bob"),
        record(4, "token.create", "token/x", "succeeded", actor="ann"),
        record(3, "token.create", "token/x", "started", actor="bob"),
        record(2, "token.create", "token/x", "started", actor="ann"),
        record(1, "audit.repair", "audit", "succeeded"),
    ]

    found = acts(records)

    assert [(each.seqs, each.actor) for each in found] == [((3, 5), "bob"), ((2, 4), "ann"), ((1, 1), "ann")]


class Log:
    """An audit log of some records, newest first."""

    def __init__(self, records: list[Any]) -> None:
        self.records = records

    async def read(self, asked: ReadAudit) -> AuditPage:
        rows = [
            row for row in self.records
            if (not asked.before or row["seq"] < asked.before) and asked.actor in {"", row["actor"]}
            and asked.action in {"", row["action"]} and asked.object in {"", row["object"]}
        ]  # fmt: skip
        page = tuple(rows[: asked.limit])
        return AuditPage(page, page[-1]["seq"] if len(rows) > asked.limit else None)


async def test_pages_cut_no_act_in_two_and_show_none_twice() -> None:
    batch = [record(500 + at, "switch", f"pid/A{at:02}", "succeeded") for at in range(31, -1, -1)]
    batch += [record(400 + at, "switch", f"pid/A{at:02}", "started") for at in range(31, -1, -1)]
    records = [each for first in range(699, 600, -2) for each in done(first, object_=f"pid/B{first}")] + batch
    records += [each for first in range(397, 0, -2) for each in done(first, object_=f"pid/C{first}")]
    log, seen, before = Log(records), [], None

    while True:
        page = await page_of_acts(log.read, ReadAudit(before=before))
        assert len(page.acts) <= ROWS
        seen += shown(page.acts)
        if (before := page.before) is None:
            break

    assert len({seqs for seqs, _ in seen}) == len(seen) == len(records) // 2
    assert {state for _, state in seen} == {"succeeded"}


async def test_an_end_that_the_filter_leaves_out_or_that_came_much_later_is_found() -> None:
    ended = record(900, "install", "package/big", "succeeded", actor="pvctl run")
    between = [each for first in range(897, 1, -2) for each in done(first, object_=f"pid/B{first}")]
    log = Log([ended, *between, record(1, "install", "package/big", "started", actor="ann")])

    of_ann = await page_of_acts(log.read, ReadAudit(actor="ann", action="install"))
    oldest = await page_of_acts(log.read, ReadAudit(before=20))

    assert shown(of_ann.acts) == [((1, 900), "succeeded")]
    assert (1, 1) not in {each.seqs for each in oldest.acts}
