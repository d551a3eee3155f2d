"""Whether the wheels of a package can satisfy its requirements, with one interpreter. Pure.

This is no resolver (uv is). It finds what no choice among the wheels could mend, before anything is written, and says
it in the terms of the package's author: a wheel that lacks something is an obstacle only where no other will do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from controller.packages.interpreters import Interpreter
from controller.packages.requirements import PinnedRequirement, Requirements
from controller.packages.wheels import Wheel


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why an interpreter cannot run the package: what is missing, and the wheels that are for another interpreter."""

    missing: tuple[str, ...]
    incompatible: tuple[Wheel, ...]


class Closure:
    """The wheels of a package as one interpreter sees them, without those that a constraint excludes."""

    def __init__(self, wheels: Iterable[Wheel], requirements: Requirements, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._wanted = [pinned for pinned in requirements.wanted if self._applies(pinned.requirement, "")]
        self._constraints = [pinned for pinned in requirements.constraints if self._applies(pinned.requirement, "")]
        self._permitted: dict[NormalizedName, list[Wheel]] = defaultdict(list)
        self._excluded: dict[NormalizedName, list[Wheel]] = defaultdict(list)
        for wheel in wheels:
            (self._permitted if self._constrained(wheel) else self._excluded)[wheel.name].append(wheel)
        self._incomplete: set[tuple[str, str]] = set()
        """The wheels that lack something, by file and extra; found by `_find_incomplete`."""
        self._find_incomplete()

    def misfit(self) -> Misfit | None:
        """Return what no choice could mend; None where everything wanted can be had."""
        missing: list[str] = []
        incompatible: list[Wheel] = []
        seen: set[str] = set()
        queue = list(self._wanted)
        while queue:
            pinned = queue.pop()
            if pinned.line in seen or self._satisfied(pinned):
                continue
            seen.add(pinned.line)
            candidates = list(self._candidates(pinned))
            fitting = [wheel for wheel in candidates if wheel.fits(self._interpreter)]
            if not candidates:
                missing.append(self._missing(pinned))
            elif not fitting:
                incompatible += candidates
            else:  # each of them lacks something: say what the newest does
                newest = max(fitting, key=lambda wheel: wheel.version)
                for extra in _extras(pinned):
                    queue.extend(self._dependencies(newest, extra))
        if not missing and not incompatible:
            return None
        return Misfit(tuple(dict.fromkeys(missing)), tuple(dict.fromkeys(incompatible)))

    def candidates(self, name: NormalizedName) -> list[Wheel]:
        """Return the wheels of a project that this interpreter can use and that are wanted in this version."""
        wanted = [pinned for pinned in self._wanted if canonicalize_name(pinned.requirement.name) == name]
        return [
            wheel
            for wheel in self._permitted[name]
            if wheel.fits(self._interpreter) and all(_may_be(pinned, wheel) for pinned in wanted)
        ]

    def allowed(self) -> frozenset[str]:
        """Return the files that uv may choose from: all but those that constraints or hashes exclude.

        uv itself checks the hashes of a requirement only where its version is pinned with `==`.
        """
        hashed = [pinned for pinned in self._wanted if pinned.hashes]
        return frozenset(
            wheel.file
            for wheels in self._permitted.values()
            for wheel in wheels
            if all(
                pinned.allows(wheel.digests)
                for pinned in hashed
                if canonicalize_name(pinned.requirement.name) == wheel.name
            )
        )

    def _applies(self, requirement: Requirement, extra: str) -> bool:
        marker = requirement.marker
        return marker is None or marker.evaluate({**self._interpreter.markers, "extra": extra})

    def _constrained(self, wheel: Wheel) -> bool:
        """Whether a wheel is within the constraints of its project."""
        return all(
            _may_be(pinned, wheel)
            for pinned in self._constraints
            if canonicalize_name(pinned.requirement.name) == wheel.name
        )

    def _candidates(self, pinned: PinnedRequirement) -> Iterator[Wheel]:
        there = self._permitted[canonicalize_name(pinned.requirement.name)]
        return (wheel for wheel in there if _may_be(pinned, wheel))

    def _satisfied(self, pinned: PinnedRequirement) -> bool:
        return any(
            wheel.fits(self._interpreter)
            and not any((wheel.file, extra) in self._incomplete for extra in _extras(pinned))
            for wheel in self._candidates(pinned)
        )

    def _find_incomplete(self) -> None:
        """Strike out the wheels that lack something, and again those that lacked only them, until none is left."""
        wheels = [wheel for each in list(self._permitted.values()) for wheel in each if wheel.fits(self._interpreter)]
        asked = (
            *(pinned.requirement for pinned in self._wanted),
            *(each for wheel in wheels for each in wheel.requires),
        )
        extras = {canonicalize_name(extra) for requirement in asked for extra in requirement.extras}
        needs = {
            (wheel.file, extra): list(self._dependencies(wheel, extra)) for wheel in wheels for extra in ("", *extras)
        }
        while True:
            struck = {node for node, wanted in needs.items() if not all(self._satisfied(each) for each in wanted)}
            if not struck:
                return
            self._incomplete |= struck
            for node in struck:
                del needs[node]

    def _dependencies(self, wheel: Wheel, extra: str) -> Iterator[PinnedRequirement]:
        for requirement in wheel.requires:
            if self._applies(requirement, extra):
                yield PinnedRequirement(requirement, wanted_by=f"{wheel.name} {wheel.version}")

    def _missing(self, pinned: PinnedRequirement) -> str:
        name = canonicalize_name(pinned.requirement.name)
        there, excluded = self._permitted[name], self._excluded[name]
        text = f"{pinned.requirement} (wanted by {pinned.wanted_by})"
        if not there and not excluded:
            return f"{text}: there is no wheel of it"
        if any(pinned.requirement.specifier.contains(wheel.version, prereleases=True) for wheel in there):
            return f"{text}: no wheel of it has one of the hashes that are asked for"
        found = f"{text}: there is only {_versions([*there, *excluded])}"
        return f"{found}; the constraints exclude {_versions(excluded)}" if excluded else found


def _may_be(pinned: PinnedRequirement, wheel: Wheel) -> bool:
    return pinned.requirement.specifier.contains(wheel.version, prereleases=True) and pinned.allows(wheel.digests)


def _extras(pinned: PinnedRequirement) -> tuple[str, ...]:
    return ("", *sorted(canonicalize_name(extra) for extra in pinned.requirement.extras))


def _versions(wheels: Iterable[Wheel]) -> str:
    return ", ".join(sorted({str(wheel.version) for wheel in wheels}))
