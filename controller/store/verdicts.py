"""Which version gave which verdict, by request, for feedback that comes minutes or hours later; and that feedback.

Two files of lines, each of a bounded number: when the newer one is full, it becomes the older one. They are written
behind the calls and without fsync: a power cut costs the last seconds of verdicts, to which no feedback can be given
then. Feedback itself is durable before it is acknowledged.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.errors import StoreError
from controller.model.package import PackageRef
from controller.model.tally import PartVerdict
from controller.store.atomic import append_durably
from controller.store.layout import StoreLayout

LINES = 50_000
"""Verdicts in a file, about 5 MB: at ten parts a second, feedback may come two hours and a half later."""


@dataclass(frozen=True, slots=True)
class GivenVerdict:
    """The verdict on one part: who gave it, in answer to which request."""

    request_id: str
    pid: str
    package: PackageRef
    verdict: PartVerdict


@dataclass(frozen=True, slots=True)
class Truth:
    """What was true of the part of a request, and who says so."""

    request_id: str
    truth: PartVerdict
    source: str


class VerdictJournal:
    """The verdicts of one store that feedback may still be given to. `lines`: how many a file holds."""

    def __init__(self, layout: StoreLayout, lines: int = LINES) -> None:
        self._newer = layout.rollouts / ".verdicts.jsonl"
        self._older = layout.rollouts / ".verdicts.1.jsonl"
        self.lines = lines
        self._in_newer: int | None = None
        self._noted: deque[GivenVerdict] = deque(maxlen=lines)
        self._writing = threading.Lock()

    def note(self, verdict: GivenVerdict) -> None:
        """Keep a verdict; the next `save` writes it. Where none succeeds for long, the oldest are dropped."""
        self._noted.append(verdict)

    def save(self) -> None:
        """Write what was noted since. Raises OSError; then the next one tries again."""
        with self._writing:
            noted = [self._noted.popleft() for _ in range(len(self._noted))]
            try:
                if noted:
                    self._write(noted)
            except OSError:
                self._noted.extendleft(reversed(noted))
                raise

    def _write(self, noted: list[GivenVerdict]) -> None:
        self._make_room(len(noted))
        with self._newer.open("a+b") as file:
            size = file.tell()
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":  # an interrupted write tore it
                file.write(b"\n")
            file.writelines(_verdict_line(verdict).encode() for verdict in noted)

    def _make_room(self, count: int) -> None:
        """Count lines that are about to be written; where they are too many for the newer file, begin another one."""
        if self._in_newer is None:
            self._in_newer = sum(1 for _ in _lines_of(self._newer))
        if self._in_newer and self._in_newer + count > self.lines:
            self._newer.replace(self._older)
            self._in_newer = 0
        self._in_newer += count

    def find(self, request_id: str) -> tuple[GivenVerdict | None, Truth | None]:
        """Return the verdict that was given to a request, and what was told of it since. Raises StoreError."""
        with self._writing:
            verdict = next((each for each in list(self._noted) if each.request_id == request_id), None)
            truth: Truth | None = None
            for row in self._rows(request_id):
                if "truth" in row:
                    truth = Truth(request_id, row["truth"], row["source"])
                else:
                    package = PackageRef(row["name"], row["version"])
                    verdict = GivenVerdict(request_id, row["pid"], package, row["verdict"])
        return verdict, truth

    def tell(self, truth: Truth) -> None:
        """Keep what was true of a part. Raises StoreError: then it was not kept."""
        line = json.dumps({"id": truth.request_id, "truth": truth.truth, "source": truth.source}) + "\n"
        try:
            with self._writing:
                self._make_room(1)
                append_durably(self._newer, line.encode())
        except OSError as error:
            raise StoreError(f"cannot write down the feedback: {error.strerror}") from error

    def _rows(self, request_id: str) -> Iterator[dict[str, Any]]:
        """Yield the rows about a request, the older ones first; a torn line is none."""
        try:
            for path in (self._older, self._newer):
                for line in _lines_of(path):
                    row = _row(line) if request_id in line else {}
                    if row.get("id") == request_id:
                        yield row
        except OSError as error:
            raise StoreError(f"cannot read {error.filename}: {error.strerror}") from error


def _lines_of(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file
    except FileNotFoundError:
        return


def _row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _verdict_line(given: GivenVerdict) -> str:
    row = {"id": given.request_id, "pid": given.pid, "name": given.package.name, "version": given.package.version,
           "verdict": given.verdict}  # fmt: skip
    return f"{json.dumps(row)}\n"
