"""The log of an installation: its steps with their times, what came of it, and what the algorithm said in its proof.

It is kept in the store of what was installed and of what was not, one of each version. It is for people: a disk that
does not take it fails nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from controller.errors import CodedError, ControllerError
from controller.model.package import Receipt

_MOST_BYTES = 64 << 10
_MOST_LOGS = 200


@dataclass(frozen=True, slots=True)
class Installed:
    """What is kept of the last installation of a version: its receipt, None where it failed, and its log."""

    receipt: Receipt | None
    log: str


class Journal:
    """What is written down of one installation. `progress` is told its steps; `now` returns an RFC 3339 timestamp."""

    def __init__(self, now: Callable[[], str], progress: Callable[[str], None]) -> None:
        self._now = now
        self._progress = progress
        self._lines: list[str] = []

    def step(self, text: str) -> None:
        """Tell of a step that begins."""
        self.note(text)
        self._progress(text)

    def note(self, text: str) -> None:
        """Write a line that only readers of the log care for."""
        self._lines.append(f"{self._now()} {text}")

    def quote(self, title: str, lines: Iterable[str]) -> None:
        """Write what somebody else said, where that is anything."""
        if quoted := [f"    {line}" for line in lines]:
            self._lines += [f"{self._now()} {title}:", *quoted]

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)


@contextmanager
def kept(path: Path, journal: Journal) -> Iterator[None]:
    """Keep the journal of the block at `path`, with how the block ended; an error of the package names the file."""
    began = time.monotonic()
    try:
        yield
        journal.note(f"installed after {time.monotonic() - began:.1f} s")
    except ControllerError as error:
        journal.note(f"failed after {time.monotonic() - began:.1f} s: {error}")
        if isinstance(error, CodedError):
            for part in ("traceback", "output"):
                journal.quote(part, error.details.get(part, ()))
            error.details["log"] = str(path)
        raise
    finally:
        with suppress(OSError):
            _write(path, journal.text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "replace")[-_MOST_BYTES:])
    logs = sorted(path.parent.glob("*.log"), key=lambda each: each.stat().st_mtime_ns)
    for old in logs[:-_MOST_LOGS]:
        old.unlink(missing_ok=True)


def read(path: Path) -> str:
    """Return the log at `path`; empty where there is none that can be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
