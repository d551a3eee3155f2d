"""What versions share on the disk, and what each has for itself.

An algorithm may write to what it finds beside its code, in place, and whatever user it runs as. So what versions share
is only what nothing writes to: machine code, stubs and sources for compilers, bytecode (see `bytecode`), and the wheels
themselves. All else is each version's own, copied; a file system that can clones instead (reflink). Modules
and data are half of the files of an environment and a small part of its bytes.

What is shared carries a **seal**: its time of modification is a fixed one. Whoever writes to it nevertheless breaks the
seal, and then it is shared no more until it was compared with the wheel's own list of files.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SEAL_NS = 1_000_000_000 * 10**9
_ELF = b"\x7fELF"
_FOR_COMPILERS = (
    ".pyi", ".pxd", ".pyx", ".h", ".hh", ".hpp", ".cuh", ".inc", ".c", ".cc", ".cpp", ".cu", ".f", ".f90", ".a",
)  # fmt: skip


def seal(path: Path) -> None:
    """Mark a file whose content was just compared, or just written by us, as one that nobody has written to since."""
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    os.utime(path, ns=(_SEAL_NS, _SEAL_NS))


def is_sealed(path: Path) -> bool:
    """Whether nobody has written to a file since it was sealed. Raises OSError."""
    return path.stat().st_mtime_ns == _SEAL_NS


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as the wheel's own list has it: which distribution's it is, and its SHA-256 in base64."""

    distribution: str
    digest: str


def listed_files(venv: Path) -> dict[str, Listed]:
    """Return the files of an environment that wheels list with a digest, by their paths in it. Raises OSError."""
    found = {}
    for path in sorted(venv.glob("lib/python*/site-packages/*.dist-info/RECORD")):
        distribution, top = path.parent.name.partition("-")[0], path.parent.parent.relative_to(venv)
        for row in csv.reader(path.read_text(encoding="utf-8", errors="replace").splitlines()):
            if len(row) > 1 and row[1].startswith("sha256="):
                file = f"{top}/{row[0]}"
                found[os.path.normpath(file) if ".." in file else file] = Listed(distribution, row[1][len("sha256=") :])
    return found


def separate(venv: Path) -> list[str]:
    """Give an environment that uv linked from its cache its own copy of everything that code could write to.

    Returns the names of distributions of which a shared file is not what the wheel says: somebody wrote to it through
    another version, so the cache must not be used for them. Raises OSError.
    """
    listed, spoilt = listed_files(venv), set()
    below, scratch = len(f"{venv}/"), f"{venv}/own-copy"
    for path, state in _linked_files(venv):
        said = listed.get(path[below:])
        if said is None or not _is_shared(path):
            _own_copy(path, state, scratch)
        elif state.st_mtime_ns != _SEAL_NS:
            if _sha256(path) == said.digest:
                seal(Path(path))
            else:
                spoilt.add(said.distribution)
                _own_copy(path, state, scratch)
    return sorted(spoilt)


def _linked_files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    for parent, _, files in os.walk(folder):
        for file in files:
            path = f"{parent}/{file}"
            state = os.lstat(path)
            if stat.S_ISREG(state.st_mode) and state.st_nlink > 1:
                yield path, state


def _is_shared(path: str) -> bool:
    if path.endswith(_FOR_COMPILERS):
        return True
    if path.endswith(".py"):
        return False
    with Path(path).open("rb") as file:
        return file.read(len(_ELF)) == _ELF


def _own_copy(path: str, state: os.stat_result, scratch: str) -> None:
    """Replace a link by a copy with the same mode and times: bytecode names its source's time."""
    _copy(path, scratch, state.st_size)
    os.chmod(scratch, stat.S_IMODE(state.st_mode) | stat.S_IWUSR)  # noqa: PTH101 - plain strings for thousands of files
    os.utime(scratch, ns=(state.st_atime_ns, state.st_mtime_ns))
    os.replace(scratch, path)  # noqa: PTH105


def _copy(path: str, target: str, size: int) -> None:
    """Copy a file's content; the system clones it where the file system can."""
    with Path(path).open("rb") as source, Path(target).open("wb") as copy:
        try:
            while size > 0 and (copied := os.copy_file_range(source.fileno(), copy.fileno(), size)):
                size -= copied
        except OSError:  # a file system that does not know how
            copy.seek(0)
            source.seek(0)
            shutil.copyfileobj(source, copy)


def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
