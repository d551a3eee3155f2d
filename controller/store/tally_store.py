"""What calls came to, kept across restarts, and how much of it is recent."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, fields
from itertools import pairwise
from typing import Any, TypeVar

from controller.errors import StoreError
from controller.model.observed import RecentCalls, Tallies
from controller.model.package import PackageRef
from controller.model.rollout import Instant
from controller.model.tally import Counted, LatencySketch, Tally
from controller.store.layout import StoreLayout
from controller.store.shadow_store import ShadowStore

Words = Mapping[Counted, str]
_Value = TypeVar("_Value")

_LATER = frozenset({"reviewed", "escapes", "overkill", "excused", "failures"})
EVERY = 5.0
"""Seconds between two snapshots of the last minutes: how exact the edge of a short window is."""
SHARE = 1 / 20
"""How exact the edge of a longer window is, as a share of it: the older snapshots are, the fewer are kept."""


class TallyStore:
    """The tallies of one store. `save` lets them survive the controller's death, and a power cut but for the last.

    `shadows` is beside them: what shadowed versions are counted by.

    Written by rename without fsync: a torn or lost file costs counts, never a decision (those are in `rollouts/`).
    """

    def __init__(self, layout: StoreLayout) -> None:
        self._path = layout.rollouts / ".tallies.json"
        self.shadows = ShadowStore(layout)
        self.snapshots = Snapshots()
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
            self.tallies = {key: parse_tally(row["tally"]) for key, row in rows.items()}
            self.last_errors = {key: row["last_error"] for key, row in rows.items() if row["last_error"]}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.tallies, self.last_errors = {}, {}
        self._saved = self.tallies
        return self.tallies

    def note(self, tallies: Tallies, last_errors: Words, now: Instant) -> None:
        """Take the tallies and the latest errors' words as of now."""
        self.tallies, self.last_errors = tallies, {**self.last_errors, **last_errors}
        self.snapshots.add(now.seconds, tallies)

    def forget(self, counted: Collection[Counted]) -> None:
        """Drop what nobody will ask for again; who takes the tallies drops it too, and counts anew what comes back."""
        if counted:
            self.tallies = _without(self.tallies, counted)
            self.last_errors = _without(self.last_errors, counted)
            self.snapshots.forget(counted)

    def save(self) -> None:
        """Write down what was noted, where it has changed. Raises StoreError; calls and verdicts go on without."""
        tallies = self.tallies
        if tallies == self._saved:
            return
        try:
            self._write(tallies)
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror or error}") from error

    def recent(self, windows: Iterable[float]) -> RecentCalls:
        """Return what came within each window (seconds). From now on, so much of the past is kept and no more."""
        wanted = frozenset(windows)
        self.snapshots.keep(max(wanted, default=0.0))
        return RecentCalls({window: self._within(window) for window in wanted})

    def _within(self, window: float) -> Tallies:
        before = self.snapshots.before(window)
        since = {key: _since(tally, before.get(key)) for key, tally in self.tallies.items()}
        return {key: tally for key, tally in since.items() if tally.calls or tally.reviewed or tally.excused}

    def _write(self, tallies: Tallies) -> None:
        rows = [
            {
                "pid": pid,
                "name": ref.name,
                "version": ref.version,
                "tally": tally_document(tally),
                "last_error": self.last_errors.get((pid, ref), ""),
            }
            for (pid, ref), tally in tallies.items()
        ]
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(rows), encoding="utf-8")
        temporary.replace(self._path)
        self._saved = tallies


class Snapshots:
    """What the tallies were at earlier moments, as far back as is asked for: dense lately, ever sparser before.

    Their number grows with the logarithm of the longest window: about 50 for five minutes, 210 for a day.
    """

    def __init__(self) -> None:
        self._taken: list[tuple[float, Tallies]] = []
        self._now = 0.0
        self._longest = 300.0

    def __len__(self) -> int:
        return len(self._taken)

    def keep(self, longest: float) -> None:
        """Keep what windows of up to so many seconds need."""
        self._longest = longest

    def add(self, now: float, tallies: Tallies) -> None:
        """Take a snapshot, if the last one is old enough, and drop what no window needs any more."""
        self._now = now
        if not self._taken or now - self._taken[-1][0] >= EVERY:
            last = self._taken[-1][1] if self._taken else {}
            # what was not called since shares the earlier value: a PID at rest costs no memory
            same = {key: last[key] if last.get(key) == tally else tally for key, tally in tallies.items()}
            self._taken.append((now, same))
            self._thin()

    def forget(self, counted: Collection[Counted]) -> None:
        """Drop what nobody will ask for again."""
        self._taken = [(at, _without(tallies, counted)) for at, tallies in self._taken]

    def before(self, window: float) -> Tallies:
        """Return the last snapshot from before a window began, else the first there is."""
        began = self._now - window
        first = self._taken[0][1] if self._taken else {}
        return next((each for at, each in reversed(self._taken) if at <= began), first)

    def _thin(self) -> None:
        """Drop a snapshot where its neighbours are near enough to each other, and all but one before every window."""
        began = self._now - self._longest
        first = max((index for index, (at, _) in enumerate(self._taken) if at <= began), default=0)
        kept, newest = [self._taken[first]], self._taken[-1]
        for each, after in pairwise(self._taken[first + 1 :]):
            if after[0] - kept[-1][0] > max(EVERY, SHARE * (self._now - each[0])):
                kept.append(each)
        self._taken = kept if kept[-1] is newest else [*kept, newest]


def _without(values: Mapping[Counted, _Value], counted: Collection[Counted]) -> dict[Counted, _Value]:
    return {key: value for key, value in values.items() if key not in counted}


def _since(tally: Tally, before: Tally | None) -> Tally:
    try:
        return tally - before if before is not None else tally
    except ValueError:  # the counts were lost, or forgotten, and began anew
        return tally


def tally_document(tally: Tally) -> dict[str, Any]:
    """Return the JSON form that `parse_tally` reads back; the latency as [bin, count] pairs."""
    return {**plain_tally(tally), "latency": [list(pair) for pair in tally.latency.bins]}


def plain_tally(tally: Tally) -> dict[str, Any]:
    """Return a tally as plain data.

    Counts that came later stand in it where there are any: a release that does not know them can read the others.
    """
    return {name: value for name, value in asdict(tally).items() if value or name not in _LATER}


def parse_tally(document: dict[str, Any]) -> Tally:
    """Raises KeyError, TypeError or ValueError if the document is not a tally."""
    bins = tuple((int(index), int(count)) for index, count in document["latency"])
    counts = {each.name: document[each.name] for each in fields(Tally) if each.name in document}  # not a newer one's
    return Tally(**{**counts, "latency": LatencySketch(bins)})
