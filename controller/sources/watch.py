"""File events as wake-ups. They carry no meaning: a missed one only costs the time until the next periodic look.

A watched folder that is removed and made again goes silent, so its parent is watched too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileClosedNoWriteEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileOpenedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

_READS = (FileOpenedEvent, FileClosedNoWriteEvent)


class FolderWatch:
    """Watches folders for as long as it is entered; `wake` is called from another thread at each change.

    Folders that do not exist are waited for. `recursive` ones are watched with everything below them.
    """

    def __init__(self, wake: Callable[[], None], *, flat: Iterable[Path] = (), recursive: Iterable[Path] = ()) -> None:
        self._wake = wake
        self._folders = {path.absolute(): False for path in flat} | {path.absolute(): True for path in recursive}
        self._observer = Observer()
        self._watches: dict[Path, ObservedWatch] = {}
        self._writing: set[str] = set()
        self._lock = threading.Lock()

    @property
    def being_written(self) -> bool:
        """Whether a file was written to and not closed yet."""
        with self._lock:
            return bool(self._writing)

    def start(self) -> None:
        """Begin to watch."""
        for folder in self._folders:
            self._watch(folder)
        for parent in {folder.parent for folder in self._folders if folder.parent.is_dir()}:
            if parent not in self._folders:
                self._observer.schedule(_Parent(self), str(parent))
        self._observer.start()

    def stop(self) -> None:
        """Stop watching."""
        self._observer.stop()
        self._observer.join()

    def _watch(self, folder: Path) -> None:
        if (stale := self._watches.pop(folder, None)) is not None:
            with suppress(KeyError):  # the observer may have given the removed folder up by itself
                self._observer.unschedule(stale)
        if folder.is_dir():
            recursive = self._folders[folder]
            self._watches[folder] = self._observer.schedule(_Changes(self), str(folder), recursive=recursive)

    def appeared(self, path: str) -> None:
        """A folder appeared: watch it, if it is one of ours."""
        folder = Path(path)
        if folder in self._folders:
            self._watch(folder)
            self._wake()

    def changed(self, event: FileSystemEvent) -> None:
        """Something changed: note which files are being written, and wake."""
        with self._lock:
            if isinstance(event, FileModifiedEvent):
                self._writing.add(str(event.src_path))
            elif isinstance(event, FileClosedEvent | FileDeletedEvent | FileMovedEvent):
                self._writing.discard(str(event.src_path))
        self._wake()


class _Changes(FileSystemEventHandler):
    def __init__(self, owner: FolderWatch) -> None:
        self._owner = owner

    def on_any_event(self, event: FileSystemEvent) -> None:
        if not isinstance(event, _READS):  # our own reading is no change
            self._owner.changed(event)


class _Parent(FileSystemEventHandler):
    def __init__(self, owner: FolderWatch) -> None:
        self._owner = owner

    def on_any_event(self, event: FileSystemEvent) -> None:
        if isinstance(event, DirCreatedEvent):
            self._owner.appeared(str(event.src_path))
        elif isinstance(event, DirMovedEvent):
            self._owner.appeared(str(event.dest_path))
