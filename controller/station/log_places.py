"""Where the logs of a query are, also those of processes that start while somebody follows them. Blocking."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from controller.errors import Code, NotFound
from controller.model.objects import unmanaged_name
from controller.model.observed import ActiveMapping

if TYPE_CHECKING:
    from controller.station.commands.records import ReadLogs
    from controller.store.store import Store


class LogPlace(NamedTuple):
    """A log. `new`: it was made since the last look, so nobody has read anything of it."""

    path: Path
    new: bool


class LogPlaces:
    """The logs of a deployment's processes, of all versions or of one; of nobody: the controller's.

    A PID stands for its deployment, and for the version that answers it at each look, where none is named. A
    deployment that was called so before is found by its logs.
    """

    def __init__(self, store: Store, query: ReadLogs) -> None:
        """Find whose logs are meant. Raises NotFound: no process of it has written one; StoreError."""
        self._store = store
        self._version = query.version
        self._pid = ""
        self._folder: Path | None = None
        self._seen: set[Path] = set()
        """Kept, since a log that is rotated is not there for a moment."""
        if query.subject:
            self._find(query.subject)
            self._seen = self._there()
            if not self._meant():
                raise _nothing(query)

    def look(self) -> tuple[LogPlace, ...]:
        """Return the logs that are meant at this moment, in order. Raises StoreError."""
        if self._folder is None:
            return (LogPlace(self._store.layout.controller_log, new=False),)
        new = self._there() - self._seen
        self._seen |= new
        return tuple(LogPlace(path, path in new) for path in self._meant())

    def _find(self, subject: str) -> None:
        folder = self._store.layout.logs / "algorithms"
        there = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
        deployment = subject
        if subject not in there and (owner := _owner(self._store, subject)):
            deployment = owner
            self._pid = "" if self._version else subject
        if deployment in there:  # a name is looked for among folders, and never made one
            self._folder = folder / deployment

    def _there(self) -> set[Path]:
        return set(self._folder.glob("*.log")) if self._folder is not None else set()

    def _meant(self) -> list[Path]:
        if self._pid:
            mapping = self._store.active.read(self._pid)
            self._version = mapping.version if isinstance(mapping, ActiveMapping) else self._version
        return sorted(each for each in self._seen if self._version in {None, each.stem.rpartition("-")[0]})


def _nothing(query: ReadLogs) -> NotFound:
    which = query.subject[:80] + (f"@{query.version[:80]}" if query.version else "")
    return NotFound(
        Code.invalid_params,
        f"no process of {which} has written a log",
        next_step="see `pvctl status` for deployments",
    )


def _owner(store: Store, pid: str) -> str:
    """Return the deployment that has a PID, by the desired state in force, or what stands in its place; or nothing."""
    revision = store.revision.read()
    if revision is not None and (owner := revision.by_pid.get(pid)) is not None:
        return owner.name
    mapping = store.active.read(pid) if pid in store.active.pids() else None  # a name becomes no path
    return unmanaged_name(mapping.name) if isinstance(mapping, ActiveMapping) else ""
