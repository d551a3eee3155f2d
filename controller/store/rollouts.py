"""`rollouts/`: what is remembered of each deployment's rollout and quarantine, and the holds on PIDs.

Beside each file lies a copy of it (`.<file>.copy`), from which it is restored where it cannot be used any more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from controller.errors import StoreError
from controller.model.rollout import HOLDS, Hold, Memory, RolloutRecord
from controller.store.atomic import write_atomic, write_if_changed
from controller.store.layout import StoreLayout
from controller.store.rollout_codec import read_holds, read_record, write_holds, write_record
from controller.store.unchanged import Unchanged

Content = TypeVar("Content")
_NOT_UNDERSTOOD = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


class RolloutFiles:
    """Reads and writes what one store remembers of rollouts. Names of deployments never begin with a dot."""

    def __init__(self, layout: StoreLayout) -> None:
        self._folder = layout.rollouts
        self._unchanged: Unchanged[_Look[RolloutRecord]] = Unchanged()

    def memory(self) -> Memory:
        """Return what is remembered: by the file, else by its copy, with what is wrong with the file. Reads only."""
        try:
            with os.scandir(self._folder) as entries:
                files = sorted((each for each in entries if _is_record(each.name)), key=lambda each: each.name)
        except FileNotFoundError:
            return Memory()
        except OSError as error:
            return Memory(lost={HOLDS: f"{self._folder} cannot be read: {error.strerror or error}"})
        records = {each.name.removesuffix(".json"): self._look(each) for each in files}
        holds = self._holds.look()
        looks: Mapping[str, _Look[Any]] = {**records, HOLDS: holds}
        return Memory(
            {name: look.content for name, look in records.items() if look.content is not None},
            {hold.pid: hold for hold in holds.content or ()},
            {name: look.damage for name, look in looks.items() if look.damage and look.content is not None},
            {name: look.damage for name, look in looks.items() if look.damage and look.content is None},
        )

    def record(self, deployment: str) -> RolloutRecord:
        """Return what is remembered of a deployment. Raises StoreError where that cannot be read."""
        return self._record(deployment).look().known() or RolloutRecord()

    def write(self, deployment: str, record: RolloutRecord) -> bool:
        """Save a deployment's rollout durably; return whether that changed anything. Raises StoreError."""
        return self._record(deployment).write(write_record(record))

    def read_holds(self) -> dict[str, Hold]:
        """Return the holds by PID. Raises StoreError where they cannot be read."""
        return {hold.pid: hold for hold in self._holds.look().known() or ()}

    def write_holds(self, holds: Iterable[Hold]) -> bool:
        """Replace all holds durably; return whether that changed anything. Raises StoreError."""
        return self._holds.write(write_holds(holds))

    def restore(self, name: str) -> None:
        """Put the copy of a deployment's record, or of `HOLDS`, in place of a damaged file. Raises StoreError."""
        (self._holds if name == HOLDS else self._record(name)).restore()

    def keep_copies(self) -> None:
        """Make the copies that a kill, or an earlier release, left out. For the start of a controller."""
        self._holds.keep_copy()
        for name in self.memory().records:
            self._record(name).keep_copy()

    def _look(self, entry: os.DirEntry[str]) -> _Look[RolloutRecord]:
        look = self._unchanged.read(entry, lambda path: _KeptFile(Path(path), read_record).look())
        if look.damage:  # it may be readable again without having changed
            self._unchanged.forget(entry.name)
        return look

    @property
    def _holds(self) -> _KeptFile[tuple[Hold, ...]]:
        return _KeptFile(self._folder / f"{HOLDS}.json", read_holds)

    def _record(self, deployment: str) -> _KeptFile[RolloutRecord]:
        return _KeptFile(self._folder / f"{deployment}.json", read_record)


@dataclass(frozen=True, slots=True)
class _Look(Generic[Content]):
    """What a file tells; with `damage`, what its copy tells. None: nothing does."""

    content: Content | None
    damage: str = ""

    def known(self) -> Content | None:
        """Return the content, None where there is no file. Raises StoreError where nobody knows it."""
        if self.damage and self.content is None:
            raise StoreError(
                self.damage,
                next_step="its content guards against a failed version coming back; move it aside to give that up",
            )
        return self.content


class _KeptFile(Generic[Content]):
    """A file and its copy. The copy is not synced: it is there for what happens to the file between two writes."""

    def __init__(self, path: Path, parse: Callable[[bytes], Content]) -> None:
        self._path = path
        self._copy = path.with_name(f".{path.name}.copy")
        self._parse = parse

    def look(self) -> _Look[Content]:
        try:
            return _Look(self._parse(self._path.read_bytes()))
        except FileNotFoundError:
            return _Look(None)
        except OSError as error:
            return _Look(self._copied(), f"{self._path} cannot be read: {error.strerror or error}")
        except _NOT_UNDERSTOOD as error:  # not JSON, or not what this controller writes
            return _Look(self._copied(), f"{self._path} cannot be understood: {_in_one_line(error)}")

    def _copied(self) -> Content | None:
        try:
            return self._parse(self._copy.read_bytes())
        except (OSError, *_NOT_UNDERSTOOD):
            return None

    def write(self, content: bytes) -> bool:
        try:
            changed = write_if_changed(self._path, content, self._parse)
        except StoreError:
            self.keep_copy()  # the file may be in place all the same
            raise
        if changed:
            self._keep(content)
        return changed

    def restore(self) -> None:
        if self.look().damage:
            try:
                content = self._copy.read_bytes()
            except OSError as error:
                raise StoreError(f"cannot read {self._copy}: {error.strerror or error}") from error
            write_atomic(self._path, content, self._parse)

    def keep_copy(self) -> None:
        """Make the copy agree with the file, where that is good."""
        if not self.look().damage:
            with suppress(OSError):  # the next start, or the next write, tries again
                content = self._path.read_bytes()
                if not self._copy.exists() or self._copy.read_bytes() != content:
                    self._keep(content)

    def _keep(self, content: bytes) -> None:
        temporary = self._copy.with_name(self._copy.name + ".tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(self._copy)
        except OSError:  # a full disk, say: no copy is better than one that has forgotten the last decision
            for leftover in (temporary, self._copy):
                with suppress(OSError):
                    leftover.unlink()


def _is_record(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _in_one_line(error: Exception) -> str:
    """Return the first words of an error: a validation tells of every field."""
    return " ".join(str(error).split())[:200] or type(error).__name__
