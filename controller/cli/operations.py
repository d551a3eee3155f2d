"""`pvctl operations`: long acts that somebody asked for, running and ended ones."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from controller.cli.output import columns, emit, show
from controller.cli.parser import Parser, WrongUsage
from controller.cli.settings import Settings
from controller.station.commands.operations import FollowOperation, GetOperation, ListOperations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.model.operation import OperationDocument, OperationRow


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("id", nargs="?", metavar="ID", help="One operation, with its progress and its result.")
    parser.add_argument("--state", choices=("running", "succeeded", "failed"), help="List only those.")
    parser.add_argument("--kind", metavar="KIND", help="List only those, such as `install` or `switch`.")
    parser.add_argument("-f", "--follow", action="store_true", help="With ID: wait for its end, and tell its progress.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Show long acts that somebody asked for, newest first, or one of them with its progress and its result.

    An install, a switch and the like go on when whoever asked leaves. They are kept for a week, 200 at most. The exit
    code is 1 where the operation that was asked for has failed.

    Examples:
      pvctl operations --state running
      pvctl operations 20260131T081500-install-1f3a9c02 --follow
    """
    if arguments.id is None:
        if arguments.follow:
            raise WrongUsage("--follow waits for one operation: name its ID", "pvctl operations")
        rows = settings.execute(ListOperations(arguments.state, arguments.kind))
        emit(settings, list(rows), lambda: _print_all(rows))
        return 0
    if arguments.follow:
        from controller.cli.progress import progress

        with progress() as notify:
            document = settings.execute(FollowOperation(arguments.id), notify)
    else:
        document = settings.execute(GetOperation(arguments.id))
    emit(settings, document, lambda: _print(document))
    return 1 if document["state"] == "failed" else 0


def _print_all(rows: Sequence[OperationRow]) -> None:
    columns(
        ("ID", "KIND", "SUBJECT", "STATE", "ACTOR", "STARTED", "ENDED"),
        [
            (row["id"], row["kind"], row["subject"], row["state"], row["actor"], row["started_at"], row["ended_at"])
            for row in rows
        ],
    )


def _print(document: OperationDocument) -> None:
    show(f"{document['kind']} {document['subject']}: {document['state']}; asked for by {document['actor']}")
    show(f"started {document['started_at']}, ended {document['ended_at'] or '-'}")
    for line in document["progress"]:
        show(f"  {line['at']} {line['text']}")
    for name, value in (document["result"] or {}).items():
        show(f"{name}: {value}")
    if (error := document["error"]) is not None:
        show(f"error [{error['code']} {error['name']}]: {error['message']}")
