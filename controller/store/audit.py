"""`logs/audit.jsonl`: who changed what, when and why. Append-only JSON lines, each chained by hash to the one before.

The log is rotated by size: `audit-<number of its last record>.jsonl` is an older part, and the chain goes on from part
to part. Of the parts the newest are kept; which records went with the others is on record.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.errors import StoreError
from controller.model.status_document import AuditRow
from controller.store.atomic import fsync_folder, remove_durably, sync_folder
from controller.store.audit_chain import DROP, DamagedTail, append, last_good, last_record, parse, recover_tail, which
from controller.store.audit_chain import AuditHead as AuditHead  # noqa: PLC0414 - where other rooms look for it
from controller.store.audit_chain import AuditRecord as AuditRecord  # noqa: PLC0414
from controller.store.audit_chain import Verification as Verification  # noqa: PLC0414
from controller.store.audit_chain import verify as verify_chain
from controller.store.audit_pages import Wanted, page
from controller.store.layout import StoreLayout
from controller.store.lock import PATIENCE, FileLock

LARGEST = 10 * 2**20
"""Bytes from which on the log is rotated: some 6,000 switches."""
PARTS = 10
"""Older parts that are kept."""
_RECENT_BYTES = 1 << 18


class AuditLog:
    """Appends to and verifies one store's audit log. Safe among threads and processes.

    Who appends holds a lock on a file of its own: one on the log could be taken by everybody who may read it.
    """

    def __init__(
        self, layout: StoreLayout, now: Callable[[], str], patience: float = PATIENCE, *, largest: int = LARGEST
    ) -> None:
        self._path = layout.audit
        self._lock = FileLock(layout.audit_lock, patience, folder_mode=0o700)
        self._now = now
        self._largest = largest
        self._left: tuple[tuple[int, int, int], AuditHead] | None = None
        """Which file our last append left, of what size, and its head: while that holds, nothing need be read."""
        self._listen: Callable[[bytes], None] = lambda _: None

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """Have every record that is appended from here on told, as its line without an end, by the thread that did."""
        self._listen = listener

    def append(self, *records: AuditRecord) -> AuditHead:
        """Add records durably, all or none, and return the new head.

        A torn last line is cut off first, and a log whose last line is no record is set aside; both are noted.

        Raises:
            StoreError: the log could not be written. The acts that wanted to be recorded must not go ahead.
        """
        try:
            with self._lock.held():
                self._rotate()
                try:
                    return self._append(*records)
                except DamagedTail:
                    note = _own(
                        "audit.damage", self._set_aside(), "the last line was no record; `pvctl audit --verify`"
                    )
                    return self._append(note, *records)
        except OSError as error:
            raise StoreError(
                f"cannot append to {self._path}: {error.strerror}",
                next_step="check the disk and its free space",
            ) from error

    def _append(self, *records: AuditRecord) -> AuditHead:
        with self._opened() as descriptor:
            head, torn = self._head_of(descriptor)
            if torn:
                repair = _own("audit.repair", f"{torn} bytes", "the last line was torn by an interrupted write")
                records = (repair, *records)
            head, lines = append(descriptor, head, records, self._now())
            self._left = (which(descriptor), head)
            for line in lines:
                self._listen(line[:-1])
            return head

    def _head_of(self, descriptor: int) -> tuple[AuditHead, int]:
        if self._left is not None and self._left[0] == which(descriptor):
            return self._left[1], 0
        head, torn = recover_tail(descriptor)
        return (head if head.seq else self._head_of_parts()), torn

    def _head_of_parts(self) -> AuditHead:
        parts = self._parts()
        return last_good(parts[-1]) if parts else AuditHead()

    @contextmanager
    def _opened(self) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, 0o644)
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, flags, 0o644)
        try:
            if not os.fstat(descriptor).st_size:  # its name first: then the records are all that can fail
                fsync_folder(self._path.parent)
            yield descriptor
        finally:
            os.close(descriptor)

    # Parts.

    def _parts(self) -> list[Path]:
        """Return the older parts, oldest first."""
        return sorted(self._path.parent.glob("audit-*.jsonl"))

    def _rotate(self) -> None:
        """Begin a new log where the present one is full; drop the oldest parts, once that is on record."""
        try:
            full = self._path.stat().st_size >= self._largest
        except FileNotFoundError:
            return
        if not full:
            return
        try:
            with self._opened() as descriptor:
                head = self._head_of(descriptor)[0]
        except DamagedTail:
            return  # what is appended next sets it aside
        self._become_part(head.seq)
        for part in self._parts()[:-PARTS]:
            self._append(_own(DROP, str(last_good(part)), f"rotation keeps the newest {PARTS} parts"))
            remove_durably(part)

    def _set_aside(self) -> str:
        """Let a log whose last line is no record be a part; return the last record before the damage."""
        good = last_good(self._path)
        head = good if good.seq else self._head_of_parts()
        self._become_part(head.seq + 1)
        return str(head)

    def _become_part(self, seq: int) -> None:
        self._path.rename(self._path.with_name(f"audit-{seq:012d}.jsonl"))
        sync_folder(self._path.parent)

    # Reading.

    def page(
        self, limit: int, before: int | None = None, wanted: Wanted | None = None
    ) -> tuple[list[AuditRow], int | None]:
        """Return records newest first, and the number below which the next page begins. See `audit_pages.page`."""
        while True:
            parts = self._parts()
            found = page([*parts, self._path], limit, before, wanted or Wanted())
            if self._parts()[-1:] == parts[-1:]:
                return found
            # rotated meanwhile: what was the log is a part now that was not looked at

    def _paths(self) -> list[Path]:
        return [*self._parts(), self._path]

    def read_tail(self) -> tuple[AuditRow, ...]:
        """Return the last records, oldest first: those within the last 256 KiB of the log. Raises StoreError."""
        tail = b""
        for path in reversed(self._paths()):
            tail = _end_of(path, _RECENT_BYTES - len(tail)) + tail
            if len(tail) >= _RECENT_BYTES:
                break
        return tuple(record for line in tail.splitlines() if (record := parse(line)) is not None)

    def head(self) -> AuditHead:
        """Return the number and hash of the last record that can be understood, without checking the chain.

        Raises StoreError.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                head = last_record(descriptor)[0]
            except DamagedTail:
                head = last_good(self._path)
            finally:
                os.close(descriptor)
            return head if head.seq else self._head_of_parts()
        except FileNotFoundError:
            return self._head_of_parts()
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}") from error

    def verify(self, noted: AuditHead | None = None) -> Verification:
        """Check every record that is kept; with `noted`, also that the chain still holds that earlier head.

        Raises StoreError.
        """
        return verify_chain((line for path in self._paths() for line in _lines(path)), noted)


def _own(action: str, before: str, reason: str) -> AuditRecord:
    """Return a record of what the log did with itself."""
    return AuditRecord("controller", "", action, "audit", before, None, reason, "succeeded")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error


def _end_of(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
