"""`pvctl parts`: the last part of each PID, and its picture."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from controller.cli.output import columns, emit, say
from controller.cli.parameters import path
from controller.cli.parser import Parser, WrongUsage
from controller.cli.settings import Settings
from controller.errors import CallError, Code
from controller.model.last_part import LastPart
from controller.station.commands.parts import GetLastParts, GetPicture, NoPicture


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("pids", metavar="PID", nargs="*", help="Only these PIDs.")
    parser.add_argument(
        "--picture", type=path, metavar="FILE", help="Write the picture of the one PID's part as a JPEG."
    )


def run(arguments: Namespace, settings: Settings) -> int:
    """Show the last part of each PID: the verdict, the version that gave it, and how many defects it found.

    Where a picture of that part is at hand, --picture writes it to a file. Pictures are made of the parts to come
    while somebody looks at the parts, so the first time there is none. The daemon must run.

    Examples:
      pvctl parts
      pvctl parts A01 --picture part.jpg
    """
    if arguments.picture is not None and len(arguments.pids) != 1:
        raise WrongUsage("--picture takes the picture of one PID: name one", "pvctl parts")
    found = settings.execute(GetLastParts())
    known = {part["pid"] for part in found}
    for pid in arguments.pids:
        if pid not in known:
            raise CallError(
                Code.invalid_pid, f"no part came to PID {pid} since the daemon's start", next_step="see `pvctl status`"
            )
    shown = [part for part in found if not arguments.pids or part["pid"] in arguments.pids]
    emit(settings, shown, lambda: _print(shown))
    if arguments.picture is not None:
        _save(settings, shown[0], arguments.picture)
    return 0


def _print(parts: list[LastPart]) -> None:
    rows = [
        (
            part["pid"], part["verdict"], f"{part['name']}@{part['version']}" if part["name"] else "-", part["at"],
            "-" if part["latency_ms"] is None else f"{part['latency_ms']:.1f} ms", len(part["defects"]),
            "yes" if part["picture"] else "no", part["message"],
        )
        for part in parts
    ]  # fmt: skip
    columns(["PID", "VERDICT", "VERSION", "AT", "LATENCY", "DEFECTS", "PICTURE", "MESSAGE"], rows)


def _save(settings: Settings, part: LastPart, path: Path) -> None:
    if part["picture"] is None:
        raise NoPicture(f"there is no picture of the last part of PID {part['pid']}")
    picture = settings.execute(GetPicture(part["pid"], part["request_id"]))
    path.write_bytes(picture.content)
    say(f"{path}: the picture of {part['request_id']}")
