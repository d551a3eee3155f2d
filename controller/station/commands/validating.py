"""Checking packages: what an install would find, as a report of every check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from controller.errors import CallError, Code
from controller.station.commands.packages import ErrorRow, require_package, require_zip_name
from controller.station.port import Access, Command, Operation, Route

CheckState = Literal["passed", "failed", "not_reached"]


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check. `what`: what holds where it passed. `error`: why it failed; `because`: why it was not reached."""

    name: str
    what: str
    state: CheckState
    error: ErrorRow | None = None
    because: str = ""


@dataclass(frozen=True, slots=True)
class PackageReport:
    """What became of every check of a zip, in their order. `valid`: none failed; `error`: the first that did.

    `name`, `version` and `digest` as far as they could be read.
    """

    zip: str
    valid: bool
    name: str | None
    version: str | None
    digest: str | None
    error: ErrorRow | None
    checks: tuple[CheckRow, ...]
    warnings: tuple[str, ...]


_OPERATION = Operation(
    Access.admin,
    "Check a package as an install would, and report every check.",
    (Route("POST", "/algorithms/validate", "The report, also of a package that is not valid.", (400, 408, 413, 415)),),
    PackageReport,
    long=True,
)


@dataclass(frozen=True, slots=True)
class Validate(Command[PackageReport]):
    """Check a zip. With `prove`, its environment is built and its entry point started too; nothing of it is kept."""

    zip_path: Path
    prove: bool = False
    operation: ClassVar = _OPERATION

    @property
    def about(self) -> str:
        """The zip's file name."""
        return self.zip_path.name


@dataclass(frozen=True, slots=True)
class ValidateStored(Command[PackageReport]):
    """Check a zip that is in the store: the one of that file name, or the one of a package; see `Validate`.

    Raises CallError 1003 where it names neither, or both.
    """

    act: ClassVar = "validate"
    zip: str | None = None
    name: str | None = None
    version: str | None = None
    prove: bool = False
    operation: ClassVar = _OPERATION

    def __post_init__(self) -> None:
        by_package = self.name is not None and self.version is not None
        some_of_package = self.name is not None or self.version is not None
        if by_package != some_of_package or (self.zip is not None) == by_package:
            raise CallError(
                Code.invalid_params, "the package is not named", next_step="give zip, or both name and version"
            )
        if self.zip is not None:
            require_zip_name(self.zip)
        if self.name is not None and self.version is not None:
            require_package(self.name, self.version)

    @property
    def about(self) -> str:
        """The zip, or the package."""
        return self.zip or f"{self.name}@{self.version}"
