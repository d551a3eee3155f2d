"""`pvctl status`: what is deployed, active and running."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from controller.cli.output import columns, emit, flush, say, show, show_lines
from controller.cli.parameters import name
from controller.cli.parser import Parser
from controller.cli.selection import about
from controller.cli.settings import Settings
from controller.station.commands.status import GetStatus

if TYPE_CHECKING:
    from controller.model.status_document import ActiveRow, DeploymentRow, PidRow, StatusDocument
    from controller.station.port import Report

_WATCH_SECONDS = 1.0


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("name", metavar="DEPLOYMENT|PID", nargs="?", type=name, help="Only what is about this one.")
    parser.add_argument("-w", "--watch", action="store_true",
                        help="Show it again every second, until interrupted.")  # fmt: skip


def run(arguments: Namespace, settings: Settings) -> int:
    """Show deployments, PIDs, processes and packages as of the last pass; processes are looked at now.

    Exit code 0, whatever the status says; 1 where the store has none yet.

    Examples:
      pvctl status
      pvctl status screw-check
      pvctl status -o json | jq '.deployments[] | {name, phase}'
    """

    def status(report: Report | None = None) -> StatusDocument:
        document = settings.execute(GetStatus(), report)
        return about(arguments.name, document) if arguments.name else document

    if arguments.watch:
        return _watch(status, settings)
    document = status(say)
    emit(settings, document, lambda: print_status(document))
    return 0


def _watch(status: Callable[[], StatusDocument], settings: Settings) -> int:
    """Show the status again and again: live on a terminal, one document after another otherwise."""
    if not sys.stdout.isatty() or settings.output != "table":
        return _repeat(lambda: emit(settings, document := status(), lambda: print_status(document)))
    from rich.live import Live
    from rich.text import Text

    with Live(screen=True, auto_refresh=False) as live:
        return _repeat(lambda: live.update(Text(_rendered(status())), refresh=True))


def _repeat(show: Callable[[], None]) -> int:
    try:
        while True:
            show()
            flush()
            time.sleep(_WATCH_SECONDS)
    except KeyboardInterrupt:
        return 0


def _rendered(document: StatusDocument) -> str:
    import contextlib
    import io

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        print_status(document)
    return text.getvalue()


def print_status(document: StatusDocument) -> None:
    """Print a status document for a person."""
    revision = document["revision"]
    state = "converged" if document["converged"] else "not converged"
    show(f"revision {revision['id']} from {revision['source']} ({state})")
    for problem in revision["errors"]:
        show(f"  refused: {problem}")
    _section("DEPLOYMENT PHASE PACKAGE VERSION STABLE WEIGHT MESSAGE", [
        (each["name"], each["phase"], each["package"], each["target_version"], each["stable_version"],
         f"{each['actual_weight']}%", each["message"]) for each in document["deployments"]])  # fmt: skip
    _section("PID DEPLOYMENT ACTIVE TARGET READY SINCE", [
        (each["pid"], each["deployment"], _ref(each["active"]),
         _marked(each), "yes" if each["ready"] else "no",
         each["active"] and each["active"]["activated_at"]) for each in document["pids"]])  # fmt: skip
    _section("PROCESS STATE OS_PID SDK MEMORY RESTARTS STARTED", [
        (f"{each['deployment']}/{each['name']}@{each['version']}-{each['replica']}", each["state"], each["os_pid"],
         each["sdk_version"], _mebibytes(each["rss_bytes"]), each["restarts"], each["started_at"])
        for each in document["processes"]])  # fmt: skip
    _section("PACKAGE VERSION STATE DIGEST REASON", [
        (each["name"], each["version"], each["state"], each["digest"][:19],
         f"{each['reason']} ({each['error_code']})" if each["error_code"] else each["reason"])
        for each in document["packages"]])  # fmt: skip
    for each in document["deployments"]:
        _print_evidence(each)
    for wait in document["waiting"]:
        show(f"waiting: {wait['what']} until {wait['until'] or 'further notice'}: {wait['reason']}")
    for path in document.get("unmanaged", ()):
        show(f"warning: {path} was not made by this controller; it is left alone")


def _print_evidence(deployment: DeploymentRow) -> None:
    """Print what a failed version said last, and the patch that would make git agree."""
    if deployment.get("last_words"):
        show()
        show(f"last errors and log lines of {deployment['last_words_of']}:")
        for line in deployment["last_words"]:
            show(f"  {line}")
    if deployment.get("patch"):
        show()
        show("this patch would make git agree (also in status.patch.yaml):")
        show_lines(deployment["patch"])


def _section(headers: str, rows: list[tuple[object, ...]]) -> None:
    if rows:
        show()
        columns(headers.split(), rows)


def _ref(active: ActiveRow | None) -> str:
    return f"{active['name']}@{active['version']}" if active else ""


def _marked(pid: PidRow) -> str:
    marks = [name for name, given in (("pinned", pid["pinned"]), ("held", pid["held"])) if given]
    target = pid["target_version"] or ""
    return f"{target} ({', '.join(marks)})" if marks else target


def _mebibytes(size: int | None) -> str:
    return f"{size / 2**20:.0f} MiB" if size else ""
