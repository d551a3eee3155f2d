"""`pvctl reconcile --once`: make the station match the desired state."""

from __future__ import annotations

from argparse import Namespace

from controller.cli.output import emit, say
from controller.cli.parameters import duration, path
from controller.cli.parser import Parser, WrongUsage
from controller.cli.plan_file import read_plan
from controller.cli.progress import progress
from controller.cli.settings import Settings
from controller.cli.status import print_status
from controller.station.commands.reconciling import Reconcile


def add_arguments(parser: Parser) -> None:
    """Add what this command takes."""
    add = parser.add_argument
    add("--once", action="store_true", help="Run passes until converged, waiting or failed, then return.")
    add("--wait", action="store_true", help="Also wait for the bakes and pauses of a rollout.")
    add("--timeout", type=duration, default=300.0, metavar="DURATION", help="How long at most [default: 5m].")
    add("--no-serve", action="store_true", help="Prove the versions, switch, and stop the processes again.")
    add("--plan", type=path, metavar="FILE",
        help="Do what `pvctl plan --out FILE` showed; nothing, if something else would be done.")  # fmt: skip
    add("--allow-empty", action="store_true", help="Let a tree without deployments remove everything.")


def run(arguments: Namespace, settings: Settings) -> int:
    """Install what is desired, prove it, switch the PIDs, repair drift, retire what nothing needs.

    The processes stay up afterwards. Exit code 0: converged; 1: failed; 3: still progressing; 4: the desired state
    is invalid (the last valid one stays in force); 5: something desired could not be done, the rest is served;
    64: a daemon keeps the station to another tree than --desired.

    Examples:
      pvctl reconcile --once
      pvctl reconcile --once --wait --timeout 15m
      pvctl reconcile --once --plan plan.json
    """
    if not arguments.once:
        raise WrongUsage("say --once to reconcile once now, or use `pvctl run` for the daemon", "pvctl reconcile")
    promised = read_plan(arguments.plan) if arguments.plan else None
    command = Reconcile(
        arguments.allow_empty, arguments.wait, arguments.timeout, serve=not arguments.no_serve, plan=promised
    )
    with progress() as notify:
        report = settings.execute(command, notify)
    emit(settings, report.status, lambda: print_status(report.status))
    if settings.output != "table":
        for problem in report.status["revision"]["errors"]:
            say(problem)
    return report.exit
