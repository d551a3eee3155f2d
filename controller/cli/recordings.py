"""`pvctl recordings`: recorded calls with their pictures."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from controller.cli.ages import age
from controller.cli.output import columns, emit, flush, say, show, write
from controller.cli.parameters import count, moment, path
from controller.cli.parser import Parser, WrongUsage
from controller.cli.settings import Settings, add_global_options
from controller.model.last_part import PartOutcome
from controller.model.recorded import RecordingKind
from controller.station.commands.recordings import (
    MOST_RECORDINGS,
    DeleteRecordings,
    ExportRecordings,
    GetRecording,
    ImportRecordings,
    ListRecordings,
    ShowRecording,
)

if TYPE_CHECKING:
    from controller.station.commands.events import Feed
    from controller.station.commands.recordings import RecordingRow

_SHOWN = ("html", "png", "json", "yaml", "table", "wide")
_SHOWN_HELP = "What is shown: html, a page; png, the picture; json or yaml, what was said [default: html]."


def add_arguments(parser: Parser) -> None:
    """Add the commands within this one."""
    acts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listed = acts.add_parser("list", help="List recorded calls, the newest first.", description=list_recordings.__doc__)
    _add_filters(listed)
    listed.add_argument("--last", type=count, default=50, metavar="N",
                        help="The newest so many [default: %(default)s].")  # fmt: skip
    listed.set_defaults(act=list_recordings)
    shown = acts.add_parser("show", help="Show one with its picture and its defects.", description=show_one.__doc__)
    shown.add_argument("id", metavar="ID", help="Its id, as `pvctl recordings list` shows it.")
    shown.add_argument("--guide", action="store_true", help="With -o png: its guide picture.")
    shown.add_argument("--out", type=path, metavar="FILE",
                       help="Where to write it; - is stdout [default: ID.html or ID.png].")  # fmt: skip
    shown.add_argument("--open", action="store_true", help="Open the page in a browser.")
    shown.set_defaults(act=show_one)
    taken = acts.add_parser("export", help="Write recorded calls to one file.", description=export.__doc__)
    taken.add_argument("ids", metavar="ID", nargs="*", help="Only these calls.")
    _add_filters(taken)
    taken.add_argument("--last", type=count, metavar="N", help="Of those, the newest so many.")
    taken.add_argument("--out", type=path, metavar="FILE", required=True, help="The file; - is stdout.")
    taken.set_defaults(act=export)
    brought = acts.add_parser("import", help="Take over the calls of such a file.", description=take_over.__doc__)
    brought.add_argument("file", metavar="FILE", type=path, help="A file that `export` wrote.")
    brought.set_defaults(act=take_over)
    gone = acts.add_parser("delete", help="Delete recorded calls.", description=delete.__doc__)
    gone.add_argument("ids", metavar="ID", nargs="*", help="These calls.")
    _add_filters(gone)
    gone.add_argument("--all", action="store_true", help="Every recorded call of the store.")
    gone.add_argument("--yes", action="store_true", help="Delete them; without it, only say how many there are.")
    gone.set_defaults(act=delete)
    for each in (listed, taken, brought, gone):
        add_global_options(each)
    add_global_options(shown, _SHOWN, _SHOWN_HELP)


def _add_filters(parser: Parser) -> None:
    group = parser.add_argument_group("which calls", "Each may be left out; those of a list may be repeated.")
    group.add_argument("--pid", metavar="PID", action="append", default=[], help="For these PIDs.")
    group.add_argument("--deployment", metavar="NAME", help="Answered by this deployment.")
    group.add_argument("--version", metavar="VERSION", action="append", default=[], help="Answered by these versions.")
    group.add_argument("--verdict", choices=get_args(PartOutcome), action="append", default=[],
                       help="With this verdict; FAILED: the call came to an error.")  # fmt: skip
    group.add_argument("--kind", choices=get_args(RecordingKind), action="append", default=[],
                       help="Recorded for this reason.")  # fmt: skip
    group.add_argument("--since", metavar="TIME", type=moment, help="Ended at this time or later; 2h: two hours ago.")
    group.add_argument("--until", metavar="TIME", type=moment, help="Ended at this time or earlier.")


def run(arguments: Namespace, settings: Settings) -> int:
    """List and show recorded calls, take them to another station or a laptop, bring them in, delete them.

    What a deployment records is said in its `recording:`. Works with and without a daemon.

    Examples:
      pvctl recordings list --verdict NG --since 2h
      pvctl recordings show 20260131081500123-1f3a9c02ab
      pvctl recordings export --deployment screw-check --last 500 --out screws.zip
      pvctl recordings import screws.zip
      pvctl recordings delete --pid A01 --until 7d --yes
    """
    return int(arguments.act(arguments, settings))


def _filters(arguments: Namespace) -> dict[str, Any]:
    return {
        "id": tuple(getattr(arguments, "ids", ())), "pid": tuple(arguments.pid), "deployment": arguments.deployment,
        "version": tuple(arguments.version), "verdict": tuple(arguments.verdict), "kind": tuple(arguments.kind),
        "since": arguments.since, "until": arguments.until,
    }  # fmt: skip


def list_recordings(arguments: Namespace, settings: Settings) -> int:
    """List recorded calls, the newest first. -o wide also has sizes, requests and what the algorithm said.

    Examples:
      pvctl recordings list
      pvctl recordings list --pid A01 --version 1.1.0 --kind disagreement
      pvctl recordings list --verdict NG --since 2026-01-31T06:00:00Z -o json
    """
    query = ListRecordings(**_filters(arguments))
    rows = list(_rows(query, arguments.last, settings))
    emit(settings, [asdict(each) for each in rows], lambda: _print(rows, wide=settings.wide))
    return 0


def _rows(query: ListRecordings, most: int, settings: Settings) -> Iterator[RecordingRow]:
    """Yield the newest calls, as many pages as that takes."""
    while most > 0:
        page = settings.execute(replace(query, limit=min(most, MOST_RECORDINGS)))
        yield from page.rows
        most -= len(page.rows)
        if page.next_before is None:
            return
        query = replace(query, before=page.next_before)


def _print(rows: list[RecordingRow], *, wide: bool) -> None:
    import time

    now = time.time()
    headers = ["ID", "PID", "VERDICT", "VERSION", "AGE", "LATENCY", "DEFECTS", "KINDS"]
    more = ["DEPLOYMENT", "AT", "PICTURE", "GUIDE", "SIZE", "REQUEST", "MESSAGE"] if wide else []
    lines = []
    for each in rows:
        latency = None if each.latency_ms is None else f"{each.latency_ms:.1f} ms"
        line = [each.id, each.pid, each.verdict, f"{each.name}@{each.version}", age(each.at, now), latency,
                each.defects, ",".join(each.kinds)]  # fmt: skip
        if wide:
            line += [each.deployment, each.at, "×".join(map(str, each.shape)), "yes" if each.guide else "no",
                     _size(each.size), each.request_id, each.message]  # fmt: skip
        lines.append(line)
    columns([*headers, *more], lines)


def show_one(arguments: Namespace, settings: Settings) -> int:
    """Show one recorded call: its picture with the defects drawn, and all that was asked and said.

    As a page that needs nothing else (html), its picture without loss (png), or what was said (json, yaml). A page and
    a picture go to a file: ID.html or ID.png here, or --out.

    Examples:
      pvctl recordings show 20260131081500123-1f3a9c02ab --open
      pvctl recordings show 20260131081500123-1f3a9c02ab -o png --out part.png
      pvctl recordings show 20260131081500123-1f3a9c02ab -o json
    """
    form = settings.output if settings.output in {"png", "json", "yaml"} else "html"
    if arguments.guide and form != "png":
        raise WrongUsage("--guide takes -o png", "pvctl recordings show")
    if form in {"json", "yaml"}:
        if arguments.out is not None or arguments.open:
            raise WrongUsage(f"-o {form} goes to stdout", "pvctl recordings show")
        write(asdict(settings.execute(GetRecording(arguments.id))), form)
        return 0
    if arguments.open and form != "html":
        raise WrongUsage("--open takes the page, -o html", "pvctl recordings show")
    asked = ShowRecording(arguments.id, "page" if form == "html" else "picture", arguments.guide)
    out = arguments.out or Path(f"{arguments.id}.{form}")
    _save(settings.execute(asked), out)
    if arguments.open and str(out) != "-":
        import webbrowser

        if not webbrowser.open(out.absolute().as_uri()):
            say(f"there is no browser here; open {out}")
    return 0


def export(arguments: Namespace, settings: Settings) -> int:
    """Write recorded calls with their pictures to one file, which another station imports. It is on record.

    Examples:
      pvctl recordings export --deployment screw-check --last 500 --out screws.zip
      pvctl recordings export --verdict NG --since 8h --out - | ssh laptop 'cat > screws.zip'
    """
    _save(settings.execute(ExportRecordings(**_filters(arguments), last=arguments.last)), arguments.out)
    return 0


def take_over(arguments: Namespace, settings: Settings) -> int:
    """Take over the recorded calls of a file that `export` wrote. Calls that are there already stay as they are.

    The bounds of each PID hold for them, too; nothing that is there gives way to them. Exit code 1: some are damaged,
    or the disk has no room for more; those that were taken stay.

    Example:
      pvctl recordings import screws.zip
    """
    done = settings.execute(ImportRecordings(arguments.file), say)
    emit(settings, asdict(done), lambda: show(
        f"{done.imported} imported, {done.already_there} there already, {done.damaged} damaged, "
        f"{done.beyond} beyond the bounds of their PIDs"
    ))  # fmt: skip
    return 1 if done.damaged else 0


def delete(arguments: Namespace, settings: Settings) -> int:
    """Delete recorded calls: those named, those that the options mean, or --all. It is on record.

    Without --yes nothing is deleted: it says how many would be, and the exit code is 64.

    Examples:
      pvctl recordings delete 20260131081500123-1f3a9c02ab --yes
      pvctl recordings delete --pid A01 --until 7d --yes
      pvctl recordings delete --all --yes
    """
    filters = _filters(arguments)
    command = DeleteRecordings(**filters, all=arguments.all)
    if not arguments.yes:
        there = sum(1 for _ in _rows(ListRecordings(**filters), sys.maxsize, settings))
        raise WrongUsage(f"this would delete {there} recorded calls; say --yes to do it", "pvctl recordings delete")
    done = settings.execute(command)
    emit(settings, asdict(done), lambda: show(f"{done.deleted} deleted, {_size(done.size)}"))
    return 0


def _save(feed: Feed[bytes], out: Path) -> None:
    """Write a file as it comes; under its name once it is complete, so that half of one is never taken for it."""
    from controller.station.port import finish

    try:
        if str(out) == "-":
            flush()
            finish(_pour(feed, sys.stdout.buffer))
            return
        part = out.with_name(f"{out.name}.part")
        try:
            with part.open("wb") as file:
                size = finish(_pour(feed, file))
            part.replace(out)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    finally:
        finish(feed.aclose())
    say(f"{out}: {_size(size)}")


async def _pour(feed: Feed[bytes], file: Any) -> int:
    size = 0
    async for piece in feed:
        size += file.write(piece)
    return size


def _size(size: int) -> str:
    """Return a number of bytes as people read it."""
    shown, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if shown < 1024:
            break
        shown, unit = shown / 1024, larger
    return f"{shown:.4g} {unit}"
