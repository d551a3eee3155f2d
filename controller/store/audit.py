"""`logs/audit.jsonl`: who changed what, when and why. Append-only JSON lines, each chained by hash to the one before.

A line is the record in canonical JSON (sorted keys) whose last key is `hash`: SHA-256 over the previous line's hash and
the record without its own. So an edited, removed or inserted line breaks the chain at that line, and a removed tail is
found against a head that was noted elsewhere (the status document carries one).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import orjson

from controller.errors import StoreError
from controller.model.status_document import AuditRow
from controller.store.atomic import append_or_cut, fsync_folder
from controller.store.layout import StoreLayout
from controller.store.lock import PATIENCE, FileLock

GENESIS = "0" * 64
_SUFFIX = b',"hash":"%s"}'
_SUFFIX_LENGTH = len(_SUFFIX) - 2 + 64
_TAIL_BYTES = 1 << 16
_RECENT_BYTES = 1 << 18
_KEYS = {"actor", "revision", "action", "object", "before", "after", "reason", "outcome", "time", "seq", "prev", "hash"}


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One act. `before` and `after` are JSON values; `outcome` is `started`, `succeeded` or `failed: <why>`."""

    actor: str
    revision: str
    action: str
    object: str
    before: Any
    after: Any
    reason: str
    outcome: str
    worker: str = ""
    """For whom the actor says to have done it; in the file only where somebody is named."""


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The last record: its number (from 1; 0 is an empty log) and its hash."""

    seq: int = 0
    hash: str = GENESIS

    @classmethod
    def noted_in(cls, document: Any) -> AuditHead:
        """Return the head that a status document carries; the empty log's where it carries none."""
        noted = document.get("audit") if isinstance(document, dict) else None
        match noted:
            case {"seq": int(seq), "hash": str(digest)}:
                return cls(seq, digest)
        return cls()


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of checking the whole chain. `broken_at` is the first bad line (from 1), None where all hold."""

    records: int
    head: AuditHead
    broken_at: int | None = None
    reason: str = ""


class AuditLog:
    """Appends to and verifies one store's audit log. Safe among threads and processes.

    Who appends holds a lock on a file of its own: one on the log could be taken by everybody who may read it.
    """

    def __init__(self, layout: StoreLayout, now: Callable[[], str], patience: float = PATIENCE) -> None:
        self._path = layout.audit
        self._lock = FileLock(layout.audit_lock, patience, folder_mode=0o700)
        self._now = now
        self._left: tuple[tuple[int, int, int], AuditHead] | None = None
        """Which file our last append left, of what size, and its head: while that holds, nothing need be read."""

    def append(self, *records: AuditRecord) -> AuditHead:
        """Add records durably, all or none, and return the new head.

        A torn last line is cut off first, and that is noted.

        Raises:
            StoreError: the log could not be written. The acts that wanted to be recorded must not go ahead.
        """
        try:
            with self._locked() as descriptor:
                head, torn = self._head_of(descriptor)
                if torn:
                    note = AuditRecord("controller", "", "audit.repair", "audit", f"{torn} bytes", None,
                                       "the last line was torn by an interrupted write", "succeeded")  # fmt: skip
                    records = (note, *records)
                head = _append(descriptor, head, records, self._now())
                self._left = (_which(descriptor), head)
                return head
        except OSError as error:
            raise StoreError(
                f"cannot append to {self._path}: {error.strerror}",
                next_step="check the disk and its free space",
            ) from error

    def _head_of(self, descriptor: int) -> tuple[AuditHead, int]:
        if self._left is not None and self._left[0] == _which(descriptor):
            return self._left[1], 0
        return _recover_tail(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        with self._lock.held():
            descriptor = self._open()
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, 0o644)
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, flags, 0o644)
        try:
            if not os.fstat(descriptor).st_size:  # its name first: then the records are all that can fail
                fsync_folder(self._path.parent)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def read(self) -> Iterator[AuditRow]:
        """Yield the records that can be read, oldest first; the others are `verify`'s to name. Raises StoreError."""
        for line in self._lines():
            record = _parse_or_none(line)
            if record is not None:
                yield record

    def read_tail(self) -> tuple[AuditRow, ...]:
        """Return the last records, oldest first: those within the last 256 KiB of the log. Raises StoreError."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _RECENT_BYTES))
                lines = file.read().splitlines()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}") from error
        return tuple(record for line in lines if (record := _parse_or_none(line)) is not None)

    def head(self) -> AuditHead:
        """Return the last whole record's number and hash, without checking the chain.

        Raises:
            StoreError: the log cannot be read, or its last record cannot be understood.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return AuditHead()
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}") from error
        try:
            return _last_record(descriptor)[0]
        finally:
            os.close(descriptor)

    def verify(self, noted: AuditHead | None = None) -> Verification:
        """Check every line's hash and number; with `noted`, also that the chain still holds that earlier head."""
        head = AuditHead()
        noted_found = noted is None or noted.seq == 0
        for number, line in enumerate(self._lines(), start=1):
            problem, following = _check(line, head)
            if problem:
                return Verification(number - 1, head, number, problem)
            head = following
            if noted is not None and head.seq == noted.seq:
                if head.hash != noted.hash:
                    return Verification(number - 1, head, number, "differs from the head that was noted")
                noted_found = True
        if not noted_found and noted is not None:
            missing = f"records up to {noted.seq} were noted, the log ends at {head.seq}: its tail was removed"
            return Verification(head.seq, head, head.seq + 1, missing)
        return Verification(head.seq, head)

    def _lines(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                yield from file
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}") from error


