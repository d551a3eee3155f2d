"""`pvctl audit`: show the audit log, or verify its chain."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from controller.cli.output import columns, emit, show
from controller.cli.parameters import count
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.records import ReadAudit, VerifyAudit

if TYPE_CHECKING:
    from controller.model.status_document import AuditRow


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("--verify", action="store_true",
                        help="Check that no record was edited, removed or inserted.")  # fmt: skip
    parser.add_argument("--head", metavar="SEQ:HASH",
                        help="With --verify: a head noted earlier that must still be in the log.")  # fmt: skip
    parser.add_argument("-n", "--lines", type=count, default=50, metavar="N",
                        help="How many of the last records to show [default: %(default)s].")  # fmt: skip


def run(arguments: Namespace, settings: Settings) -> int:
    """Show who changed what, when and why; or verify the chain of records.

    --verify prints the head (number and hash of the last record); noted elsewhere, it proves later with --head that
    no tail was removed. Exit code 1 where the chain is broken; the first broken record is named.

    Examples:
      pvctl audit -n 20
      pvctl audit --verify
    """
    if arguments.verify:
        return _verify(arguments.head, settings)
    records = list(settings.execute(ReadAudit(arguments.lines)))
    rows = [(each["seq"], each["time"], _actor(each), each["action"], each["object"], each["outcome"], each["reason"])
            for each in records]  # fmt: skip
    emit(settings, records, lambda: columns(["SEQ", "TIME", "ACTOR", "ACTION", "OBJECT", "OUTCOME", "REASON"], rows))
    return 0


def _actor(record: AuditRow) -> str:
    worker = record.get("worker")
    return f"{record['actor']} (for {worker})" if worker else record["actor"]


def _verify(head: str | None, settings: Settings) -> int:
    result = settings.execute(VerifyAudit(head))
    document = {"valid": result.broken_at is None, "records": result.records, "broken_at": result.broken_at,
                "reason": result.reason, "head": f"{result.head.seq}:{result.head.hash}"}  # fmt: skip
    emit(settings, document, lambda: show(
        f"{result.records} records, chain holds, head {document['head']}" if result.broken_at is None
        else f"record {result.broken_at} is broken: {result.reason} (the {result.records} before it hold)"
    ))  # fmt: skip
    return 0 if result.broken_at is None else 1
