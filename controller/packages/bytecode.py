"""Bytecode that an installed version of the same package has already, taken over by hard links.

Python compiles what is imported, and would compile the same wheels again for every version. A file is taken only where
its source came from the very same wheel in both environments and the bytecode names the very source that stands in the
new one, and only if nobody wrote to it since its installation was complete. Python replaces bytecode by renaming, never
in place: a link stays what it was.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import source_from_cache
from pathlib import Path

from controller.model.package import Installation
from controller.packages.interpreters import Interpreter
from controller.packages.sharing import listed_files

_HEADER = struct.Struct("<4I")
_BY_TIME = 0
_WORD = 0xFFFFFFFF


def nearest(installations: Iterable[Installation], name: str, interpreter: Interpreter) -> Installation | None:
    """Return the latest installation of another version of a package for the same interpreter, None without one."""
    others = [
        installation
        for installation in installations
        if installation.receipt.name == name
        and (installation.receipt.interpreter, installation.receipt.python_version)
        == (interpreter.executable, interpreter.version)
    ]
    return max(others, key=lambda installation: installation.receipt.installed_at, default=None)


def inherit(other: Path, target: Path) -> None:
    """Link the bytecode of sources that two installations have in common from that in `other` into that in `target`.

    It is only a saving: what cannot be read is left, as where the other version is being removed at this moment.
    """
    with suppress(OSError):
        complete = (other / "receipt.json").stat().st_mtime_ns
        there, ours = listed_files(other / "venv"), listed_files(target / "venv")
        common = {str(target / "venv" / path) for path, said in ours.items() if there.get(path) == said}
        for folder, _, files in os.walk(other / "venv" / "lib"):
            if folder.endswith("__pycache__"):
                here = target / Path(folder).relative_to(other)
                for file in files:
                    _inherit_one(Path(folder, file), here, common, complete)


def _inherit_one(bytecode: Path, here: Path, common: set[str], complete: int) -> None:
    with suppress(OSError, ValueError):  # ValueError: not a name that Python gives to bytecode
        source = Path(source_from_cache(str(here / bytecode.name)))
        if str(source) in common and bytecode.stat().st_mtime_ns <= complete and _is_of(bytecode, source):
            here.mkdir(exist_ok=True)
            os.link(bytecode, here / bytecode.name)


def _is_of(bytecode: Path, source: Path) -> bool:
    """Whether bytecode names the very time and size of a source, as Python itself checks it."""
    with bytecode.open("rb") as file:
        _, flags, time, size = _HEADER.unpack(file.read(_HEADER.size))
    state = source.stat()
    return (flags, time, size) == (_BY_TIME, int(state.st_mtime) & _WORD, state.st_size & _WORD)
