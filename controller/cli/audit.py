"""`pvctl audit`: show the audit log, or verify its chain."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from controller.cli.output import columns, emit, show
from controller.cli.parameters import count
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.records import MOST_ROWS, ReadAudit, VerifyAudit

if TYPE_CHECKING:
    from controller.model.status_document import AuditRow


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("--verify", action="store_true",
                        help="Check that no record was edited, removed or inserted.")  # fmt: skip
    parser.add_argument("--head", metavar="SEQ:HASH",
                        help="With --verify: a head noted earlier that must still be in the log.")  # fmt: skip
    parser.add_argument("-n", "--lines", "--limit", type=count, default=50, metavar="N",
                        help="How many of the last records to show [default: %(default)s].")  # fmt: skip
    parser.add_argument("--before", type=count, metavar="SEQ", help="Only records with a smaller number.")
    parser.add_argument("--actor", default="", metavar="NAME",
                        help="Only what this user did, or what was done for this worker.")  # fmt: skip
    parser.add_argument("--action", default="", metavar="WORD", help="Only acts of this name, such as switch.")
    parser.add_argument("--object", default="", metavar="OBJECT",
                        help="Only acts on this, such as pid/A01 or A01.")  # fmt: skip


def run(arguments: Namespace, settings: Settings) -> int:
    """Show who changed what, when and why, the newest last; or verify the chain of records.

    --verify prints the head (number and hash of the last record); noted elsewhere, it proves later with --head that
    no tail was removed. Exit code 1 where the chain is broken; the first broken record is named.

    Examples:
      pvctl audit -n 20
      pvctl audit --object A01 --action switch
      pvctl audit --verify
    """
    if arguments.verify:
        return _verify(arguments.head, settings)
    query = ReadAudit(50, arguments.before, arguments.actor, arguments.action, arguments.object)
    records = _records(query, arguments.lines, settings)
    rows = [(each["seq"], each["time"], _actor(each), each["action"], each["object"], each["outcome"], each["reason"])
            for each in records]  # fmt: skip
    emit(settings, records, lambda: columns(["SEQ", "TIME", "ACTOR", "ACTION", "OBJECT", "OUTCOME", "REASON"], rows))
    return 0


def _records(query: ReadAudit, wanted: int, settings: Settings) -> list[AuditRow]:
    """Return the last records that were asked for, oldest first: as many pages as that takes."""
    found: list[AuditRow] = []
    while len(found) < wanted:
        page = settings.execute(replace(query, limit=min(wanted - len(found), MOST_ROWS)))
        found += page.rows
        if page.next_before is None:
            break
        query = replace(query, before=page.next_before)
    return found[::-1]


def _actor(record: AuditRow) -> str:
    worker = record.get("worker")
    return f"{record['actor']} (for {worker})" if worker else record["actor"]


def _verify(head: str | None, settings: Settings) -> int:
    result = settings.execute(VerifyAudit(head))
    emit(settings, asdict(result), lambda: show(
        f"{result.records} records, chain holds, head {result.head}" if result.valid
        else f"record {result.broken_at} is broken: {result.reason} (the {result.records} before it hold)"
    ))  # fmt: skip
    return 0 if result.valid else 1