def _parse_or_none(line: bytes) -> AuditRow | None:
    """Return a record; None for a line that holds none, or is cut off, as the first and the last of a tail may be."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return cast(AuditRow, record) if isinstance(record, dict) and record.keys() >= _KEYS else None


def _append(descriptor: int, head: AuditHead, records: Iterable[AuditRecord], time: str) -> AuditHead:
    lines = []
    for record in records:
        body = orjson.dumps(
            {**_fields(record), "time": time, "seq": head.seq + 1, "prev": head.hash}, option=orjson.OPT_SORT_KEYS
        )
        head = AuditHead(head.seq + 1, _digest(head.hash, body))
        lines.append(body[:-1] + _SUFFIX % head.hash.encode() + b"\n")
    append_or_cut(descriptor, b"".join(lines), os.fstat(descriptor).st_size)
    return head


def _fields(record: AuditRecord) -> dict[str, Any]:
    """Return the fields without copying what they hold, as `asdict` would."""
    fields = {name: getattr(record, name) for name in AuditRecord.__slots__}
    if not record.worker:
        del fields["worker"]
    return fields


def _which(descriptor: int) -> tuple[int, int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, status.st_size


def _digest(previous: str, body: bytes) -> str:
    return hashlib.sha256(previous.encode() + body).hexdigest()


def _check(line: bytes, head: AuditHead) -> tuple[str, AuditHead]:
    """Return what is wrong with a line (empty: nothing) and the head after it."""
    if not line.endswith(b"\n"):
        return "the line is torn", head
    line = line[:-1]
    body, suffix = line[:-_SUFFIX_LENGTH] + b"}", line[-_SUFFIX_LENGTH:]
    digest = _digest(head.hash, body)
    if suffix != _SUFFIX % digest.encode():
        return "its content or its place in the chain was changed", head
    return "", AuditHead(head.seq + 1, digest)


def _last_record(descriptor: int) -> tuple[AuditHead, int]:
    """Return the head of the log and the size up to its last whole line. Reads backwards from the end."""
    size = end = os.fstat(descriptor).st_size
    tail = b""
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        tail = os.pread(descriptor, end - start, start) + tail
        end = start
        whole = tail[: tail.rfind(b"\n") + 1]
        if whole and (start == 0 or whole.count(b"\n") > 1):
            return _parse_head(whole[:-1].rsplit(b"\n", 1)[-1]), size - len(tail) + len(whole)
    return AuditHead(), 0


def _parse_head(line: bytes) -> AuditHead:
    record = _parse_or_none(line)
    if record is None:
        raise StoreError(
            "the last record of the audit log cannot be understood, so no act can be recorded",
            next_step="run `pvctl audit --verify`, keep a copy of logs/audit.jsonl for those who look into it, and "
            "move it aside",
        )
    return AuditHead(record["seq"], record["hash"])


def _recover_tail(descriptor: int) -> tuple[AuditHead, int]:
    """Cut a torn last line off; return the head and how many bytes were cut."""
    size = os.fstat(descriptor).st_size
    head, whole = _last_record(descriptor)
    if whole < size:
        os.ftruncate(descriptor, whole)
    return head, size - whole
