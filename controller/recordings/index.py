"""The index of recorded calls: an SQLite database that holds nothing which the files do not say, but for the bounds.

It is written ahead (WAL) without waiting for the disk: after a power cut it is whole and may be a moment old, and the
sweep compares it with the files. Who reads does not wait for who writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from controller.errors import StoreError
from controller.model.recording import RecordedCall, RecordingFilter
from controller.recordings.bounds import Bounds, Total
from controller.recordings.call_file import Head, kinds_of, mask_of

_VERSION = 1
_PATIENCE = 10.0
"""Seconds for which somebody else's transaction is waited for."""
_SCHEMA = """
CREATE TABLE calls (
    id TEXT PRIMARY KEY, pid TEXT NOT NULL, deployment TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
    verdict TEXT NOT NULL, epoch REAL NOT NULL, kinds INTEGER NOT NULL, size INTEGER NOT NULL, guide TEXT NOT NULL,
    guide_size INTEGER NOT NULL, arrived REAL NOT NULL, document TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX of_pid ON calls (pid, id);
CREATE INDEX by_arrival ON calls (pid, arrived, id);
CREATE INDEX by_guide ON calls (pid, guide) WHERE guide != '';
CREATE TABLE totals (pid TEXT PRIMARY KEY, calls INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE bounds (pid TEXT PRIMARY KEY, keep INTEGER, max_size INTEGER, max_age REAL) WITHOUT ROWID;
"""


class Unusable(Exception):
    """The index is missing, damaged or of another release: it is to be made again from the files."""


class Kept(NamedTuple):
    """A row as the sweep compares it with the files."""

    size: int
    guide_size: int


