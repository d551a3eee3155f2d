"""Installing, listing and removing packages by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from controller.errors import CallError, Code, PackageError
from controller.model.names import NAME_PATTERN, VERSION_PATTERN
from controller.station.port import Access, Command, Operation, Route

State = Literal["discovered", "validated", "installed", "invalid"]
_LONGEST_NAME = 200


def is_zip_name(name: str) -> bool:
    """Whether a file name is that of a zip and of nothing else: it becomes a file in a folder of the store."""
    plain = name.isprintable() and "/" not in name and not name.startswith(".")
    return plain and name.endswith(".zip") and len(name.encode()) <= _LONGEST_NAME


def require_zip_name(name: str) -> None:
    """Raise CallError 1003 where a name cannot be that of a zip in the store."""
    if not is_zip_name(name):
        raise CallError(
            Code.invalid_params,
            f"{name[:80]!r} is no file name of a zip",
            next_step="name a file in algorithms/zips, without a folder",
        )


def require_package(name: str, version: str) -> None:
    """Raise CallError 1003 where no package can be called so: a long act is refused before it begins."""
    for text, pattern, what, letters in (
        (name, NAME_PATTERN, "name of a package", ". - _, at most 63"),
        (version, VERSION_PATTERN, "version", ". - _ + !, at most 64"),
    ):
        if not re.fullmatch(pattern, text):
            raise CallError(
                Code.invalid_params,
                f"{text[:80]!r} can be no {what}",
                next_step=f"use letters, digits and {letters}, beginning with a letter or digit",
            )


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """Why something was refused, as every error is told."""

    code: int
    name: str
    message: str
    details: dict[str, object]


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
class InstallStored(Command[PackageState]):
    """Install the zip of that file name, which is in the store already. Raises CallError 1003 where it can be none."""

    act: ClassVar = "install"
    zip: str

    def __post_init__(self) -> None:
        require_zip_name(self.zip)

    operation: ClassVar = Operation(
        Access.admin,
        "Install a zip that is in the store already.",
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

    @property
    def about(self) -> str:
        """The zip."""
        return self.zip


@dataclass(frozen=True, slots=True)
class Uninstall(Command[PackageState]):
    """Remove an installed version that nothing needs. Refused with 2007 otherwise.

    With `force` also where it answers PIDs that no deployment has, which are deactivated first, or is only a way back.
    """

    name: str
    version: str
    force: bool = False

    def __post_init__(self) -> None:
        require_package(self.name, self.version)

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
                {},
                {"force": "Deactivate the PIDs that no deployment has first, and give up ways back to it."},
            ),
        ),
        PackageState,
        long=True,
    )

    @property
    def about(self) -> str:
        """The package."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class PackageRow:
    """A package: installed, or a zip. `active`: the PIDs that it answers; `zip`: its file in algorithms/zips."""

    name: str
    version: str
    digest: str
    state: State
    error_code: int | None
    reason: str
    supported_pids: tuple[str, ...] | None
    zip: str | None
    active: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackageRows:
    """Packages, sorted by name and version."""

    algorithms: tuple[PackageRow, ...]


@dataclass(frozen=True, slots=True)
class ListPackages(Command[PackageRows]):
    """The packages of the store: all, or those in a state, or of a name."""

    state: State | None = None
    name: str | None = None
    operation: ClassVar = Operation(
        Access.viewer,
        "List the packages of the store.",
        (
            Route(
                "GET", "/algorithms", "The packages.", (400, 500), {}, {},
                {"state": "Only those in this state.", "name": "Only those of this name."},
            ),
        ),
        PackageRows,
    )  # fmt: skip
