"""The command group: global options, commands loaded only when they are named, exit codes for wrong usage."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from controller.cli.settings import Settings, global_options
from controller.errors import CodedError, ControllerError, DesiredStateError

USAGE = 64

# A command's name, the module that holds it, and its line in the overview (so that help imports no command).
COMMANDS = {
    "validate": "Check a desired tree or a file, with no store.",
    "plan": "Show what a reconcile would do now, and why.",
    "reconcile": "Make the station match the desired state.",
    "run": "Keep the station as desired: the daemon.",
    "status": "Show what is deployed, active and running.",
    "exec": "Run one detection through a PID's active version.",
    "promote": "End a rollout's present pause.",
    "pause": "Stop a rollout where it is.",
    "resume": "End a pause or a hold.",
    "abort": "Take a rollout back.",
    "retry": "Lift a quarantine.",
    "rollback": "Hold a PID or a deployment on an older version.",
    "package": "Check a zip, or show what is in it.",
    "install": "Install a zip by hand.",
    "uninstall": "Remove an installed version that nothing needs.",
    "history": "Show which versions answered a PID.",
    "audit": "Show the audit log, or verify its chain.",
    "logs": "Show the log of a deployment's processes.",
    "down": "End every algorithm process of the store.",
    "schema": "Print the JSON Schema of the desired state.",
    "completion": "Print a completion script for a shell.",
    "version": "Print the version.",
}

VERBS = ("promote", "pause", "resume", "abort", "retry", "rollback")


class LazyGroup(click.Group):
    """Imports a command's module (`controller.cli.<name>`) when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"controller.cli.{_module_name(cmd_name)}")
        command: click.Command = module.COMMANDS[cmd_name] if cmd_name in VERBS else module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"no command {args[0]!r}{hint}", ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _module_name(command: str) -> str:
    return {"exec": "execute", **dict.fromkeys(VERBS, "verbs")}.get(command, command)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 failed, 2 changes pending (plan), 3 still progressing, 4 desired state or package "
    "invalid, 5 degraded, 64 wrong usage. Every global option also stands as PVCTL_* in the environment.",
)
@global_options(from_environment=True)
def group() -> None:
    """Deliver vision algorithms to a station: one YAML tree says which version serves each PID.

    \b
    Examples:
      pvctl validate
      pvctl plan
      pvctl reconcile --once
      pvctl exec A01 --image part.png
    """


def run(arguments: Sequence[str], station_at: Callable[[Settings], Any]) -> int:
    """Run one command line and return its exit code. `station_at` builds the parts that a command asks for."""
    settings = Settings(station_at)
    try:
        result = group.main(list(arguments), prog_name="pvctl", standalone_mode=False, obj=settings)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        error.show()
        return USAGE
    except click.Abort:
        click.echo("aborted", err=True)
        return 130
    except BrokenPipeError:  # the reader of a pipe went away: nobody is left to tell
        sys.stderr.close()
        return 1
    except (ControllerError, OSError) as error:
        return show_error(_as_ours(error), settings.output)
    return int(result or 0)


def _as_ours(error: ControllerError | OSError) -> ControllerError:
    """Return an error of the machine, as when stdout goes to a full disk, as one that is shown without a traceback."""
    if isinstance(error, ControllerError):
        return error
    return ControllerError(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))


def show_error(error: ControllerError, output: str = "table") -> int:
    """Print what is wrong and what to do next; return the exit code that goes with it.

    An error with a code goes to stdout where a machine asked for a document, as the same object as everywhere.
    """
    if isinstance(error, CodedError) and output != "table":
        from controller.cli.output import write

        write({"error": error.to_document()}, output)
        return 1
    if isinstance(error, DesiredStateError):
        for problem in error.problems:
            click.echo(problem, err=True)
        return 4
    code = f" [{int(error.code)} {error.code.name}]" if isinstance(error, CodedError) else ""
    click.echo(f"error{code}: {error.message}", err=True)
    if error.next_step:
        click.echo(f"  next: {error.next_step}", err=True)
    return 1
