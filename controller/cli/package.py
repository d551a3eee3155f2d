"""`pvctl package`: look at zips without a store."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from controller.cli.output import columns, emit, show, show_error
from controller.cli.parameters import path
from controller.cli.parser import Parser
from controller.cli.progress import progress
from controller.cli.settings import Settings, add_global_options
from controller.errors import PackageError

if TYPE_CHECKING:
    from controller.cli.product import Checks
    from controller.errors import ErrorDocument
    from controller.station.port import Report


def add_arguments(parser: Parser) -> None:
    """Add the commands within this one."""
    acts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    check = acts.add_parser("validate", help="Check zips as an install would.", description=validate.__doc__)
    check.add_argument("zips", metavar="ZIP", nargs="+", type=path, help="The packages.")
    check.set_defaults(act=validate)
    look = acts.add_parser("show", help="Show what is in a zip.", description=show_package.__doc__)
    look.add_argument("zip_path", metavar="ZIP", type=path, help="The package.")
    look.set_defaults(act=show_package)
    for each in (check, look):
        add_global_options(each)


def run(arguments: Namespace, settings: Settings) -> int:
    """Check a zip as an install would, or show what is in it. No store is needed.

    Examples:
      pvctl package validate build/*.zip
      pvctl package show screw-check-1.1.0.zip
    """
    return int(arguments.act(arguments, settings))


def validate(arguments: Namespace, settings: Settings) -> int:
    """Check each ZIP as an install would: structure, wheels, environment, and the entry point in a process of its own.

    Exit code 0 where all are good, 4 otherwise.

    Example:
      pvctl package validate build/*.zip
    """
    checks = settings.product.checks()
    with progress() as notify:
        rows = [_check(checks, each, notify) for each in arguments.zips]
    emit(settings, [row.to_document() for row in rows], lambda: _print(rows))
    return 0 if all(row.error is None for row in rows) else 4


@dataclass(frozen=True, slots=True)
class _Row:
    """What was found about one zip; `error` is the contract's object."""

    zip: str
    error: ErrorDocument | None
    package: str = ""

    def to_document(self) -> dict[str, object]:
        found = {"package": self.package} if self.package else {}
        return {"zip": self.zip, "valid": self.error is None, "error": self.error, **found}


def _check(checks: Checks, zip_path: Path, report: Report) -> _Row:
    try:
        inspection = checks.trial(zip_path, lambda step: report(f"{zip_path.name}: {step}"))
    except PackageError as error:
        return _Row(str(zip_path), error.to_document())
    return _Row(str(zip_path), None, str(inspection.manifest.ref))


def _print(rows: list[_Row]) -> None:
    for row in rows:
        if row.error is None:
            show(f"{row.zip}: valid, {row.package}")
        else:
            show(f"{row.zip}: [{row.error['code']} {row.error['name']}] {row.error['message']}")


def show_package(arguments: Namespace, settings: Settings) -> int:
    """Show a ZIP's manifest, digest, layout and wheels.

    Example:
      pvctl package show screw-check-1.1.0.zip
    """
    try:
        inspection = settings.product.checks().inspect(arguments.zip_path)
    except PackageError as error:
        show_error(error, settings.output)
        return 4
    document = {
        **asdict(inspection.manifest),
        "digest": inspection.digest,
        "layout": inspection.layout,
        "interpreter": inspection.interpreter.executable,
        "wheels": sorted(inspection.wheels),
        "warnings": list(inspection.warnings),
    }
    rows = [(key, _shown(value)) for key, value in document.items()]
    emit(settings, document, lambda: columns(["FIELD", "VALUE"], rows))
    return 0


def _shown(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | dict) else value
