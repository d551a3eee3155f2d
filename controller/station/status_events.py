"""Telling of changes of the status document: which rows of it are to be read anew."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import TypeVar

from controller.model.names import process_name
from controller.model.status import HostStatus, ProcessStatus, RevisionStatus, Status
from controller.reconciler.loop import Loop
from controller.station.commands.events import EventKind

_Row = TypeVar("_Row")
_NOTHING = Status(RevisionStatus("", "", valid=False), converged=False)
_REST = ("packages", "waiting", "unmanaged")


class StatusEvents:
    """Compares the status of a loop's passes; what processes and the host use at the moment is no change."""

    def __init__(self, loop: Loop, publish: Callable[[EventKind, object], None]) -> None:
        self._loop = loop
        self._publish = publish
        self._told = _NOTHING
        self._said: tuple[object, ...] = ()

    def look(self) -> None:
        """Tell what is another than it was; to be called after every pass, whatever came of it."""
        outcome, refusal = self._loop.outcome, self._loop.refusal
        status = outcome.status if outcome is not None else _NOTHING
        errors = tuple(refusal["revision"]["errors"]) if refusal is not None else status.revision.errors
        said = (status.revision, status.converged, errors, refusal is None, self._loop.failing)
        before, self._told = self._told, status
        document = {
            "deployments": _changed(before.deployments, status.deployments, lambda each: each.name),
            "pids": _changed(before.pids, status.pids, lambda each: each.pid),
            "processes": _changed(before.processes, status.processes, _key, _at_rest),
            "others": [name for name in _REST if getattr(before, name) != getattr(status, name)]
            + ["host"] * (_lasting(before.host) != _lasting(status.host)),
        }
        if said == self._said and not any(document.values()):
            return
        self._said = said
        head = {
            "revision": status.revision.id,
            "valid": refusal is None and not errors,
            "converged": status.converged and refusal is None and not self._loop.failing,
            "failing": self._loop.failing,
        }
        self._publish("status", {**head, **document})


def _changed(
    before: tuple[_Row, ...],
    after: tuple[_Row, ...],
    name: Callable[[_Row], str],
    seen: Callable[[_Row], object] = lambda each: each,
) -> list[str]:
    """Return the names of the rows that are new, gone, or other than they were; in order."""
    if before is after:
        return []
    earlier, later = ({name(each): seen(each) for each in rows} for rows in (before, after))
    return sorted(each for each in {**earlier, **later} if earlier.get(each) != later.get(each))


def _key(row: ProcessStatus) -> str:
    return process_name(row.deployment, row.name, row.version, row.replica, shadow=row.shadow)


def _at_rest(row: ProcessStatus) -> ProcessStatus:
    return replace(row, rss_bytes=None, cpu_percent=None)


def _lasting(host: HostStatus) -> Iterable[Hashable]:
    return tuple((each.type, each.status) for each in host.conditions)
