"""`requirements.txt`: from text to checked requirements with their hashes. Pure; every refusal is 2004.

Only what can be satisfied from the package's own wheels is taken: names with versions, extras, markers and hashes.
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement

from controller.errors import Code, PackageError

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--hash[=\s]+(\S+)")
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
        """Whether a file with these digests (`algorithm:hex`) may be it."""
        return not self.hashes or not digests.isdisjoint(self.hashes)


def parse_requirements(text: str, where: str) -> tuple[PinnedRequirement, ...]:
    """Return the requirements of a file. Raises PackageError 2004, naming the line."""
    found = []
    for number, line in _logical_lines(text):
        if line:
            found.append(_parse(line, f"{where}:{number}"))
    return tuple(found)


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
    if line.startswith("-"):
        option = re.split(r"[\s=]", line, maxsplit=1)[0]
        raise _refused(where, f"the option {option} is not allowed in an offline package")
    hashes = tuple(_HASH.findall(line))
    plain = _HASH.sub("", line).strip()
    if re.search(r"\s--", plain):
        raise _refused(where, f"{plain!r} has an option that is not supported")
    for value in hashes:
        if not re.fullmatch(rf"({'|'.join(HASH_ALGORITHMS)}):[0-9a-fA-F]+", value):
            raise _refused(where, f"{value!r} is not a hash such as sha256:…")
    try:
        requirement = Requirement(plain)
    except InvalidRequirement as error:
        raise _refused(where, f"{plain[:100]!r} is not a requirement: {str(error).splitlines()[0]}") from error
    if requirement.url:
        raise _refused(where, f"{requirement.name} is to come from {requirement.url}: a package has only its wheels")
    return PinnedRequirement(requirement, tuple(value.lower() for value in hashes))


def _refused(where: str, problem: str) -> PackageError:
    return PackageError(Code.wheels_missing, f"{where}: {problem}", next_step=_NEXT)
