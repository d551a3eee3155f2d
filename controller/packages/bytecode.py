"""Bytecode that an installed version of the same package has already, taken over by hard links.

Python compiles what is imported, and would compile the same wheels again for every version. A file is taken only where
its source is the very same inode in both environments, so nothing needs to be compared. Python replaces bytecode by
renaming, never in place: a link stays what it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import source_from_cache
from pathlib import Path

from controller.model.package import Installation
from controller.packages.interpreters import Interpreter


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


def inherit(other: Path, venv: Path) -> None:
    """Link the bytecode of shared sources from the environment `other` into `venv`."""
    for folder, _, files in os.walk(other / "lib"):
        if not folder.endswith("__pycache__"):
            continue
        target = venv / Path(folder).relative_to(other)
        for file in files:
            source = _source_of(Path(folder, file))
            if source is None or not _same_file(source, target.parent / source.name):
                continue
            with suppress(OSError):  # only a saving: the other version may be being removed at this moment
                target.mkdir(exist_ok=True)
                os.link(Path(folder, file), target / file)


def _source_of(bytecode: Path) -> Path | None:
    try:
        return Path(source_from_cache(str(bytecode)))
    except ValueError:  # not a name that Python gives to bytecode
        return None


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return False
