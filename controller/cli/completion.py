"""`pvctl completion`: a completion script for a shell."""

from __future__ import annotations

from argparse import Action, Namespace

from controller.cli.app import COMMANDS, define
from controller.cli.output import show_lines
from controller.cli.parameters import path
from controller.cli.parser import Parser
from controller.cli.settings import Settings, add_global_options


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="Which shell the script is for.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Print a script that completes commands, options, their values and paths in a shell.

    Example:
      eval "$(pvctl completion bash)"
    """
    import shtab

    show_lines(f"{shtab.complete(_whole(), shell=arguments.shell)}\n")
    return 0


def _whole() -> Parser:
    """Return one parser with every command in it, marked with what shtab shall complete."""
    parser = Parser(prog="pvctl")
    add_global_options(parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    for name, line in COMMANDS.items():
        define(commands.add_parser(name, help=line), name)
    _mark(parser)
    return parser


def _mark(parser: Parser) -> None:
    import shtab

    for action in actions_of(parser):
        if action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.type is path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif isinstance(action.choices, dict):
            for inner in action.choices.values():
                _mark(inner)


def actions_of(parser: Parser) -> list[Action]:
    return parser._actions  # noqa: SLF001  (argparse has no other way to list them; shtab reads the same)
