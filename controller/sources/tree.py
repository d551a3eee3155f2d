"""The YAML files below a folder: which ones count, where links may lead, and their bytes. Knows no YAML.

Names that start with a dot are left out (`.git`, editors' `.#x` and `.x.swp`), and so is everything that does not
end in `.yaml` or `.yml`. A link is followed when it stays inside the folder, into a hidden part too: a mounted
Kubernetes ConfigMap is `a.yaml -> ..data/a.yaml`, `..data -> ..2026_01_01`. What is reached twice counts once.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from controller.sources.nodes import Mark, Problem

MOST_FILES = 10_000
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the tree: its path as shown, its path below the folder, and what changes when its content does."""

    shown: str
    relative: str
    state: tuple[int, int, int, int] = field(repr=False)


@dataclass(slots=True)
class Listing:
    """The files of a tree at one moment. Two listings are equal when no file changed between them."""

    files: list[Found] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def is_desired_file(name: str) -> bool:
    """Whether a file of this name counts as desired state."""
    return not name.startswith(".") and name.lower().endswith(_SUFFIXES)


def list_tree(folder: Path) -> Listing:
    """Return the files below a folder in a stable order. Raises OSError when the folder itself cannot be read."""
    top = folder.resolve(strict=True)
    walk = _Walk(folder, top)
    walk.visit(top, "")
    walk.listing.files.sort(key=lambda found: found.relative)
    return walk.listing


def list_file(path: Path) -> Listing:
    """Return one file, whatever it is called, as a tree of its own. Raises OSError."""
    return Listing([Found(str(path), path.name, _state(path.stat()))])


def read_bytes(found: Found, limit: int) -> bytes:
    """Return at most `limit` + 1 bytes of a file. Raises OSError."""
    with Path(found.shown).open("rb") as stream:
        return stream.read(limit + 1)


class _Walk:
    """One descent through a tree. Every real path is visited once."""

    def __init__(self, folder: Path, top: Path) -> None:
        self.listing = Listing()
        self._folder = folder
        self._top = top
        self._seen: set[Path] = {top}

    def visit(self, real: Path, relative: str) -> None:
        for entry in _entries(real):
            if entry.name.startswith("."):
                continue
            below = f"{relative}/{entry.name}" if relative else entry.name
            try:
                self._entry(entry, real / entry.name, below)
            except OSError as error:
                self._refuse(below, f"cannot be read: {error.strerror} (expected a readable file or folder)")

    def _entry(self, entry: os.DirEntry[str], path: Path, relative: str) -> None:
        real = path
        is_folder = entry.is_dir()
        if not is_folder and not is_desired_file(entry.name):
            return
        if entry.is_symlink():
            real = path.resolve(strict=True)
            if not real.is_relative_to(self._top):
                self._refuse(relative, f"is a link that leaves {self._folder} (expected a file, or a link inside it)")
                return
        if real in self._seen:
            return
        self._seen.add(real)
        if is_folder:
            self.visit(real, relative)
        else:
            self._file(real.stat(), relative)

    def _file(self, state: os.stat_result, relative: str) -> None:
        if not stat.S_ISREG(state.st_mode):
            self._refuse(relative, "is no regular file (expected one)")
        elif len(self.listing.files) == MOST_FILES:
            self._refuse(relative, f"is one file more than the {MOST_FILES} that are read (expected fewer)")
        else:
            self.listing.files.append(Found(str(self._folder / relative), relative, _state(state)))

    def _refuse(self, relative: str, message: str) -> None:
        if len(self.listing.problems) <= MOST_FILES:
            self.listing.problems.append(Problem(Mark(str(self._folder / relative), 1, 1), "", message))


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from sorted(entries, key=lambda entry: entry.name)


def _state(state: os.stat_result) -> tuple[int, int, int, int]:
    """What changes with the content, also where it is written in place and its time is put back (`cp -p`)."""
    return state.st_ino, state.st_mtime_ns, state.st_size, state.st_ctime_ns
