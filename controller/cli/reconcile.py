"""`pvctl reconcile --once`: make the station match the desired state."""

from __future__ import annotations

from typing import Any

import click

from controller.cli.output import emit, progress, settings
from controller.cli.parameters import DurationText
from controller.cli.settings import global_options
from controller.cli.status import print_status


@click.command("reconcile")
@click.option("--once", is_flag=True, help="Run rounds until converged, waiting or failed, then return.")
@click.option("--wait", is_flag=True, help="Also wait for the bakes and pauses of a rollout.")
@click.option("--timeout", type=DurationText(), default="5m", show_default=True, help="How long at most.")
@click.option("--no-serve", is_flag=True, help="Prove the versions, switch, and stop the processes again.")
@click.option("--allow-empty", is_flag=True, help="Let a tree without deployments remove everything.")
@global_options()
def command(once: bool, wait: bool, timeout: float, no_serve: bool, allow_empty: bool) -> int:
    """Install what is desired, prove it, switch the PIDs, repair drift, retire what nothing needs.

    The processes stay up afterwards. Exit code 0: converged; 1: failed; 3: still progressing; 4: the desired state
    is invalid (the last valid one stays in force); 5: something desired could not be done, the rest is served.

    \b
    Examples:
      pvctl reconcile --once
      pvctl reconcile --once --wait --timeout 15m
    """
    if not once:
        raise click.UsageError("say --once for one round now, or use `pvctl run` for the daemon")
    with progress() as notify:
        report: dict[str, Any] = settings().station.reconcile(
            serve=not no_serve, wait=wait, timeout=timeout, allow_empty=allow_empty, notify=notify
        )
    status = report["status"]
    emit(status, lambda: print_status(status))
    if settings().output != "table":
        for problem in status["revision"]["errors"]:
            click.echo(problem, err=True)
    return int(report["exit"])
