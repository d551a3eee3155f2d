"""`pvctl reconcile --once`: make the station match the desired state."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from controller.cli.output import emit, progress, say
from controller.cli.parameters import duration
from controller.cli.parser import Parser, WrongUsage
from controller.cli.settings import Settings
from controller.cli.status import print_status


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    add = parser.add_argument
    add("--once", action="store_true", help="Run rounds until converged, waiting or failed, then return.")
    add("--wait", action="store_true", help="Also wait for the bakes and pauses of a rollout.")
    add("--timeout", type=duration, default=300.0, metavar="DURATION", help="How long at most [default: 5m].")
    add("--no-serve", action="store_true", help="Prove the versions, switch, and stop the processes again.")
    add("--allow-empty", action="store_true", help="Let a tree without deployments remove everything.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Install what is desired, prove it, switch the PIDs, repair drift, retire what nothing needs.

    The processes stay up afterwards. Exit code 0: converged; 1: failed; 3: still progressing; 4: the desired state
    is invalid (the last valid one stays in force); 5: something desired could not be done, the rest is served.

    Examples:
      pvctl reconcile --once
      pvctl reconcile --once --wait --timeout 15m
    """
    if not arguments.once:
        raise WrongUsage("say --once for one round now, or use `pvctl run` for the daemon", "pvctl reconcile")
    with progress() as notify:
        report: dict[str, Any] = settings.station.reconcile(
            serve=not arguments.no_serve, wait=arguments.wait, timeout=arguments.timeout,
            allow_empty=arguments.allow_empty, notify=notify,
        )  # fmt: skip
    status = report["status"]
    emit(settings, status, lambda: print_status(status))
    if settings.output != "table":
        for problem in status["revision"]["errors"]:
            say(problem)
    return int(report["exit"])