class Index:
    """One open index. Its methods raise StoreError where the disk fails, and Unusable where the index is damaged."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def make(cls, path: Path | None) -> Index:
        """Return a new, empty index in the place of whatever is there; None: one in memory. Raises StoreError."""
        if path is not None:
            for each in _files(path):
                with suppress(FileNotFoundError):
                    each.unlink()
        with _disk_errors(path):
            connection = _connect(str(path or ":memory:"), uri=False)
            if path is not None:
                path.chmod(0o600)
                connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        return cls(connection)

    @classmethod
    def open(cls, path: Path, *, to_write: bool, check: bool = False) -> Index:
        """Return the index that is there. `check`: see whether its pages are whole. Raises StoreError, Unusable."""
        with _disk_errors(path):
            try:
                connection = _connect(f"{path.absolute().as_uri()}?mode={'rw' if to_write else 'ro'}", uri=True)
            except sqlite3.OperationalError:
                if path.exists():
                    raise
                raise Unusable(f"{path} is missing") from None
            try:
                whole = not check or connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
                if not whole or connection.execute("PRAGMA user_version").fetchone() != (_VERSION,):
                    raise Unusable(f"{path} is damaged, or of another release")
            except BaseException:
                connection.close()
                raise
        return cls(connection)

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Cursor]:
        with _disk_errors(), closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    cursor.execute("ROLLBACK")
                raise

    # Changing it.

    def add(self, heads: Iterable[tuple[Head, float]]) -> None:
        """Add calls, each with the moment (s since 1970) at which its file came here."""
        with self._changing() as cursor:
            for head, arrived in heads:
                _add(cursor, head, arrived)

    def mark(self, call_id: str, mask: int) -> None:
        """Add kinds to a call."""
        with self._changing() as cursor:
            cursor.execute("UPDATE calls SET kinds = kinds | ? WHERE id = ?", (mask, call_id))

    def remove(self, ids: Iterable[str]) -> None:
        """Remove calls, those that are there."""
        with self._changing() as cursor:
            for call_id in ids:
                _remove(cursor, call_id)

    def set_bounds(self, pid: str, bounds: Bounds) -> None:
        """Note how much of a PID is kept, also when nobody says so any more."""
        with self._changing() as cursor:
            cursor.execute("REPLACE INTO bounds VALUES (?, ?, ?, ?)", (pid, *bounds))

    def correct(self, pid: str, now: float) -> None:
        """Have calls that came while the clock was ahead count as older than those that come from now on.

        As the newest they would stay until that time comes, and push out whatever comes meanwhile.
        """
        if self._all("SELECT 1 FROM calls WHERE pid = ? AND arrived > ? LIMIT 1", (pid, now)):
            with self._changing() as cursor:
                cursor.execute("UPDATE calls SET arrived = ? WHERE pid = ? AND arrived > ?", (now - 1, pid, now))

    # Asking it.

    def calls(self, wanted: RecordingFilter) -> list[RecordedCall]:
        """Return the calls that are meant, the newest first."""
        where, values = _condition(wanted)
        rows = self._all(f"SELECT document, kinds, size + guide_size FROM calls {where}", values)  # noqa: S608 - our own words
        try:
            return [
                RecordedCall.from_document(orjson.loads(text) | {"kinds": kinds_of(mask), "size": size})
                for text, mask, size in rows
            ]
        except ValueError as error:
            raise Unusable(f"a row is damaged: {error}") from error

    def pids(self) -> list[str]:
        """Return the PIDs of which there is anything."""
        return [pid for (pid,) in self._all("SELECT pid FROM totals WHERE calls > 0")]

    def total(self, pid: str) -> Total:
        """Return how much there is of a PID."""
        return Total(*next(iter(self._all("SELECT calls, bytes FROM totals WHERE pid = ?", (pid,))), (0, 0)))

    def bounds(self, pid: str) -> Bounds | None:
        """Return how much of a PID is kept; None where nobody ever said so."""
        rows = self._all("SELECT keep, max_size, max_age FROM bounds WHERE pid = ?", (pid,))
        return Bounds(*rows[0]) if rows else None

    def oldest(self, pid: str, count: int) -> list[tuple[str, float]]:
        """Return the calls of a PID that came here first, and when."""
        return self._all("SELECT id, arrived FROM calls WHERE pid = ? ORDER BY arrived, id LIMIT ?", (pid, count))

    def with_guide(self, pid: str, sha256: str) -> str | None:
        """Return a call of the PID that has that guide."""
        rows = self._all("SELECT id FROM calls WHERE pid = ? AND guide = ? LIMIT 1", (pid, sha256))
        return rows[0][0] if rows else None

    def rows(self, pid: str) -> dict[str, Kept]:
        """Return the calls of a PID by their ids."""
        found = self._all("SELECT id, size, guide_size FROM calls WHERE pid = ?", (pid,))
        return {call_id: Kept(size, guide_size) for call_id, size, guide_size in found}

    def _all(self, query: str, values: Sequence[object] = ()) -> list[tuple]:  # type: ignore[type-arg]
        with _disk_errors():
            return self._connection.execute(query, values).fetchall()


def _connect(name: str, *, uri: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(name, timeout=_PATIENCE, isolation_level=None, uri=uri, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _files(path: Path) -> tuple[Path, ...]:
    return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


@contextmanager
def _disk_errors(path: Path | None = None) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreError(
            f"cannot use the index of recordings{f' {path}' if path else ''}: {error}",
            next_step="check the disk and its free space",
        ) from error
    except sqlite3.DatabaseError as error:
        raise Unusable(str(error)) from error


def _add(cursor: sqlite3.Cursor, head: Head, arrived: float) -> None:
    call = head.call
    _remove(cursor, call.id)
    guide, guide_size = (head.guide.sha256, head.guide.block.size) if head.guide is not None else ("", 0)
    new_guide = 0 if _shares(cursor, call.pid, guide) else guide_size
    document = call.to_document()
    del document["kinds"], document["size"]
    cursor.execute(
        "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            call.id, call.pid, call.deployment, call.package.name, call.package.version, call.verdict, call.epoch,
            mask_of(call.kinds), head.own_size, guide, guide_size, arrived, orjson.dumps(document).decode(),
        ),
    )  # fmt: skip
    cursor.execute(
        "INSERT INTO totals VALUES (?, 1, ?) "
        "ON CONFLICT (pid) DO UPDATE SET calls = calls + 1, bytes = bytes + excluded.bytes",
        (call.pid, head.own_size + new_guide),
    )


def _remove(cursor: sqlite3.Cursor, call_id: str) -> None:
    row = cursor.execute("SELECT pid, size, guide, guide_size FROM calls WHERE id = ?", (call_id,)).fetchone()
    if row is None:
        return
    pid, size, guide, guide_size = row
    cursor.execute("DELETE FROM calls WHERE id = ?", (call_id,))
    gone = size + (0 if _shares(cursor, pid, guide) else guide_size)
    cursor.execute("UPDATE totals SET calls = calls - 1, bytes = bytes - ? WHERE pid = ?", (gone, pid))


def _shares(cursor: sqlite3.Cursor, pid: str, guide: str) -> bool:
    query = "SELECT 1 FROM calls WHERE pid = ? AND guide = ? AND guide != '' LIMIT 1"
    return cursor.execute(query, (pid, guide)).fetchone() is not None


def _condition(wanted: RecordingFilter) -> tuple[str, list[object]]:
    """Return what follows FROM calls, and its values."""
    terms: list[str] = []
    values: list[object] = []

    def add(term: str, *given: object) -> None:
        terms.append(term)
        values.extend(given)

    for column, texts in (
        ("id", wanted.ids),
        ("pid", wanted.pids),
        ("version", wanted.versions),
        ("verdict", wanted.verdicts),
    ):
        if texts:
            add(f"{column} IN (SELECT value FROM json_each(?))", orjson.dumps(sorted(texts)).decode())  # noqa: S608
    for column, value, compared in (
        ("deployment", wanted.deployment, "="), ("epoch", wanted.since, ">="), ("epoch", wanted.until, "<="),
        ("id", wanted.before, "<"), ("name", wanted.name, "="),
    ):  # fmt: skip
        if value is not None:
            add(f"{column} {compared} ?", value)
    if wanted.package is not None:
        add("name = ? AND version = ?", wanted.package.name, wanted.package.version)
    if wanted.not_packages:
        refs = sorted((each.name, each.version) for each in wanted.not_packages)
        add(f"(name, version) NOT IN ({_rows(2)})", orjson.dumps(refs).decode())
    if wanted.answered_by:
        of_pids = sorted((pid, ref.name, ref.version) for pid, ref in wanted.answered_by)
        add(f"(pid, name, version) IN ({_rows(3)})", orjson.dumps(of_pids).decode())
    if wanted.kinds:
        add("kinds & ?", mask_of(wanted.kinds))
    where = f"WHERE {' AND '.join(terms)} " if terms else ""
    return f"{where}ORDER BY id DESC LIMIT ?", [*values, -1 if wanted.last is None else wanted.last]


def _rows(width: int) -> str:
    """Return the query for the rows of a JSON array of arrays of so many texts, which is its one value."""
    columns = ", ".join(f"json_extract(value, '$[{number}]')" for number in range(width))
    return f"SELECT {columns} FROM json_each(?)"  # noqa: S608 - our own words


def filtered(heads: Iterable[Head], wanted: RecordingFilter) -> Sequence[RecordedCall]:
    """Return those calls of files that are meant, the newest first, as an index would."""
    index = Index.make(None)
    try:
        index.add((head, head.call.epoch) for head in heads)
        return index.calls(wanted)
    finally:
        index.close()
