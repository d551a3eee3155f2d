"""File events as wake-ups. They carry no meaning: a missed one only costs the time until the next periodic look.

A watched folder that is removed and made again goes silent, so its parent is watched too. Where the system has no
events to give (inotify is used up on a machine with many watchers), everything is found at the periodic look.
"""

from __future__ import annotations

import errno
import logging
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
from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)
logging.getLogger("watchdog").setLevel(logging.CRITICAL)  # it calls the end of its own threads an error

_READS = (FileOpenedEvent, FileClosedNoWriteEvent)
_LIMITS = {errno.EMFILE: "max_user_instances", errno.ENOSPC: "max_user_watches"}
"""What an error of inotify says is used up: the name of the limit below `fs.inotify`."""
_SYSCTL = Path("/proc/sys/fs/inotify")


class FolderWatch:
    """Watches folders from `start` to `stop`; `wake` is called from another thread at each change.

    Folders that do not exist are waited for. `recursive` ones are watched with everything below them. `trouble` says
    why the system tells of no changes, in a sentence for people; it is empty while it does.
    """

    def __init__(self, wake: Callable[[], None], *, flat: Iterable[Path] = (), recursive: Iterable[Path] = ()) -> None:
        self._wake = wake
        self._folders = {path.absolute(): False for path in flat} | {path.absolute(): True for path in recursive}
        self._observer: BaseObserver | None = None
        self.trouble = ""
        self._watches: dict[Path, ObservedWatch] = {}
        self._writing: set[str] = set()
        self._lock = threading.Lock()

    @property
    def being_written(self) -> bool:
        """Whether a file was written to and not closed yet."""
        with self._lock:
            return bool(self._writing)

    def start(self) -> None:
        """Begin to watch, or begin anew; where the system has no events to give, `trouble` says so."""
        self.stop()
        try:
            self._observer = Observer()
            for folder in self._folders:
                self._watch(self._observer, folder)
            for parent in {folder.parent for folder in self._folders if folder.parent.is_dir()}:
                if parent not in self._folders:
                    self._observer.schedule(_Parent(self), str(parent))
            self._observer.start()
        except OSError as error:
            self.stop()
            self._note(error)
        else:
            if self.trouble:
                log.info("changes of files are noticed at once again")
                self._wake()
            self.trouble = ""

    def stop(self) -> None:
        """Stop watching."""
        observer, self._observer = self._observer, None
        self._watches.clear()
        with self._lock:
            self._writing.clear()
        if observer is not None:
            observer.unschedule_all()
            if observer.is_alive():
                observer.stop()
                observer.join()

    def _note(self, error: OSError) -> None:
        """Say once what is used up, and which setting gives more."""
        trouble = f"the system tells of no changes of files: {error.strerror}"
        if (name := _LIMITS.get(error.errno or 0)) is not None:
            trouble += f"; raise the sysctl fs.inotify.{name} (now {_present(name)})"
        if trouble != self.trouble:
            log.warning("%s; until that is mended they are looked for every 10 s", trouble)
        self.trouble = trouble

    def _watch(self, observer: BaseObserver, folder: Path) -> None:
        if (stale := self._watches.pop(folder, None)) is not None:
            with suppress(KeyError):  # the observer may have given the removed folder up by itself
                observer.unschedule(stale)
        if folder.is_dir():
            recursive = self._folders[folder]
            self._watches[folder] = observer.schedule(_Changes(self), str(folder), recursive=recursive)

    def appeared(self, path: str) -> None:
        """A folder appeared: watch it, if it is one of ours."""
        folder, observer = Path(path), self._observer
        if folder in self._folders and observer is not None:
            try:
                self._watch(observer, folder)
            except OSError as error:
                self._note(error)
            self._wake()

    def changed(self, event: FileSystemEvent) -> None:
        """Something changed: note which files are being written, and wake."""
        with self._lock:
            if isinstance(event, FileModifiedEvent):
                self._writing.add(str(event.src_path))
            elif isinstance(event, FileClosedEvent | FileDeletedEvent | FileMovedEvent):
                self._writing.discard(str(event.src_path))
        self._wake()


def _present(name: str) -> str:
    try:
        return (_SYSCTL / name).read_text().strip()
    except OSError:
        return "unknown"


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
