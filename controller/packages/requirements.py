"""`requirements.txt`: from text to checked requirements with their hashes. Pure; every refusal is 2004.

Only what can be satisfied from the package's own wheels is taken: names with versions, extras, markers and hashes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Set
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement

from controller.errors import Code, PackageError

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--hash[=\s]+(\S+)")
_MEANINGLESS = frozenset(
    [
        "-i", "--index-url", "--pypi-url", "--extra-index-url", "--no-index", "-f", "--find-links", "--trusted-host",
        "--prefer-binary", "--only-binary", "--no-binary", "--pre", "--use-feature", "--require-hashes",
    ]
)  # fmt: skip
"""Options about where to download from and in which form: the wheels are here, and the zip's digest is checked."""
_CONSTRAINTS = frozenset(["-c", "--constraint"])
_MOST_FILES = 100
HASH_ALGORITHMS = ("sha256", "sha384", "sha512")
_NEXT = "list plain requirements whose wheels are in wheels/, and pack again"


@dataclass(frozen=True, slots=True)
class PinnedRequirement:
    """One line: the requirement, and the `algorithm:hex` hashes of which a wheel must have one, if there are any."""

    requirement: Requirement
    hashes: tuple[str, ...] = ()
    wanted_by: str = "requirements.txt"

    @property
    def line(self) -> str:
        """The line in the one spelling that uv is given."""
        return " ".join([str(self.requirement), *(f"--hash={value}" for value in self.hashes)])

    def allows(self, digests: Set[str]) -> bool:
        """Whether a file with these digests (`algorithm:hex`) may be it; one without any was not read yet."""
        return not self.hashes or not digests or not digests.isdisjoint(self.hashes)


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a package asks for, which versions its constraint files permit, and the lines that mean nothing here."""

    wanted: tuple[PinnedRequirement, ...] = ()
    constraints: tuple[PinnedRequirement, ...] = ()
    ignored: tuple[str, ...] = ()


def read_requirements(path: str, read: Callable[[str], str | None]) -> Requirements:
    """Return the requirements of a file of the package and of all files that it names with `-r` and `-c`.

    `read` returns the text of a file by its path in the zip, None where there is none. Raises PackageError 2004, naming
    each line that cannot be taken.
    """
    reader = _Reader(read)
    reader.follow(path, constraints=False)
    if reader.problems:
        raise PackageError(Code.wheels_missing, "; ".join(reader.problems), next_step=_NEXT)
    return Requirements(tuple(reader.wanted), tuple(reader.constraints), tuple(reader.ignored))


class _Reader:
    """What the files have said so far."""

    def __init__(self, read: Callable[[str], str | None]) -> None:
        self.wanted: list[PinnedRequirement] = []
        self.constraints: list[PinnedRequirement] = []
        self.ignored: list[str] = []
        self.problems: list[str] = []
        self._read = read
        self._seen: set[tuple[str, bool]] = set()

    def follow(self, path: str, *, constraints: bool, named_in: str = "") -> None:
        if (path, constraints) in self._seen:
            return
        if len(self._seen) == _MOST_FILES:
            raise _NotTaken(f"more than {_MOST_FILES} files are named")
        self._seen.add((path, constraints))
        text = self._read(path)
        if text is None:
            self.problems.append(f"{named_in}: {path} is not in the package")
            return
        for number, line in _logical_lines(text):
            where = f"{path}:{number}"
            try:
                if line.startswith("-"):
                    self._option(line, path, where, constraints=constraints)
                elif line:
                    (self.constraints if constraints else self.wanted).append(_parse(line, where))
            except _NotTaken as error:
                self.problems.append(f"{where}: {error}")

    def _option(self, line: str, path: str, where: str, *, constraints: bool) -> None:
        option, value = _split_option(line)
        if option in {"-r", "--requirement", *_CONSTRAINTS}:
            self.follow(_beside(path, value), constraints=constraints or option in _CONSTRAINTS, named_in=where)
        elif option in _MEANINGLESS:
            self.ignored.append(f"{where}: {option} says where or how to download; a package has only its wheels")
        else:
            raise _NotTaken(f"the option {option} is not allowed in an offline package")


class _NotTaken(ValueError):
    """Why a line is not taken."""


def _split_option(line: str) -> tuple[str, str]:
    """Return an option and its value: `-r x`, `-rx`, `--requirement x`, `--requirement=x`."""
    if line.startswith("--"):
        option, _, value = line.replace("=", " ", 1).partition(" ")
        return option, value.strip()
    return line[:2], line[2:].strip(" \t=")


def _beside(path: str, value: str) -> str:
    """Return the path in the zip of a file that is named in the file at `path`."""
    found = posixpath.normpath(posixpath.join(posixpath.dirname(path), value.strip("'\"")))
    if "://" in value or posixpath.isabs(found) or found.split("/")[0] == "..":
        raise _NotTaken(f"{value[:100]!r} is not a file of the package")
    return found


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Join continued lines (a backslash at the end) and drop comments, as pip does, keeping the first line's number."""
    lines: list[tuple[int, str]] = []
    begun: tuple[int, str] | None = None
    for number, physical in enumerate(text.splitlines(), 1):
        first, before = begun or (number, "")
        if physical.endswith("\\") and not physical.lstrip().startswith("#"):
            begun = (first, before + physical[:-1] + " ")
            continue
        begun = None
        lines.append((first, _COMMENT.sub("", before + physical).strip()))
    if begun:
        lines.append((begun[0], _COMMENT.sub("", begun[1]).strip()))
    return lines


def _parse(line: str, where: str) -> PinnedRequirement:
    hashes = tuple(_HASH.findall(line))
    plain = _HASH.sub("", line).strip()
    if re.search(r"\s--", plain):
        raise _NotTaken(f"{plain[:100]!r} has an option that is not supported")
    for value in hashes:
        if not re.fullmatch(rf"({'|'.join(HASH_ALGORITHMS)}):[0-9a-fA-F]+", value):
            raise _NotTaken(f"{value[:100]!r} is not a hash such as sha256:…")
    try:
        requirement = Requirement(plain)
    except InvalidRequirement as error:
        raise _NotTaken(f"{plain[:100]!r} is not a requirement: {str(error).splitlines()[0]}") from error
    if requirement.url:
        raise _NotTaken(f"{requirement.name} is to come from {requirement.url}: a package has only its wheels")
    return PinnedRequirement(
        requirement, tuple(value.lower() for value in hashes), posixpath.basename(where.rpartition(":")[0])
    )
