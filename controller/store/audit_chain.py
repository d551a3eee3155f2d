"""The chain of the audit's lines, as bytes: how a record becomes a line, and whether lines hold together.

A line is the record in canonical JSON (sorted keys) whose last key is `hash`: SHA-256 over the previous line's hash and
the record without its own. So an edited, removed or inserted line breaks the chain at that line, and a removed tail is
found against a head that was noted elsewhere (the status document carries one). Rotation removes the oldest records,
and puts that on record in the chain itself: a beginning that is missing without such a record is found too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson

from controller.model.status_document import AuditRow
from controller.store.atomic import append_or_cut

GENESIS = "0" * 64
DROP = "audit.drop"
"""The action of the record that says up to which one (`before`, SEQ:HASH) rotation has removed the records."""
_SUFFIX = b',"hash":"%s"}'
_SUFFIX_LENGTH = len(_SUFFIX) - 2 + 64
_TAIL_BYTES = 1 << 16
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

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

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
    """The result of checking the whole chain: `broken_at` is the number of the first bad record, None where all hold.

    `records` is the number of the last one that holds, `first` that of the oldest that is still kept.
    """

    records: int
    head: AuditHead
    broken_at: int | None = None
    reason: str = ""
    first: int = 1


def verify(lines: Iterable[bytes], noted: AuditHead | None) -> Verification:
    """Check the lines that are kept, oldest first; with `noted`, also that the chain still holds that earlier head."""
    head: AuditHead | None = None
    start = AuditHead()
    explained, noted_found = True, noted is None or noted.seq == 0
    for line in lines:
        if head is None:
            start = _anchor(line)
            explained = start.seq == 0
            noted_found = noted_found or (noted is not None and noted.seq <= start.seq)
        problem, following = _check(line, start if head is None else head)
        if problem and head is None:
            return Verification(0, AuditHead(), 1, problem)
        if problem:
            known = head or start
            return Verification(known.seq, known, known.seq + 1, problem, start.seq + 1)
        head = following
        explained = explained or _explains(line, start)
        if noted is not None and head.seq == noted.seq:
            if head.hash != noted.hash:
                why = "differs from the head that was noted"
                return Verification(head.seq - 1, head, head.seq, why, start.seq + 1)
            noted_found = True
    head = head or AuditHead()
    if not noted_found and noted is not None:
        why = f"records up to {noted.seq} were noted, the log ends at {head.seq}: its tail was removed"
        return Verification(head.seq, head, head.seq + 1, why, start.seq + 1)
    if head.seq and not explained:
        why = f"the records up to {start.seq} are missing, and no rotation says so"
        return Verification(0, head, 1, why, start.seq + 1)
    return Verification(head.seq, head, first=start.seq + 1)


def _anchor(line: bytes) -> AuditHead:
    """Return the head before the oldest line, as that line tells it."""
    row = parse(line)
    if row is None or not isinstance(row["seq"], int) or row["seq"] <= 1:
        return AuditHead()
    return AuditHead(row["seq"] - 1, str(row["prev"]))


def _explains(line: bytes, start: AuditHead) -> bool:
    """Whether a record says that rotation has removed everything up to a head."""
    if DROP.encode() not in line:
        return False
    row = parse(line)
    return row is not None and row["action"] == DROP and row["before"] == str(start)


def parse(line: bytes) -> AuditRow | None:
    """Return a record; None for a line that holds none, or is cut off, as the first and the last of a tail may be."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return cast(AuditRow, record) if isinstance(record, dict) and record.keys() >= _KEYS else None


def append(
    descriptor: int, head: AuditHead, records: Iterable[AuditRecord], time: str
) -> tuple[AuditHead, list[bytes]]:
    """Append records to the log whose head is given, all or none; return the new head and their lines.

    Raises OSError.
    """
    lines = []
    for record in records:
        body = orjson.dumps(
            {**_fields(record), "time": time, "seq": head.seq + 1, "prev": head.hash}, option=orjson.OPT_SORT_KEYS
        )
        head = AuditHead(head.seq + 1, _digest(head.hash, body))
        lines.append(body[:-1] + _SUFFIX % head.hash.encode() + b"\n")
    append_or_cut(descriptor, b"".join(lines), os.fstat(descriptor).st_size)
    return head, lines


def _fields(record: AuditRecord) -> dict[str, Any]:
    """Return the fields without copying what they hold, as `asdict` would."""
    fields = {name: getattr(record, name) for name in AuditRecord.__slots__}
    if not record.worker:
        del fields["worker"]
    return fields


def which(descriptor: int) -> tuple[int, int, int]:
    """Return what tells a file in a certain state from every other: device, inode, size."""
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


class DamagedTail(Exception):
    """The last line of a log is whole, and no record."""


def last_record(descriptor: int) -> tuple[AuditHead, int]:
    """Return the head of a file and the size up to its last whole line. Reads backwards from the end.

    Raises DamagedTail, OSError.
    """
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
    record = parse(line)
    if record is None:
        raise DamagedTail
    return AuditHead(record["seq"], record["hash"])


def last_good(path: Path) -> AuditHead:
    """Return the last record of a file that can be understood, whatever comes after it. Raises OSError."""
    head = AuditHead()
    with path.open("rb") as file:
        for line in file:
            if (row := parse(line)) is not None:
                head = AuditHead(row["seq"], row["hash"])
    return head


def recover_tail(descriptor: int) -> tuple[AuditHead, int]:
    """Cut a torn last line off; return the head and how many bytes were cut. Raises DamagedTail, OSError."""
    size = os.fstat(descriptor).st_size
    head, whole = last_record(descriptor)
    if whole < size:
        os.ftruncate(descriptor, whole)
    return head, size - whole
