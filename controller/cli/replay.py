"""`pvctl replay`: show recorded pictures to a version, and say what differs."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from controller.cli.output import columns, emit, in_form, show, show_error, show_lines
from controller.cli.parameters import count, duration, name, path, ratio
from controller.cli.parser import Parser, WrongUsage
from controller.cli.progress import progress
from controller.cli.settings import Settings
from controller.errors import CallError, ControllerError, PackageError

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from controller.replay.document import ReplayDocument
    from controller.station.commands.replaying import ReplayRecorded
    from controller.station.port import Report

FORMS = ("table", "wide", "json", "yaml", "junit", "html")
FORMS_HELP = "Form of what goes to stdout: table, json, yaml, junit, html [default: table]."
_FILES = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".xml": "junit", ".html": "html"}
_MOST_ROWS = 50
_LEAST = 50
"""Judged pictures below which a replay says nothing, as in a step of a rollout (analysis.minSamples)."""
_BEYOND, _INVALID = 5, 4


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("deployment", metavar="DEPLOYMENT", nargs="?", type=name, help="Whose version, and whose PIDs.")
    parser.add_argument("--version", metavar="V", help="An installed version [default: the desired one].")
    parser.add_argument("--package", metavar="ZIP", type=path, action="append", default=[],
                        help="A package, without a station. Given twice: the second is compared with the first, not "
                        "with what was recorded.")  # fmt: skip
    parser.add_argument("--recordings", metavar="FILE", type=path,
                        help="An exported file of recorded calls [default: the store's].")  # fmt: skip
    parser.add_argument("--last", metavar="N", type=count, default=500, help="The newest so many [default: 500].")
    parser.add_argument("--only", metavar="VERDICT", action="append", default=[], type=str.upper,
                        choices=("OK", "NG", "ERROR", "FAILED"),
                        help="Only calls that came to it: OK, NG, ERROR, FAILED; may be repeated.")  # fmt: skip
    parser.add_argument("--pid", metavar="PID", type=name, action="append", default=[],
                        help="Only calls of this PID; may be repeated.")  # fmt: skip
    for what, default, words in (
        ("newly-ok", "0.2%", "pictures that were NG and are OK now"),
        ("newly-ng", "2%", "pictures that were OK and are NG now"),
        ("errors", "0%", "pictures at which the version fails or gives no answer in time"),
    ):
        parser.add_argument(f"--max-{what}", metavar="SHARE", type=ratio, default=ratio(default),
                            help=f"Largest share of {words} [default: {default}].".replace("%", "%%"))  # fmt: skip
    parser.add_argument("--min-compared", metavar="N", type=count,
                        help="With fewer pictures that could be judged, none is [default: 50, or as many as had a "
                        "verdict where these are fewer].")  # fmt: skip
    parser.add_argument("--iou", metavar="SHARE", type=ratio,
                        help="Compare the places of the defects, too: two are the same where their intersection over "
                        "union is as large, such as 0.5.")  # fmt: skip
    parser.add_argument("--call-timeout", metavar="TIME", type=duration,
                        help="With --package: how long a call may take [default: 30s].")  # fmt: skip
    parser.add_argument("--jobs", metavar="N", type=count, default=1, help="Processes at once [default: 1].")
    parser.add_argument("--report", metavar="FILE", type=path, action="append", default=[],
                        help="Write a report, in the form of the file's ending: .html, .xml (JUnit), .json, .yaml; "
                        "may be repeated.")  # fmt: skip


def run(arguments: Namespace, settings: Settings) -> int:
    """Show recorded pictures to a version in processes of its own, never on those of the line, and compare what it says
    with what was recorded.

    With --package no station is needed: the algorithm team's CI shows an export of recordings to its new zip. Exit code
    0 within the limits, 5 beyond them or where the version fails, 4 where a package is not valid, 1 where it could not
    be carried out or compared too little.

    Examples:
      pvctl replay screw-check --last 500
      pvctl replay screw-check --version 1.2.0 --only NG --report differing.html
      pvctl replay --package old.zip --package new.zip --recordings line-a.zip --report replay.xml
    """
    _check(arguments)
    try:
        with progress() as notify:
            replay = _carried_out(arguments, settings, notify)
    except PackageError as error:
        show_error(error, settings.output)
        return _INVALID
    if not replay["compared"] + replay["errors"]["of"] and not replay["failure"]:
        raise _nothing(replay)
    few = too_few(replay, arguments.min_compared)
    if settings.output in {"junit", "html"}:
        show_lines(_text(settings.output, replay, arguments, settings))
    else:
        emit(settings, replay, lambda: _print(replay))
    for file in arguments.report:
        _save(file, _FILES[file.suffix], replay, arguments, settings)
    if few is not None and replay["within_limits"]:
        raise few
    return 0 if replay["within_limits"] else _BEYOND


def too_few(replay: ReplayDocument, least: int | None) -> ControllerError | None:
    """Return the error for a replay in which too little was compared to say that a version is good."""
    judged = replay["errors"]["of"]
    least = min(replay["wanted"] - replay["excused"], _LEAST) if least is None else least
    if judged >= least:
        return None
    return ControllerError(
        f"too little to judge by: {judged} of {replay['wanted']} pictures could be judged, {least} are "
        f"needed ({replay['excused']} came to no verdict before, {replay['dropped']} were dropped)",
        next_step="record or name more calls, or say with --min-compared N how many are enough",
    )


def _nothing(replay: ReplayDocument) -> ControllerError:
    """Return the error for a replay that says nothing of the version."""
    if replay["wanted"]:
        why = (
            f"of {replay['wanted']} recorded calls, {replay['excused']} came to no verdict and {replay['dropped']} "
            f"were dropped, {replay['refused']} of them since their arguments are not taken"
        )
        return ControllerError(
            f"nothing could be compared: {why}", next_step="see `pvctl recordings list`, and --pid and --only"
        )
    return ControllerError(
        f"nothing could be compared: no recorded call is left for {replay['package']}; a version is not shown the "
        "calls that it answered itself",
        next_step="see `pvctl recordings list -o wide`: name another version with --version, or fewer filters (--pid, "
        "--only); where nothing is recorded, see spec.recording",
    )


def _check(arguments: Namespace) -> None:
    """Raise WrongUsage where the options do not go together."""
    packages = arguments.package
    wrong = ""
    if bool(arguments.deployment) == bool(packages):
        wrong = "name a deployment, or packages with --package"
    elif len(packages) > 2:
        wrong = "--package is given once or twice"
    elif packages and arguments.recordings is None:
        wrong = "--package needs --recordings FILE: there is no station that would have any"
    elif packages and arguments.version:
        wrong = "--version is for a deployment"
    elif arguments.call_timeout is not None and not packages:
        wrong = "--call-timeout is for --package: a deployment has spec.timeouts.call"
    elif bad := next((each for each in arguments.report if each.suffix not in _FILES), None):
        wrong = f"--report {bad}: its ending says no form; take .html, .xml, .json or .yaml"
    elif bad := next((each for each in arguments.report if not each.absolute().parent.is_dir()), None):
        wrong = f"--report {bad}: there is no folder {bad.absolute().parent}; make it first"
    if wrong:
        raise WrongUsage(wrong, prog="pvctl replay")


def _carried_out(arguments: Namespace, settings: Settings, notify: Report) -> ReplayDocument:
    from controller.station.commands.replaying import ReplayExported

    command = _command(arguments)
    if arguments.package:
        zips, recordings = tuple(arguments.package), arguments.recordings
        return settings.product.checks().replay(command, zips, recordings, arguments.call_timeout, notify)
    if arguments.recordings is not None:
        return settings.execute(ReplayExported(command, arguments.recordings.absolute()), notify)
    return settings.execute(command, notify)


def _command(arguments: Namespace) -> ReplayRecorded:
    """Return what is asked for. Raises WrongUsage where a number is out of range."""
    from controller.station.commands.replaying import ReplayRecorded

    try:
        return ReplayRecorded(
            arguments.deployment or "", arguments.version,
            last=arguments.last, only=tuple(arguments.only), pids=tuple(arguments.pid),
            max_newly_ok=arguments.max_newly_ok, max_newly_ng=arguments.max_newly_ng, max_errors=arguments.max_errors,
            iou=arguments.iou, jobs=arguments.jobs,
        )  # fmt: skip
    except CallError as error:
        raise WrongUsage(error.message, prog="pvctl replay") from None


def _save(file: Path, form: str, replay: ReplayDocument, arguments: Namespace, settings: Settings) -> None:
    file.write_text(_text(form, replay, arguments, settings), encoding="utf-8")


def _text(form: str, replay: ReplayDocument, arguments: Namespace, settings: Settings) -> str:
    """Return a report in one of the forms that are files."""
    if form == "junit":
        from controller.replay.junit import junit

        return junit(replay)
    if form == "html":
        from controller.replay.page import page_of
        from controller.replay.showing import source_of

        return page_of(replay, source_of(arguments.recordings or settings.store))
    return in_form(replay, form) + "\n"


def _print(replay: ReplayDocument) -> None:
    from controller.replay.words import facts, limits, matrix, said, verdict

    table = matrix(replay)
    columns(["BEFORE", *(f"NOW {after}" for after in table[0][1])], [(row, *cells.values()) for row, cells in table])
    show()
    columns(["WHAT", "PICTURES", "SHARE (95 % INTERVAL)", "LIMIT", ""], limits(replay))
    show()
    for title, words in facts(replay):
        show(f"{title}: {words}")
    if rows := replay["differing"]:
        show()
        columns(["PID", "RECORDING", "REQUEST", "BEFORE", "NOW", "MESSAGE"], [
            (row["pid"], row["recording"], row["request_id"], said(row["before"]), said(row["after"]),
             row["after"]["message"] if row["after"] else "")
            for row in rows[:_MOST_ROWS]
        ])  # fmt: skip
        if len(rows) > _MOST_ROWS:
            show(f"and {len(rows) - _MOST_ROWS} more; see --report FILE.html")
    show()
    show(verdict(replay))
