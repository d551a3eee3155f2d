"""Recorded calls come, go and stay within their bounds: the one place that changes the folder and its index.

Whoever does (the writer beside a daemon, a command) holds a lock for it. A call's file comes before its row and goes
before it, so that a kill in between leaves what the sweep finds.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeVar

from controller.errors import StoreError
from controller.host.clock import epoch_seconds
from controller.images.formats import Picture
from controller.model.recording import RecordedCall, Recording, RecordingFilter, RecordingKind
from controller.recordings.bounds import Bounds, Total
from controller.recordings.call_file import Block, Guide, Head, mask_of, write_head
from controller.recordings.index import Index, Unusable
from controller.recordings.pixels import Damaged, Packed, pack
from controller.recordings.room import Room
from controller.recordings.shelf import Shelf
from controller.recordings.source import Pictures, RecordingSource
from controller.store.layout import StoreLayout
from controller.store.lock import FileLock

log = logging.getLogger(__name__)

_AT_ONCE = 200
"""Calls that are removed in one transaction."""
_T = TypeVar("_T")


class Imported(NamedTuple):
    """What came of calls that were to be taken over. `beyond`: bounds leave no room for them, and older ones stay."""

    taken: int
    already_there: int
    damaged: int
    beyond: int


class Swept(NamedTuple):
    """What a comparison of files and index came to."""

    found: int
    lost: int
    removed: int
    unknown: tuple[str, ...]


class Keeper:
    """Changes the recordings of one store. `close` when done. Safe among processes, not among threads."""

    def __init__(self, layout: StoreLayout) -> None:
        self.shelf = Shelf(layout.recordings)
        self._path = layout.recordings_index
        self._room = Room(layout.root)
        self._lock = FileLock(layout.recordings_lock, folder_mode=0o700)
        self._said: dict[str, Bounds] = {}
        self._index: Index | None = None
        self._inode: tuple[int, int] | None = None

    def close(self) -> None:
        """Let go of the index."""
        if self._index is not None:
            self._index.close()
            self._index = None

    # What comes.

    def add(self, call: RecordedCall, pictures: Pictures) -> RecordedCall:
        """Keep a call with its pictures, and return it with its size. Raises StoreError, TooLarge."""
        return self._changed(lambda index: self._add(index, call, pictures), f"record call {call.id}")

    def _add(self, index: Index, call: RecordedCall, pictures: Pictures) -> RecordedCall:
        image = pack(pictures.image.pixels, pictures.image.shape)
        guide, data, same_as = self._guide(index, call.pid, pictures.guide)
        start, head = write_head(call, Block.of(image), guide)
        try:
            if guide is not None:
                self.shelf.put_guide(call.pid, call.id, data, same_as)
            self.shelf.put_call(call.pid, call.id, (start, image.data))
            now = epoch_seconds()
            index.correct(call.pid, now)
            index.add([(head, now)])
        except BaseException:
            with suppress(OSError):  # the first error is the one to report; what is left the sweep finds
                self.shelf.remove(call.pid, call.id)
            raise
        return head.call

    def _guide(
        self, index: Index, pid: str, picture: Picture | None
    ) -> tuple[Guide | None, bytes | memoryview, str | None]:  # fmt: skip
        """Return how a guide is kept, and its bytes, or a call that has the same one already."""
        if picture is None:
            return None, b"", None
        digest = hashlib.sha256(repr(picture.shape).encode())
        digest.update(picture.pixels)
        sha256 = digest.hexdigest()
        same_as = index.with_guide(pid, sha256)
        if same_as is not None:
            with suppress(Damaged, OSError):
                found = self.shelf.head(pid, same_as).guide
                if found is not None:
                    return found, b"", same_as
        packed: Packed = pack(picture.pixels, picture.shape)
        return Guide(Block.of(packed), sha256), packed.data, None

    def mark(self, pid: str, call_id: str, kind: RecordingKind) -> None:
        """Add a kind to a call that is kept. Raises StoreError."""

        def act(index: Index) -> None:
            self.shelf.add_kinds(pid, call_id, mask_of([kind]))
            index.mark(call_id, mask_of([kind]))

        self._changed(act, f"note a {kind} with call {call_id}")

    def take_over(self, source: RecordingSource, wanted: RecordingFilter) -> Imported:
        """Keep the calls of a source that are meant, as far as their PIDs' bounds have room.

        Raises StoreError: the disk has no room for more, or fails. What was taken over before it stays.
        """
        counts = dict.fromkeys(Imported._fields, 0)
        for call in source.calls(wanted):
            pictures = source.pictures(call)
            if pictures is None:
                counts["damaged"] += 1
                continue
            try:
                counts[self._changed(lambda index: self._take_over(index, call, pictures), f"take over {call.id}")] += 1  # noqa: B023
            except StoreError as error:
                before = f"; {counts['taken']} calls were taken over before, and stay" if counts["taken"] else ""
                raise StoreError(
                    error.message + before,
                    next_step="free room on the disk and import the file again: what is there is not taken twice",
                ) from error
        return Imported(**counts)

    def _take_over(self, index: Index, call: RecordedCall, pictures: Pictures) -> str:
        if index.calls(RecordingFilter(ids=frozenset({call.id}))):
            return "already_there"
        bounds, total = self._bounds(index, call.pid), index.total(call.pid)
        if total.calls >= bounds.keep or total.size + call.size > bounds.max_size:
            return "beyond"
        if shortage := self._room.shortage():
            raise StoreError(f"{shortage}: no recorded call is taken over until there is more")
        self._add(index, call, pictures)
        return "taken"

    # What goes.

    def delete(self, wanted: RecordingFilter) -> tuple[RecordedCall, ...]:
        """Remove the calls that are meant and return them. Raises StoreError."""

        def act(index: Index) -> tuple[RecordedCall, ...]:
            calls = index.calls(wanted)
            self._remove(index, ((call.pid, call.id) for call in calls))
            return tuple(calls)

        return self._changed(act, "delete recordings")

    def keep_within(self, bounds: Mapping[str, Bounds]) -> int:
        """Note the bounds of PIDs, have every PID within its own, and return how many calls went. Raises StoreError."""

        self._said |= bounds

        def act(index: Index) -> int:
            for pid, wanted in bounds.items():
                if index.bounds(pid) != wanted:
                    index.set_bounds(pid, wanted)
            return sum(self._enforce(index, pid) for pid in index.pids())

        return self._changed(act, "keep recordings within their bounds")

    def enforce(self, pid: str) -> int:
        """Have one PID within its bounds, and return how many calls went. Raises StoreError."""
        return self._changed(lambda index: self._enforce(index, pid), f"keep the recordings of PID {pid} in bounds")

    def _enforce(self, index: Index, pid: str) -> int:
        bounds, gone = self._bounds(index, pid), 0
        index.correct(pid, epoch_seconds())
        while True:
            total, since = index.total(pid), epoch_seconds() - bounds.max_age
            too_many = max(0, total.calls - bounds.keep)
            over = total.size > bounds.max_size
            oldest = index.oldest(pid, min(max(too_many, 1), _AT_ONCE))
            victims = [call_id for number, (call_id, arrived) in enumerate(oldest)
                       if number < too_many or arrived < since or (over and number == 0)]  # fmt: skip
            if not victims:
                return gone
            self._remove(index, ((pid, call_id) for call_id in victims))
            gone += len(victims)

    def _remove(self, index: Index, calls: Iterable[tuple[str, str]]) -> None:
        removed = []
        try:
            for pid, call_id in calls:
                self.shelf.remove(pid, call_id)
                removed.append(call_id)
        finally:
            index.remove(removed)

    def _bounds(self, index: Index, pid: str) -> Bounds:
        plain = Recording()
        return self._said.get(pid) or index.bounds(pid) or Bounds(plain.keep, plain.max_size, plain.max_age)

    def total(self) -> Total:
        """Return how much there is in all. Raises StoreError."""
        totals = self._changed(lambda index: [index.total(pid) for pid in index.pids()], "count recordings")
        return Total(sum(each.calls for each in totals), sum(each.size for each in totals))

    # Files and index agree.

    def sweep(self) -> Swept:
        """Have the index say what the files say, and remove what a kill or a power cut left. Raises StoreError."""
        return self._changed(self._sweep, "compare recordings with their index", check=True)

    def _sweep(self, index: Index) -> Swept:
        counts = Swept(0, 0, 0, ())
        for pid in {*self.shelf.pids(), *index.pids()}:
            swept = self._sweep_pid(index, pid)
            counts = Swept(*(one + other for one, other in zip(counts, swept, strict=True)))  # type: ignore[operator]
        return counts

    def _sweep_pid(self, index: Index, pid: str) -> Swept:
        there, rows = self.shelf.found(pid), index.rows(pid)
        whole = {
            call_id
            for call_id, row in rows.items()
            if there.calls.get(call_id) == row.size and there.guides.get(call_id, 0) == row.guide_size
        }
        added: list[tuple[Head, float]] = []
        removed = 0
        for call_id in there.calls.keys() - whole:
            try:
                added.append((self.shelf.head(pid, call_id), self.shelf.arrived(pid, call_id)))
            except FileNotFoundError:  # its guide is gone
                self.shelf.remove(pid, call_id)
                removed += 1
            except Damaged as why:
                log.warning("a recorded call is removed: %s %s", self.shelf.call(pid, call_id), why)
                self.shelf.remove(pid, call_id)
                removed += 1
        known = {head.call.id for head, _ in added}
        lost = rows.keys() - whole - known
        index.remove(lost)
        index.add(added)
        for path in there.unfinished:
            path.unlink(missing_ok=True)
        for call_id in there.guides.keys() - whole - known:
            self.shelf.guide(pid, call_id).unlink(missing_ok=True)
        return Swept(len(added), len(lost), removed, tuple(map(str, there.unknown)))

    # The index.

    def _changed(self, act: Callable[[Index], _T], doing: str, *, check: bool = False) -> _T:
        """Do something under the lock; with a new index where the one that is there is of no use."""
        try:
            with self._lock.held():
                try:
                    return act(self._opened(check=check))
                except Unusable as why:
                    if self.shelf.pids():
                        log.warning("the index of recordings is made again from the files: %s", why)
                    return act(self._made())
        except Unusable as why:
            raise StoreError(f"cannot {doing}: {why}", next_step="check the disk") from why
        except OSError as error:
            raise StoreError(
                f"cannot {doing}: {error.strerror or error}", next_step="check the disk and its free space"
            ) from error

    def _opened(self, *, check: bool) -> Index:
        if self._index is not None and not check and self._inode == self._look():
            return self._index
        self.close()
        self._index = Index.open(self._path, to_write=True, check=check)
        self._inode = self._look()
        return self._index

    def _made(self) -> Index:
        self.close()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        index = self._index = Index.make(self._path)
        for pid, bounds in self._said.items():
            index.set_bounds(pid, bounds)
        self._inode = self._look()
        self._sweep(index)
        return index

    def _look(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


@contextmanager
def keeper(layout: StoreLayout) -> Iterator[Keeper]:
    """Return who changes the recordings of a store, for the duration of the block."""
    found = Keeper(layout)
    try:
        yield found
    finally:
        found.close()
