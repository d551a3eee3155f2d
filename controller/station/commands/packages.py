"""Installing and removing packages by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from controller.station.port import Access, Command, Operation, Route


@dataclass(frozen=True, slots=True)
class PackageState:
    """A package that was installed or uninstalled."""

    name: str
    version: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Install(Command[PackageState]):
    """Install a zip and keep it in the store."""

    zip_path: Path
    operation: ClassVar = Operation(
        Access.admin,
        "Install a zip, and report the progress as JSON lines.",
        (
            Route(
                "POST",
                "/algorithms/install",
                "Lines; each has one key, the last is outcome or error.",
                (400, 408, 413, 415),
            ),
        ),
        PackageState,
    )


@dataclass(frozen=True, slots=True)
class Uninstall(Command[PackageState]):
    """Remove an installed version that nothing needs. Refused with 2007 otherwise."""

    name: str
    version: str
    operation: ClassVar = Operation(
        Access.admin,
        "Remove an installed version that nothing needs.",
        (
            Route(
                "DELETE",
                "/algorithms/{name}/{version}",
                "It is removed; its zip stays.",
                (400, 409, 500),
                {"name": "name", "version": "version"},
            ),
        ),
        PackageState,
    )
