"""One command line: global options, the named command's module (no other is imported), exit codes."""

from __future__ import annotations

import os
import sys
from argparse import PARSER, SUPPRESS, Namespace
from importlib import import_module

from controller import __version__
from controller.cli.output import USAGE, flush, say, show_error
from controller.cli.parser import Parser, WrongUsage, did_you_mean
from controller.cli.settings import (
    EVERY_FORM,
    FORMS,
    FORMS_HELP,
    Settings,
    add_global_options,
    from_environment,
    global_part,
)
from controller.errors import ControllerError
from controller.host.terminal import open_standard_streams

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from controller.cli.product import Product
    from controller.cli.settings import Options

INTERRUPTED = 130

# Each command and its line in the overview, so that help imports no command. `controller.cli.<name>` holds it:
# `add_arguments(parser)`, and `run(arguments, settings)`, whose docstring is the command's help.
GROUPS = {
    "the desired state": {
        "validate": "Check a desired tree or a file, with no store.",
        "plan": "Show what a reconcile would do now, and why.",
        "reconcile": "Make the station match the desired state.",
        "revisions": "Show the revision in force, and the trees that were refused.",
        "schema": "Print the JSON Schema of the desired state, or the OpenAPI document.",
    },
    "the station": {
        "run": "Keep the station as desired: the daemon.",
        "status": "Show what is deployed, active and running.",
        "exec": "Run one detection through a PID's active version, or NAME@VERSION.",
        "parts": "Show the last part of each PID: verdict, defects, picture.",
        "recordings": "List, show, export, import and delete recorded calls.",
        "replay": "Show recorded pictures to a version, and say what differs.",
        "feedback": "Report what a part really was: OK or NG.",
        "down": "End the daemon and every algorithm process of the store.",
    },
    "rollouts": {
        "rollout": "Show how a rollout stands, or wait for its end.",
        "promote": "End a rollout's present pause, or pass its replay or shadow.",
        "pause": "Stop a rollout where it is.",
        "resume": "End a pause or a hold.",
        "abort": "Roll a rollout back.",
        "retry": "Lift a quarantine, or begin a replay anew.",
        "rollback": "Hold a PID or a deployment on an older version.",
        "restart": "Restart a deployment's processes, one after the other.",
    },
    "packages and PIDs by hand": {
        "package": "Check a zip, show what is in it, or list packages.",
        "install": "Install a zip by hand.",
        "uninstall": "Remove an installed version that nothing needs.",
        "activate": "Have an installed version answer PIDs.",
        "switch": "Switch PIDs to another installed version.",
    },
    "what happened": {
        "events": "Show what happens on the station, as it happens.",
        "operations": "Show long acts that somebody asked for: installs, switches.",
        "history": "Show which versions answered a PID, or a deployment's PIDs.",
        "audit": "Show the audit log, or verify its chain.",
        "logs": "Show the log of a deployment's or a PID's processes, or the controller's.",
        "metrics": "Print everything that is measured, for Prometheus.",
    },
    "access and help": {
        "token": "Create, list and revoke tokens for the network.",
        "whoami": "Say who you are to the station, and what you may do.",
        "completion": "Print a completion script for a shell.",
        "version": "Print the version.",
    },
}
COMMANDS = {name: line for group in GROUPS.values() for name, line in group.items()}

_OVERVIEW = """Deliver vision algorithms to a station: one YAML tree says which version serves each PID.

Examples:
  pvctl validate
  pvctl plan
  pvctl reconcile --once
  pvctl exec A01 --image part.png
"""

_EXIT_CODES = """Exit codes: 0 done, 1 failed, 2 changes pending (plan), 3 still progressing, 4 desired state or package
invalid, 5 degraded, 64 wrong usage. Every global option can be set as PVCTL_* in the environment."""


def run(arguments: Sequence[str], product_for: Callable[[Settings], Product]) -> int:
    """Run one command line and return its exit code. `product_for` builds the parts that a command asks for."""
    open_standard_streams()
    try:
        code = _run(arguments, product_for)
        flush()
    except OSError as error:  # stdout takes no more, and shall not be tried again at exit
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # the reader of a pipe went away: nobody is left to tell
            show_error(_as_ours(error))
        return 1
    return code


def _run(arguments: Sequence[str], product_for: Callable[[Settings], Product]) -> int:
    try:
        return _carry_out(arguments, product_for)
    except WrongUsage as error:
        say(f"error: {error.message}")
        say(f"  next: see `{error.prog} --help`")
        return USAGE
    except SystemExit as stop:  # help was asked for
        return int(stop.code or 0)
    except KeyboardInterrupt:
        say("aborted")
        return INTERRUPTED


def _carry_out(arguments: Sequence[str], product_for: Callable[[Settings], Product]) -> int:
    if not arguments:
        for line in overview().format_help().splitlines():
            say(line)
        return USAGE
    before = vars(overview().parse_args(arguments))
    name, *words = before["words"]
    if name not in COMMANDS:
        raise WrongUsage(f"no command {name!r}{did_you_mean(name, COMMANDS)}")
    parser = Parser(prog=f"pvctl {name}")
    command = define(parser, name)
    given = parser.parse_args(words)
    options: Options = {**from_environment(os.environ), **global_part(before), **global_part(vars(given))}
    if (form := before.get("output", "table")) not in forms_of(name):  # behind the name its own parser looks
        raise WrongUsage(f"{form} is no form of what this command prints", prog=f"pvctl {name}")
    settings = Settings(options, product_for)
    try:
        return command(given, settings)
    except BrokenPipeError:
        raise
    except (ControllerError, OSError) as error:
        return show_error(_as_ours(error), settings.output)


def _as_ours(error: ControllerError | OSError) -> ControllerError:
    """Return an error of the machine, as when stdout goes to a full disk, as one that is shown without a traceback."""
    if isinstance(error, ControllerError):
        return error
    if (
        isinstance(error, FileNotFoundError) and not error.filename
    ):  # the system does not say what: os.getcwd() never does
        return ControllerError(
            "the working directory was removed",
            next_step="go to another one, or give --store and --desired whole paths",
        )
    return ControllerError(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))


def overview() -> Parser:
    """Return the parser of what stands before a command's words; its help lists the commands."""
    commands = "\n\n".join(
        f"{title}:\n" + "\n".join(f"  {name:<12}{line}" for name, line in group.items())
        for title, group in GROUPS.items()
    )
    parser = Parser(
        prog="pvctl",
        usage="pvctl [global options] COMMAND ...",
        description=_OVERVIEW,
        epilog=f"{commands}\n\n{_EXIT_CODES}",
    )
    parser.add_argument("--version", action="version", version=f"pvctl {__version__}", help="Print the version.")
    parser.add_argument("words", metavar="COMMAND", nargs=PARSER, help=SUPPRESS)
    add_global_options(parser, EVERY_FORM)
    return parser


def forms_of(name: str) -> Sequence[str]:
    """Return what -o may say to a command."""
    forms: Sequence[str] = getattr(_module(name), "FORMS", FORMS)
    return forms


def _module(name: str) -> ModuleType:
    return import_module(f"controller.cli.{'execute' if name == 'exec' else name}")


def define(parser: Parser, name: str) -> Callable[[Namespace, Settings], int]:
    """Give a parser the help and the arguments of a command; return what carries it out."""
    module = _module(name)
    command: Callable[[Namespace, Settings], int] = module.run
    parser.description = command.__doc__
    module.add_arguments(parser)
    add_global_options(parser, forms_of(name), getattr(module, "FORMS_HELP", FORMS_HELP))
    return command
