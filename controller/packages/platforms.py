"""What a package was packed for, told from its wheels' tags, and how the SDK's packager packs for this machine."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.packages.interpreters import Interpreter
from controller.packages.wheels import Wheel

_SYSTEMS = (("win", "Windows"), ("macosx", "macOS"), ("manylinux", "Linux"), ("musllinux", "Linux"), ("linux", "Linux"))
_CPYTHON = re.compile(r"cp(\d)(\d+)")


@dataclass(frozen=True, slots=True)
class Target:
    """What wheels are for, against what is here: in words, and what to do about it."""

    words: str
    next_step: str


def packed_for(wheels: Iterable[Wheel], here: Sequence[Interpreter]) -> Target:
    """Return what wheels that fit none of the interpreters here were packed for."""
    tags = {tag for wheel in wheels for tag in wheel.tags}
    usable = {tag.platform for interpreter in here for tag in interpreter.tags}
    elsewhere = sorted({tag.platform for tag in tags} - usable) if tags else []
    pythons = sorted({found.groups() for tag in tags if (found := _CPYTHON.fullmatch(tag.interpreter))})
    python = " or ".join(f"{major}.{minor}" for major, minor in pythons)
    flags = _flags(here)
    if elsewhere and all(tag.platform in elsewhere for tag in tags):
        where = " or ".join(sorted({_system(each) for each in elsewhere}))
        return Target(
            f"it is packed for {where}, this machine is {_system(f'{sys.platform}_{platform.machine()}')}",
            f"pack it again for this machine: `procvision-cli package DIR {flags}`, or, on a machine of this kind, "
            f"{_HERE}",
        )
    return Target(
        f"it is packed for Python {python}" if python else "it is packed for another Python",
        f"pack it again for a Python that is here (`procvision-cli package DIR {flags}`), or name another one in "
        "StationPolicy spec.pythons",
    )


_HERE = "`pip download -r requirements.txt -d DIR/wheels --only-binary=:all:` and `procvision-cli package DIR -s`"


def _system(tag: str) -> str:
    """Return `win_amd64` as `Windows (win_amd64)`."""
    return next((f"{name} ({tag})" for prefix, name in _SYSTEMS if tag.startswith(prefix)), tag)


def _flags(here: Sequence[Interpreter]) -> str:
    """Return the options of the SDK's packager for this machine: without them it packs for Windows and Python 3.10."""
    major, minor = here[0].numbers if here else sys.version_info[:2]
    return f"-w manylinux2014_{platform.machine()} -p {major}.{minor} -b cp{major}{minor}"
