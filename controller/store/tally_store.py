"""What calls came to, kept across restarts, and how much of it is recent."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Mapping
from typing import TypeVar

from controller.model.package import PackageRef
from controller.model.rollout import Instant
from controller.model.tally import Counted, Tally
from controller.store.layout import StoreLayout

Tallies = Mapping[Counted, Tally]
Words = Mapping[Counted, str]
_Value = TypeVar("_Value")

EVERY = 5.0
"""Seconds between two snapshots: how exact the edge of a window is."""
LONGEST = 300.0
"""Seconds for which snapshots are kept: the window that statuses show and unaffected are judged by."""


class TallyStore:
    """The tallies of one store. Survives the controller's death, and a power cut but for the last moments.

    Written by rename without fsync: a torn or lost file costs counts, never a decision (those are in `rollouts/`).
    """

    def __init__(self, layout: StoreLayout) -> None:
        self._path = layout.rollouts / ".tallies.json"
        self._snapshots: deque[tuple[float, Tallies]] = deque()
        self._saved: Tallies = {}
        self.tallies: Tallies = {}
        self.last_errors: Words = {}

    def load(self) -> Tallies:
        """Return the tallies of an earlier life; none where there are none, or they cannot be understood."""
        try:
            rows = {
                (row["pid"], PackageRef(row["name"], row["version"])): row
                for row in json.loads(self._path.read_bytes())
            }
            self.tallies = {key: Tally.from_document(row["tally"]) for key, row in rows.items()}
            self.last_errors = {key: row["last_error"] for key, row in rows.items() if row["last_error"]}
        except (OSError, ValueError, KeyError, TypeError):
            self.tallies, self.last_errors = {}, {}
        self._saved = self.tallies
        return self.tallies

    def note(self, tallies: Tallies, last_errors: Words, now: Instant) -> None:
        """Take the tallies and the latest errors' words as of now, and write them down on change. Raises OSError."""
        self.tallies, self.last_errors = tallies, {**self.last_errors, **last_errors}
        if not self._snapshots or now.seconds - self._snapshots[-1][0] >= EVERY:
            self._snapshots.append((now.seconds, tallies))
        while len(self._snapshots) > 1 and now.seconds - self._snapshots[1][0] >= LONGEST:
            self._snapshots.popleft()
        if tallies != self._saved:
            self._save(tallies)

    def forget(self, counted: Collection[Counted]) -> None:
        """Drop what nobody will ask for again; who takes the tallies drops it too, and counts anew what comes back."""
        if counted:
            self.tallies = _without(self.tallies, counted)
            self.last_errors = _without(self.last_errors, counted)
            self._snapshots = deque((at, _without(tallies, counted)) for at, tallies in self._snapshots)

    def recent(self) -> Tallies:
        """Return what came within the last window."""
        before = self._snapshots[0][1] if self._snapshots else {}
        found = {}
        for key, tally in self.tallies.items():
            since = tally - before[key] if key in before else tally
            if since.calls:
                found[key] = since
        return found

    def _save(self, tallies: Tallies) -> None:
        rows = [
            {
                "pid": pid,
                "name": ref.name,
                "version": ref.version,
                "tally": tally.to_document(),
                "last_error": self.last_errors.get((pid, ref), ""),
            }
            for (pid, ref), tally in tallies.items()
        ]
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(rows), encoding="utf-8")
        temporary.replace(self._path)
        self._saved = tallies


def _without(values: Mapping[Counted, _Value], counted: Collection[Counted]) -> Mapping[Counted, _Value]:
    return {key: value for key, value in values.items() if key not in counted}
