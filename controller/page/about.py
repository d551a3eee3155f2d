"""What is known of one PID beside its tile: what holds it, which versions it had, what was done about it.

It is read anew only when something was done or moved, and once for all who have that PID open.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from controller.errors import ControllerError
from controller.model.status_document import PidRow, StatusDocument
from controller.page.audit import Act, acts
from controller.page.reading import EVERYTHING, StationReader
from controller.station.commands.present import HoldRow
from controller.station.commands.records import HistoryRow, ReadAudit

log = logging.getLogger(__name__)

_VERSIONS, _ACTS = 50, 20
_RECORDS = 200
"""Records of the audit in which a PID's acts are looked for."""
_IN_HISTORY = {"switch", "deactivate"}
_PATIENCE = 5.0
"""Seconds that one may take; then it is tried again after the next look."""
_AT_ONCE = 4
"""PIDs that are read anew between two looks at the station, at most: nobody's page waits for many others."""


@dataclass(frozen=True, slots=True)
class AboutPid:
    """One PID. `history` and `acts` begin with the newest; `acts`: those that are no version in the history."""

    pid: str
    deployment: str
    hold: HoldRow | None
    pinned_to: str
    history: tuple[HistoryRow, ...]
    acts: tuple[Act, ...]
    verb: str
    """What may be done about it now."""


async def about(reader: StationReader, pid: str) -> AboutPid:
    """Return what is known of a PID. Raises NotFound."""
    row, history = await reader.pid(pid), await reader.history(pid)
    deployment = row["deployment"] or ""
    subjects = [f"pid/{pid}", *([f"deployment/{deployment}"] if deployment else [])]
    records = [each for subject in subjects for each in (await reader.audit(ReadAudit(_RECORDS, object=subject))).rows]
    done = acts(sorted(records, key=lambda each: -each["seq"]))
    told = (each for each in done if each.state != "succeeded" or each.action not in _IN_HISTORY)
    return AboutPid(
        pid, deployment, row["hold"], row["pinned_to"] or "", tuple(history[::-1][:_VERSIONS]), tuple(told)[:_ACTS],
        "resume" if row["held"] else "rollback",
    )  # fmt: skip


class Watched:
    """The PIDs that somebody has open."""

    def __init__(self, reader: StationReader) -> None:
        self._reader = reader
        self._viewers: Counter[str] = Counter()
        self._known: dict[str, tuple[object, AboutPid]] = {}
        self._touched: set[str] = set()
        self._stale: set[str] = set()

    @contextmanager
    def by_viewer(self, pid: str) -> Iterator[None]:
        """Watch a PID for the block."""
        self._viewers[pid] += 1
        try:
            yield
        finally:
            self._viewers[pid] -= 1
            if not self._viewers[pid]:
                del self._viewers[pid]

    def touch(self, object_: str = EVERYTHING) -> None:
        """Have anew what an act on an object may have changed, such as `pid/A01`; empty: everything."""
        self._touched.add(object_)

    @property
    def behind(self) -> bool:
        """Whether something is still to be read."""
        return bool(self._stale)

    async def read(self, status: StatusDocument) -> Mapping[str, AboutPid]:
        """Return what is known of the PIDs; some of what has changed is read before."""
        touched, self._touched = self._touched, set()
        rows = {each["pid"]: each for each in status["pids"] if each["pid"] in self._viewers}
        self._known = {pid: each for pid, each in self._known.items() if pid in rows}
        self._stale |= {pid for pid, row in rows.items() if self._is_stale(row, touched)}
        self._stale &= rows.keys()
        for pid in sorted(self._stale)[:_AT_ONCE]:
            try:
                async with asyncio.timeout(_PATIENCE):
                    self._known[pid] = _moving(rows[pid]), await about(self._reader, pid)
            except (ControllerError, OSError) as error:
                log.info("what was done about %s is not known now: %s", pid, error)
                break  # what is stale is read next time
            self._stale.discard(pid)
        return {pid: each for pid, (_, each) in self._known.items()}

    def _is_stale(self, row: PidRow, touched: set[str]) -> bool:
        known = self._known.get(row["pid"])
        about_it = {EVERYTHING, f"pid/{row['pid']}", f"deployment/{row['deployment']}"}
        return known is None or known[0] != _moving(row) or not about_it.isdisjoint(touched)


def _moving(row: PidRow) -> object:
    """Return what of a PID's row is changed by acts and passes, not by calls."""
    return row["deployment"], row["active"], row["target_version"], row["held"], row["pinned"]
