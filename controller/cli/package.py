"""`pvctl package`: look at zips without a store, and list the packages of one."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from controller.cli.output import columns, emit, show, show_error, show_lines
from controller.cli.parameters import name, path
from controller.cli.parser import Parser
from controller.cli.progress import progress
from controller.cli.settings import Settings, add_global_options
from controller.errors import ControllerError
from controller.model.package import PackageRef
from controller.station.commands.activating import ListActive
from controller.station.commands.packages import ListPackages, State

if TYPE_CHECKING:
    from controller.cli.product import Checks
    from controller.packages.examination import Examination
    from controller.station.commands.validating import PackageReport
    from controller.station.port import Report


def add_arguments(parser: Parser) -> None:
    """Add the commands within this one."""
    acts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = acts.add_parser("validate", help="Check zips as an install would.", description=validate.__doc__)
    check.add_argument("zips", metavar="ZIP", nargs="+", type=path, help="The packages.")
    check.set_defaults(act=validate)
    look = acts.add_parser(
        "show", help="Show what is in a zip, or how one was installed.", description=show_package.__doc__
    )
    look.add_argument("zip_path", metavar="ZIP|NAME", type=path, help="The zip; or, with VERSION, the package's name.")
    look.add_argument("version", metavar="VERSION", nargs="?", help="The version that was installed, or was to be.")
    look.set_defaults(act=show_package)
    listed = acts.add_parser("list", help="List the packages of the store.", description=list_packages.__doc__)
    listed.add_argument("--state", choices=get_args(State), help="Only those in this state.")
    listed.add_argument("--name", metavar="NAME", help="Only those of this name.")
    listed.set_defaults(act=list_packages)
    active = acts.add_parser("active", help="List what answers each PID.", description=list_active.__doc__)
    active.add_argument("--pid", metavar="PID", type=name, action="append", default=[], help="May be repeated.")
    active.set_defaults(act=list_active)
    for each in (check, look, listed, active):
        add_global_options(each)


def run(arguments: Namespace, settings: Settings) -> int:
    """Check a zip as an install would, or show what is in it: no store is needed. List what a store holds and runs.

    Examples:
      pvctl package validate build/*.zip
      pvctl package show screw-check-1.1.0.zip
      pvctl package list --state installed
      pvctl package active --pid A01
    """
    return int(arguments.act(arguments, settings))


def validate(arguments: Namespace, settings: Settings) -> int:
    """Check each ZIP as an install would: structure, wheels, environment, and the entry point in a process of its own.

    Everything that is found is told, errors and warnings; every check and what became of it with -o wide or json. Exit
    code 0 where all are good, 4 otherwise.

    Examples:
      pvctl package validate build/*.zip
      pvctl package validate screw-check-1.1.0.zip -o wide
    """
    checks = settings.product.checks()
    with progress() as notify:
        reports = [_check(checks, each, notify) for each in arguments.zips]
    emit(settings, [_document(each) for each in reports], lambda: _print(reports, wide=settings.wide))
    return 0 if all(each.valid for each in reports) else 4


def _check(checks: Checks, zip_path: Path, report: Report) -> PackageReport:
    from controller.station.validating import report_of

    found = checks.trial(zip_path, lambda step: report(f"{zip_path.name}: {step}"))
    return report_of(str(zip_path), found)


def _document(report: PackageReport) -> dict[str, object]:
    """Return a report as it has been printed since the first release, with every check."""
    package = {} if report.name is None else {"package": f"{report.name}@{report.version}"}
    digest = {} if report.digest is None else {"digest": report.digest}
    document = asdict(report)
    return {
        "zip": report.zip, "valid": report.valid, "error": document["error"], **package, **digest,
        "errors": [each["error"] for each in document["checks"] if each["error"] is not None],
        "warnings": report.warnings, "checks": document["checks"],
    }  # fmt: skip


def _print(reports: list[PackageReport], *, wide: bool) -> None:
    """Print a line for each finding, with the zip before it, as compilers do; with `wide` also one for each check."""
    for report in reports:
        if report.valid:
            show(f"{report.zip}: valid, {report.name}@{report.version}")
        for check in report.checks:
            if check.error is not None:
                show(f"{report.zip}: [{check.error.code} {check.error.name}] {check.error.message}")
        for warning in report.warnings:
            show(f"{report.zip}: warning: {warning}")
        if wide:
            rows = [(each.name, each.state.replace("_", " "), each.because or each.what) for each in report.checks]
            columns(["CHECK", "STATE", "WHAT"], rows)


def show_package(arguments: Namespace, settings: Settings) -> int:
    """Show what is in a ZIP, whatever it was packed for: manifest, steps, digest, layout, wheels, and what is wrong.

    With NAME and VERSION: when and how it was installed in the store, from its receipt and the log of its installation;
    where that failed, why, with the algorithm's own traceback. Exit code 4 where there is neither.

    Examples:
      pvctl package show screw-check-1.1.0.zip
      pvctl package show screw-check 1.1.0
    """
    if arguments.version is not None:
        return _show_installed(PackageRef(str(arguments.zip_path), arguments.version), settings)
    found = settings.product.checks().look(arguments.zip_path)
    if found.manifest is None:
        show_error(found.errors[0], settings.output)
        return 4
    document: dict[str, object] = {
        **asdict(found.manifest),
        "required_assets": [str(asset) for asset in found.manifest.required_assets],
        "digest": found.digest,
        "layout": found.contents.shape if found.contents else None,
        "interpreter": found.interpreter.executable if found.interpreter else None,
        "wheels": sorted(wheel.file for wheel in found.wheels),
        "errors": [error.to_document() for error in found.errors],
        "warnings": found.warnings,
    }
    emit(settings, document, lambda: _print_package(document, found))
    return 0


def _show_installed(package: PackageRef, settings: Settings) -> int:
    found = settings.product.checks().installed(package)
    if found.receipt is None and not found.log:
        show_error(
            ControllerError(
                f"{package} is not installed here, and nobody tried", next_step="see `pvctl status`, PACKAGES"
            ),
            settings.output,
        )
        return 4
    facts: dict[str, object] = (
        asdict(found.receipt) if found.receipt else {"name": package.name, "version": package.version}
    )
    document = {**facts, "installed": found.receipt is not None, "log": found.log.splitlines()}

    def as_table() -> None:
        columns(["FIELD", "VALUE"], [(key, _shown(value)) for key, value in document.items() if key != "log"])
        show()
        show_lines(found.log)

    emit(settings, document, as_table)
    return 0


def list_packages(arguments: Namespace, settings: Settings) -> int:
    """List the packages of the store, installed ones and zips, with their states and the PIDs that they answer.

    Example:
      pvctl package list --name screw-check
    """
    found = settings.execute(ListPackages(arguments.state, arguments.name))
    rows = [
        (each.name, each.version, each.state, ", ".join(each.active), each.zip or "", each.reason)
        for each in found.algorithms
    ]
    headers = ["NAME", "VERSION", "STATE", "ACTIVE ON", "ZIP", "REASON"]
    emit(settings, asdict(found), lambda: columns(headers, rows))
    return 0


def list_active(arguments: Namespace, settings: Settings) -> int:
    """List the version that answers each PID, and the deployment that has it; none: it was activated by hand.

    Example:
      pvctl package active
    """
    found = settings.execute(ListActive(tuple(arguments.pid)))
    rows = [
        (each.pid, each.name, each.version, each.deployment, "held" if each.held else "", each.activated_at)
        for each in found.active
    ]
    headers = ["PID", "NAME", "VERSION", "DEPLOYMENT", "HELD", "SINCE"]
    emit(settings, asdict(found), lambda: columns(headers, rows))
    return 0


def _print_package(document: dict[str, object], found: Examination) -> None:
    rows = [(key, _shown(value)) for key, value in document.items() if key not in {"steps", "errors", "warnings"}]
    steps = found.manifest.steps if found.manifest else ()
    columns(["FIELD", "VALUE"], [*rows, *(row for step in steps for row in _step_rows(step))])
    for error in found.errors:
        show(f"error: [{int(error.code)} {error.code.name}] {error}")
    for warning in found.warnings:
        show(f"warning: {warning}")


def _step_rows(step: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield a line for a step of the manifest and one for each of its parameters, in words of the manifest."""
    name = f"step {step.get('index', '')}".rstrip()
    yield name, step.get("name", "")
    params = step.get("params")
    for each in params if isinstance(params, list) else ():
        if isinstance(each, dict):
            facts = ", ".join(f"{key}: {value}" for key, value in each.items() if key != "key")
            yield f"  param {each.get('key', '')}", facts


def _shown(value: object) -> object:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
