"""`pvctl completion`: a completion script for a shell."""

from __future__ import annotations

import click

from controller.cli.settings import global_options


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@global_options()
def command(shell: str) -> int:
    """Print a completion script for SHELL.

    \b
    Example:
      eval "$(pvctl completion bash)"
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root()
    completion = get_completion_class(shell)
    if completion is not None:
        click.echo(completion(root.command, {}, "pvctl", "_PVCTL_COMPLETE").source())
    return 0
