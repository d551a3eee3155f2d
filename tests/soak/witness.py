"""An independent witness of which version was active when: it looks at `active/` and believes nobody's word.

A rename happens between two looks, so of each change two times are known: when the old version was last seen, and when
the new one was first seen. Between them either may have been active, and the judge gives the station the benefit.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

_LOOK_EVERY = 0.001


@dataclass(frozen=True, slots=True)
class Reign:
    """A version was active: `since` at the latest, `maybe_since` at the earliest (monotonic)."""

    version: str
    maybe_since: float
    since: float


class Witness:
    """Looks at the mappings of some PIDs, every millisecond or so, from entering to leaving."""

    def __init__(self, active: Path, pids: tuple[str, ...]) -> None:
        self.reigns: dict[str, list[Reign]] = {pid: [] for pid in pids}
        self.longest_look = 0.0
        self._paths = {pid: str(active / f"{pid}.json") for pid in pids}
        self._looks: dict[str, tuple[tuple[int, int], float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness")

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            self._look()

    def _look(self) -> None:
        for pid, path in self._paths.items():
            before = time.monotonic()
            with open(path, "rb") as file:  # noqa: PTH123 - a thousand times a second
                status = os.fstat(file.fileno())
                content = file.read()
            fingerprint = (status.st_ino, status.st_mtime_ns)
            known = self._looks.get(pid)
            if known is None or known[0] != fingerprint:
                self._note(pid, orjson.loads(content)["version"], known[1] if known else before)
            elif known is not None:
                self.longest_look = max(self.longest_look, before - known[1])
            self._looks[pid] = (fingerprint, before)

    def _note(self, pid: str, version: str, last_seen_before: float) -> None:
        reigns = self.reigns[pid]
        if not reigns or reigns[-1].version != version:
            reigns.append(Reign(version, last_seen_before, time.monotonic()))

    def version(self, pid: str) -> str:
        """Return the version that a PID is on, as last seen."""
        return self.reigns[pid][-1].version

    @property
    def switches(self) -> int:
        """How often a PID went from one version to another."""
        return sum(len(reigns) - 1 for reigns in self.reigns.values())

    def possible(self, pid: str, began: float, ended: float) -> set[str]:
        """Return the versions that may have been active at some moment of a span of time."""
        reigns = self.reigns[pid]
        found = set()
        for index, reign in enumerate(reigns):
            gone = reigns[index + 1].since if index + 1 < len(reigns) else float("inf")
            if reign.maybe_since <= ended and began <= gone:
                found.add(reign.version)
        return found
