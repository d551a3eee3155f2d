"""`pvctl package`: look at zips without a store."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from controller.cli.app import show_error
from controller.cli.output import columns, emit, progress, settings
from controller.cli.settings import global_options
from controller.errors import PackageError


@click.group("package", context_settings={"help_option_names": ["-h", "--help"]})
@global_options()
def command() -> None:
    """Check a zip as an install would, or show what is in it. No store is needed."""


@command.command("validate")
@click.argument("zips", nargs=-1, required=True, type=click.Path(path_type=Path))
@global_options()
def validate(zips: tuple[Path, ...]) -> int:
    """Check each ZIP as an install would: structure, wheels, environment, and the entry point in a process of its own.

    Exit code 0 where all are good, 4 otherwise.

    \b
    Example:
      pvctl package validate build/*.zip
    """
    with progress() as notify:
        rows = [_check(path, notify) for path in zips]
    emit(rows, lambda: _print(rows))
    return 0 if all(row["error"] is None for row in rows) else 4


def _check(path: Path, notify: Any) -> dict[str, Any]:
    installer = settings().station.installer()
    try:
        inspection = installer.trial(path, progress=lambda step: notify(f"{path.name}: {step}"))
    except PackageError as error:
        return {"zip": str(path), "valid": False, "error": error.to_document()}
    return {"zip": str(path), "valid": True, "error": None, "package": str(inspection.manifest.ref)}


def _print(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["error"] is None:
            click.echo(f"{row['zip']}: valid, {row['package']}")
        else:
            click.echo(f"{row['zip']}: [{row['error']['code']} {row['error']['name']}] {row['error']['message']}")


@command.command("show")
@click.argument("zip_path", metavar="ZIP", type=click.Path(path_type=Path))
@global_options()
def show(zip_path: Path) -> int:
    """Show a ZIP's manifest, digest, layout and wheels.

    \b
    Example:
      pvctl package show screw-check-1.1.0.zip
    """
    try:
        inspection = settings().station.installer().inspect(zip_path)
    except PackageError as error:
        show_error(error, settings().output)
        return 4
    document = {
        **asdict(inspection.manifest),
        "digest": inspection.digest,
        "layout": inspection.layout,
        "interpreter": inspection.interpreter.executable,
        "wheels": sorted(inspection.wheels),
        "warnings": list(inspection.warnings),
    }
    emit(document, lambda: columns(["FIELD", "VALUE"], [(key, _shown(value)) for key, value in document.items()]))
    return 0


def _shown(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | dict) else value
