"""`pvctl events`: what happens on the station, as it happens."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from controller.cli.output import flush, show
from controller.cli.parser import Parser
from controller.cli.settings import Settings
from controller.station.commands.events import FollowEvents

if TYPE_CHECKING:
    from controller.model.last_part import LastPart
    from controller.model.operation import OperationDocument
    from controller.station.commands.events import Event, EventBatch, Feed


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("--kinds", default="", metavar="KINDS",
                        help="Which, separated by commas: status, audit, operation, parts [default: all].")  # fmt: skip
    parser.add_argument("--after", default="", metavar="ID", help="Go on after this event, as far as they are kept.")
    parser.add_argument("-n", "--count", type=int, default=0, metavar="N", help="End after so many events.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Show what happens on the station, one event a line, until interrupted or the daemon ends.

    An event `parts` has the last parts of every PID that had a new one in the last half second.
    -o json prints each as an object with id, event and data. An event `reset` says that some are not kept any more.

    Examples:
      pvctl events
      pvctl events --kinds audit -o json | jq .data.action
    """
    from controller.station.port import finish

    feed = settings.execute(FollowEvents(arguments.after, arguments.kinds))
    try:
        finish(_print(feed, settings, arguments.count))
    except KeyboardInterrupt:
        return 0
    finally:
        finish(feed.aclose())
    return 0


async def _print(feed: Feed[EventBatch], settings: Settings, most: int) -> None:
    shown = 0
    async for batch in feed:
        for event in batch.events:
            show(json.dumps(event.to_document()) if settings.output != "table" else _line(event))
            shown += 1
            if shown == most:
                return
        flush()


def _line(event: Event) -> str:
    data: Any = event.to_document()["data"]
    match event.kind:
        case "audit":
            text = f"{data['actor']}: {data['action']} {data['object']}: {data['outcome']} ({data['reason']})"
        case "status":
            changed = [*data["deployments"], *data["pids"], *data["processes"], *data["others"]]
            text = f"{'converged' if data['converged'] else 'not converged'}: {', '.join(changed)}"
        case "operation":
            text = _operation(data)
        case "parts":
            text = "; ".join(map(_part, data))
        case "reset":
            text = data["reason"]
    return f"{event.kind}: {text}"


def _operation(document: OperationDocument) -> str:
    about = f"{document['kind']} {document['subject']}".rstrip()
    error = document["error"]
    why = f": [{error['code']} {error['name']}] {error['message']}" if error else ""
    return f"{about} by {document['actor']}: {document['state']}{why} ({document['id']})"


def _part(part: LastPart) -> str:
    version = f" by {part['name']}@{part['version']}" if part["name"] else ""
    latency = "" if part["latency_ms"] is None else f" in {part['latency_ms']:.1f} ms"
    defects = f", {count} defect{'s' if count > 1 else ''}" if (count := len(part["defects"])) else ""
    words = f", {part['message']}" if part["message"] else ""
    return f"{part['pid']} {part['verdict']}{version}{latency}{defects}{words}"
