"""The recorded calls of a store, for whoever reads them: through the index, or from the files where that is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from controller.errors import StoreError
from controller.model.recording import RecordedCall, RecordingFilter
from controller.recordings.index import Index, Unusable, filtered
from controller.recordings.keeping import Imported, keeper
from controller.recordings.pixels import Damaged
from controller.recordings.shelf import Shelf
from controller.recordings.source import PackedCall, Pictures, RecordingSource
from controller.store.layout import StoreLayout

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class StoreRecordings:
    """A `RecordingSource` of one store's recordings. Any thread, any process; nothing is kept open in between."""

    def __init__(self, layout: StoreLayout) -> None:
        self._layout = layout
        self._shelf = Shelf(layout.recordings)

    def calls(self, wanted: RecordingFilter) -> Sequence[RecordedCall]:
        """Return the recorded calls that are meant and are there, the newest first. Raises StoreError."""
        if not self._layout.recordings.is_dir():
            return ()
        try:
            index = Index.open(self._layout.recordings_index, to_write=False)
            try:
                return self._from_index(index, wanted)
            finally:
                index.close()
        except (Unusable, StoreError) as why:  # whoever writes next makes it again
            log.info("recordings are read from their files: %s", why)
        return [call for call in self._from_files(wanted) if self._shelf.is_there(call)]

    def _from_index(self, index: Index, wanted: RecordingFilter) -> Sequence[RecordedCall]:
        """Return the calls that are meant, without rows whose files are gone: further ones stand in for them."""
        found: list[RecordedCall] = []
        missing = wanted.last
        while True:
            rows = index.calls(replace(wanted, last=missing))
            there = [call for call in rows if self._shelf.is_there(call)]
            found += there
            if missing is None or len(rows) < missing:
                return found
            missing -= len(there)
            if not missing:
                return found
            wanted = replace(wanted, before=rows[-1].id)

    def _from_files(self, wanted: RecordingFilter) -> Sequence[RecordedCall]:
        try:
            return filtered((head for head, _ in self._shelf.heads()), wanted)
        except OSError as error:
            raise StoreError(f"cannot read {self._layout.recordings}: {error.strerror or error}") from error

    def pictures(self, call: RecordedCall) -> Pictures | None:
        """Return the pictures of a call; None where they are gone by now, or damaged. Raises StoreError."""
        return self._read(call, self._shelf.pictures)

    def packed(self, call: RecordedCall) -> PackedCall | None:
        """Return a call as it is kept; None where it is gone by now, or damaged. Raises StoreError."""
        return self._read(call, self._shelf.packed)

    def _read(self, call: RecordedCall, read: Callable[[RecordedCall], _T]) -> _T | None:
        try:
            return read(call)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Damaged as why:
            log.warning("a recorded call is not shown: %s %s", self._shelf.call(call.pid, call.id), why)
            return None
        except OSError as error:
            raise StoreError(f"cannot read the pictures of call {call.id}: {error.strerror or error}") from error

    def delete(self, wanted: RecordingFilter) -> tuple[RecordedCall, ...]:
        """Remove the calls that are meant and return them. Raises StoreError."""
        if not self._layout.recordings.is_dir():
            return ()
        with keeper(self._layout) as found:
            return found.delete(wanted)

    def take_over(self, source: RecordingSource, wanted: RecordingFilter) -> Imported:
        """Keep the calls of another source that are meant. Older ones never give way to them. Raises StoreError."""
        with keeper(self._layout) as found:
            return found.take_over(source, wanted)
