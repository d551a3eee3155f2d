"""Reading the audit log backwards, page by page: the last page of a large log costs no more than that of a small one.

Reading may look at a bounded part of the log for one page, and gives way to other threads meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from controller.errors import StoreError
from controller.model.status_document import AuditRow
from controller.store.audit_chain import parse

_BLOCK = 64 * 1024
SCANNED = 4 * 2**20
"""Bytes that are looked at for one page, at most."""
_YIELD = 0.0005
"""Seconds after each block of a long search for which the interpreter is left to whoever answers calls."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are wanted; empty: all. `object` may leave the kind out."""

    actor: str = ""
    action: str = ""
    object: str = ""

    def may_be(self, line: bytes) -> bool:
        """Whether a line can be such a record, without understanding it: JSON writes a text in one way here."""
        return all(orjson.dumps(text)[1:] in line for text in (self.actor, self.action, self.object) if text)

    def __contains__(self, row: AuditRow) -> bool:
        object_ = row["object"]
        return (
            self.actor in {"", row["actor"], row.get("worker")}
            and self.action in {"", row["action"]}
            and self.object in {"", object_, object_.partition("/")[2]}
        )


def page(
    paths: Sequence[Path], limit: int, before: int | None, wanted: Wanted, scanned: int = SCANNED
) -> tuple[list[AuditRow], int | None]:
    """Return records newest first, and the number below which the next page begins; None: there is none.

    `paths` are the parts of the log, oldest first. Raises StoreError.
    """
    rows: list[AuditRow] = []
    looked, last = 0, before
    for line in _backwards(paths, before):
        if looked > scanned:
            return rows, last
        if looked // _BLOCK != (looked + len(line)) // _BLOCK:
            time.sleep(_YIELD)
        looked += len(line)
        if (row := parse(line)) is None or (before is not None and row["seq"] >= before):
            continue
        if len(rows) == limit:
            return rows, last
        last = row["seq"]
        if wanted.may_be(line) and row in wanted:
            rows.append(row)
    return rows, None


def _backwards(paths: Sequence[Path], before: int | None) -> Iterator[bytes]:
    """Yield the lines of the parts, the last one first; those of which the number cannot be below `before` left out."""
    for index in range(len(paths) - 1, -1, -1):
        earlier = _number(paths[index - 1]) if index else 0
        if before is not None and before <= earlier:
            continue
        try:
            descriptor = os.open(paths[index], os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # rotation was quicker, or there is no log yet
            continue
        except OSError as error:
            raise StoreError(f"cannot read {paths[index]}: {error.strerror}") from error
        try:
            end = os.fstat(descriptor).st_size
            yield from _lines_back(descriptor, end if before is None else _end_of_earlier(descriptor, end, before))
        finally:
            os.close(descriptor)


def _number(path: Path) -> int:
    """Return the number of the last record of an older part: its name has it."""
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _lines_back(descriptor: int, end: int) -> Iterator[bytes]:
    """Yield the lines that end at or before a place, the last one first, without their ends."""
    rest = b""
    while end > 0:
        start = max(0, end - _BLOCK)
        first, *others = (os.pread(descriptor, end - start, start) + rest).split(b"\n")
        yield from (line for line in reversed(others) if line)
        rest, end = first, start
    if rest:
        yield rest


def _end_of_earlier(descriptor: int, size: int, before: int) -> int:
    """Return a place at the beginning of a line with no record below `before` after it, and few others before it."""
    low, high = 0, size
    while high - low > _BLOCK:
        found = _first_after(descriptor, (low + high) // 2, high)
        if found is None:
            break
        place, number = found
        if number >= before:
            if place >= high:
                break
            high = place
        else:
            low = place
    return high


def _first_after(descriptor: int, place: int, until: int) -> tuple[int, int] | None:
    """Return where the first line after a place begins that is a record, and its number; None: there is none."""
    text = b""
    while place + len(text) < until:
        text += os.pread(descriptor, min(_BLOCK, until - place - len(text)), place + len(text))
        start = text.find(b"\n") + 1
        while start and (end := text.find(b"\n", start)) >= 0:
            if (row := parse(text[start:end])) is not None:
                return place + start, row["seq"]
            start = end + 1
    return None
