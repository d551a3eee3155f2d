"""`pvctl audit`: show the audit log, or verify its chain."""

from __future__ import annotations

from collections import deque

import click

from controller.cli.output import columns, emit, settings
from controller.cli.settings import global_options


@click.command("audit")
@click.option("--verify", is_flag=True, help="Check that no record was edited, removed or inserted.")
@click.option("--head", metavar="SEQ:HASH", help="With --verify: a head noted earlier that must still be in the log.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="How many of the last records to show.",
)
@global_options()
def command(verify: bool, head: str | None, lines: int) -> int:
    """Show who changed what, when and why; or verify the chain of records.

    --verify prints the head (number and hash of the last record); noted elsewhere, it proves later with --head that
    no tail was removed. Exit code 1 where the chain is broken; the first broken record is named.

    \b
    Examples:
      pvctl audit -n 20
      pvctl audit --verify
    """
    if verify:
        return _verify(head)
    records = list(deque(settings().station.audit().read(), maxlen=lines))
    rows = [(each["seq"], each["time"], each["actor"], each["action"], each["object"], each["outcome"], each["reason"])
            for each in records]  # fmt: skip
    emit(records, lambda: columns(["SEQ", "TIME", "ACTOR", "ACTION", "OBJECT", "OUTCOME", "REASON"], rows))
    return 0


def _verify(head: str | None) -> int:
    result = settings().station.verify_audit(head)
    document = {"valid": result.broken_at is None, "records": result.records, "broken_at": result.broken_at,
                "reason": result.reason, "head": f"{result.head.seq}:{result.head.hash}"}  # fmt: skip
    emit(document, lambda: click.echo(
        f"{result.records} records, chain holds, head {document['head']}" if result.broken_at is None
        else f"record {result.broken_at} is broken: {result.reason} (the {result.records} before it hold)"
    ))  # fmt: skip
    return 0 if result.broken_at is None else 1
