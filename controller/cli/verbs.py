"""`pvctl promote, pause, resume, abort, retry, rollback`: what an operator decides by hand."""

from __future__ import annotations

from typing import Any

import click

from controller.cli.output import emit, settings
from controller.cli.settings import global_options


def _operate(verb: str, subject: str, **arguments: Any) -> int:
    message = settings().station.operate(verb, subject, {name: value for name, value in arguments.items() if value})
    emit({"verb": verb, "subject": subject, "message": message}, lambda: click.echo(message))
    return 0


@click.command("promote")
@click.argument("deployment")
@click.option("--full", is_flag=True, help="Skip all pauses to come as well.")
@global_options()
def promote(deployment: str, full: bool) -> int:
    """End the present pause of DEPLOYMENT's rollout.

    \b
    Example:
      pvctl promote screw-check
    """
    return _operate("promote", deployment, full=full)


@click.command("pause")
@click.argument("deployment")
@global_options()
def pause(deployment: str) -> int:
    """Stop DEPLOYMENT's rollout where it is, until `pvctl resume`. A failing version is still taken back.

    \b
    Example:
      pvctl pause screw-check
    """
    return _operate("pause", deployment)


@click.command("resume")
@click.argument("subject", metavar="PID|DEPLOYMENT")
@global_options()
def resume(subject: str) -> int:
    """End a pause of a deployment's rollout, or the holds on its PIDs or on one PID.

    \b
    Examples:
      pvctl resume screw-check
      pvctl resume A01
    """
    return _operate("resume", subject)


@click.command("abort")
@click.argument("deployment")
@click.option("--reason", help="Why, for the audit.")
@global_options()
def abort(deployment: str, reason: str | None) -> int:
    """Take DEPLOYMENT's rollout back and put the version into quarantine.

    \b
    Example:
      pvctl abort screw-check --reason "operators see false alarms"
    """
    return _operate("abort", deployment, reason=reason)


@click.command("retry")
@click.argument("deployment")
@global_options()
def retry(deployment: str) -> int:
    """Lift the quarantine of DEPLOYMENT's version: it is rolled out once more.

    \b
    Example:
      pvctl retry screw-check
    """
    return _operate("retry", deployment)


@click.command("rollback")
@click.argument("subject", metavar="PID|DEPLOYMENT")
@click.option("--to", metavar="VERSION", help="Which version [default: the one before].")
@click.option("--emergency", is_flag=True, help="Switch at once, without waiting for the process to be ready.")
@click.option("--reason", required=True, help="Why, for the audit.")
@global_options()
def rollback(subject: str, to: str | None, emergency: bool, reason: str) -> int:
    """Hold a PID, or all PIDs of a deployment, on an older version. It outranks the desired state until `pvctl resume`.

    \b
    Examples:
      pvctl rollback screw-check --reason "scrap on line A"
      pvctl rollback A01 --to 1.0.0 --emergency --reason "line stopped"
    """
    return _operate("rollback", subject, to=to, emergency=emergency, reason=reason)


COMMANDS = {each.name: each for each in (promote, pause, resume, abort, retry, rollback)}
