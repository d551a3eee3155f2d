"""Installing and removing packages by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from controller.errors import Code, PackageError
from controller.station.port import Access, Command, Operation, Route

_LONGEST_NAME = 200


def is_zip_name(name: str) -> bool:
    """Whether a file name is that of a zip and of nothing else: it becomes a file in a folder of the store."""
    plain = name.isprintable() and "/" not in name and not name.startswith(".")
    return plain and name.endswith(".zip") and len(name.encode()) <= _LONGEST_NAME


@dataclass(frozen=True, slots=True)
class PackageState:
    """A package that was installed or uninstalled."""

    name: str
    version: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Install(Command[PackageState]):
    """Install a zip and keep it in the store. Raises PackageError 2001 where it could not keep its file name there."""

    zip_path: Path

    def __post_init__(self) -> None:
        if not is_zip_name(self.zip_path.name):
            raise PackageError(
                Code.invalid_zip,
                f"{self.zip_path} cannot be kept in the store under its name: that must end in .zip, not begin with a "
                f"dot, and have at most {_LONGEST_NAME} bytes, each of them printable",
                next_step="rename it; the file name is free otherwise",
            )

    @property
    def about(self) -> str:
        """The zip's file name."""
        return self.zip_path.name

    operation: ClassVar = Operation(
        Access.admin,
        "Install a zip.",
        (
            Route(
                "POST",
                "/algorithms/install",
                "Its progress; the last line is outcome or error.",
                (400, 408, 413, 415),
            ),
        ),
        PackageState,
        long=True,
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
