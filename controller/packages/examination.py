"""A zip under examination: what the checks found out of it so far, and what became of each check.

The checks themselves, and their order, are in `checks.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from controller.errors import PackageError
from controller.model.package import Manifest, PackageRef, Receipt
from controller.packages.archive import Archive
from controller.packages.closure import Closure, Misfit
from controller.packages.contents import Contents, Shape
from controller.packages.interpreters import Interpreter, Interpreters
from controller.packages.limits import Limits
from controller.packages.requirements import PinnedRequirement, Requirements
from controller.packages.wheels import Wheel

Found = TypeVar("Found")
CheckState = Literal["passed", "failed", "not_reached"]
Place = Callable[[PackageRef, str], Receipt | None]
"""Returns the receipt where that artefact is installed whole. Raises PackageError where another one is."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a package. `needs` names those that must have passed, or it is not reached.

    `run` notes what it finds; it raises PackageError where it fails, and returns why it was not made, if so.
    """

    name: str
    what: str
    needs: tuple[str, ...]
    run: Callable[[Examination], str | None]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What became of a check. `error`: why it failed; `because`: why it was not reached."""

    check: Check
    state: CheckState
    error: PackageError | None = None
    because: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a package is, as far as reading tells.

    `wheels` maps file names to SHA-256 hex digests; `allowed` are those that the requirements' hashes do not exclude.
    """

    manifest: Manifest
    digest: str
    layout: Shape
    wheels: dict[str, str]
    allowed: frozenset[str]
    interpreter: Interpreter
    requirements: tuple[PinnedRequirement, ...]
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Examination:
    """What reading a zip tells, whatever is wrong with it. What could not be read is None, or empty.

    Where not `in_full`, no member but the manifest and the requirements is read, and wheels are judged by their names.
    `place` looks whether the package is installed already; None: there is no store.
    """

    path: Path = Path()
    limits: Limits = field(default_factory=Limits)
    interpreters: Interpreters = field(default_factory=lambda: Interpreters(()))
    in_full: bool = True
    place: Place | None = None
    open_files: ExitStack = field(default_factory=ExitStack)
    results: dict[str, CheckResult] = field(default_factory=dict)
    opening: PackageError | None = None
    opened: Archive | None = None
    digest: str = ""
    root: str = ""
    manifest: Manifest | None = None
    installed: Receipt | None = None
    contents: Contents | None = None
    requirements: Requirements | None = None
    wheels: list[Wheel] = field(default_factory=list)
    unreadable: list[PackageError] = field(default_factory=list)
    """What is wrong with files that are named like wheels."""
    closures: list[tuple[Interpreter, Closure, Misfit | None]] = field(default_factory=list)
    """For each interpreter here what the requirements come to, and what is missing for it."""
    chosen: Closure | None = None
    interpreter: Interpreter | None = None
    allowed: frozenset[str] = frozenset()
    warnings: list[str] = field(default_factory=list)

    def run(self, checks: Iterable[Check]) -> None:
        """Run checks, in their order, as far as they can be reached. Raises StoreError."""
        for check in checks:
            self.results[check.name] = self._result_of(check)

    def leave_out(self, checks: Iterable[Check], because: str) -> None:
        """Note that checks are not made, and why."""
        for check in checks:
            self.results[check.name] = CheckResult(check, "not_reached", because=because)

    def _result_of(self, check: Check) -> CheckResult:
        for name in check.needs:
            if (needed := self.results[name]).error is not None:
                return CheckResult(check, "not_reached", because=f"{name} failed")
            if needed.state == "not_reached" and needed.because.endswith(" failed"):
                return CheckResult(check, "not_reached", because=needed.because)
        try:
            because = check.run(self)
        except PackageError as error:
            return CheckResult(check, "failed", error)
        return CheckResult(check, "not_reached", because=because) if because else CheckResult(check, "passed")

    @property
    def errors(self) -> list[PackageError]:
        """Why checks failed, in the order of the checks."""
        return [each.error for each in self.results.values() if each.error is not None]

    def require(self) -> None:
        """Raise the first error that was found."""
        if errors := self.errors:
            raise errors[0]

    @property
    def archive(self) -> Archive:
        """The open zip, once it was opened."""
        return _known(self.opened)

    @property
    def known_contents(self) -> Contents:
        """The contents, once they were laid out."""
        return _known(self.contents)

    @property
    def known_manifest(self) -> Manifest:
        """The manifest, once it was read."""
        return _known(self.manifest)

    @property
    def known_requirements(self) -> Requirements:
        """The requirements, once they were read."""
        return _known(self.requirements)

    def inspection(self) -> tuple[Inspection, Contents]:
        """Return what an install needs. Raises the first error that was found."""
        self.require()
        digests = {wheel.file: wheel.sha256 for wheel in self.wheels}
        found = Inspection(
            self.known_manifest, self.digest, self.known_contents.shape, digests, self.allowed,
            _known(self.interpreter), self.known_requirements.wanted, tuple(self.warnings),
        )  # fmt: skip
        return found, self.known_contents


def _known(found: Found | None) -> Found:
    if found is None:
        raise AssertionError("a check that needs this was made before the one that finds it")
    return found
