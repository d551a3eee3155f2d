"""`rollouts/`: what is remembered of each deployment's rollout and quarantine, and the holds on PIDs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from controller.errors import StoreError
from controller.model.rollout import Hold, RolloutRecord
from controller.store.atomic import write_if_changed
from controller.store.layout import StoreLayout
from controller.store.rollout_codec import read_holds, read_record, write_holds, write_record
from controller.store.unchanged import Unchanged

Content = TypeVar("Content")


class RolloutFiles:
    """Reads and writes what one store remembers of rollouts. Names of deployments never begin with a dot."""

    def __init__(self, layout: StoreLayout) -> None:
        self._folder = layout.rollouts
        self._holds = layout.rollouts / ".holds.json"
        self._unchanged: Unchanged[RolloutRecord | None] = Unchanged()

    def read_all(self) -> dict[str, RolloutRecord]:
        """Return what is remembered, by deployment.

        Raises:
            StoreError: a file cannot be read or understood. Going on without it could forgive a failure.
        """
        try:
            with os.scandir(self._folder) as entries:
                files = sorted((each for each in entries if _is_record(each.name)), key=lambda each: each.name)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StoreError(f"cannot read {self._folder}: {error.strerror}") from error
        read = {each.name.removesuffix(".json"): self._unchanged.read(each, _read_record) for each in files}
        return {name: record for name, record in read.items() if record is not None}

    def write(self, deployment: str, record: RolloutRecord) -> bool:
        """Save a deployment's rollout durably; return whether that changed anything. Raises StoreError."""
        return write_if_changed(self._path(deployment), write_record(record), read_record)

    def read_holds(self) -> dict[str, Hold]:
        """Return the holds by PID. Raises StoreError as `read_all` does."""
        return {hold.pid: hold for hold in _read(self._holds, read_holds) or ()}

    def write_holds(self, holds: Iterable[Hold]) -> bool:
        """Replace all holds durably; return whether that changed anything. Raises StoreError."""
        return write_if_changed(self._holds, write_holds(holds), read_holds)

    def _path(self, deployment: str) -> Path:
        return self._folder / f"{deployment}.json"


def _is_record(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _read_record(path: str) -> RolloutRecord | None:
    return _read(Path(path), read_record)


def _read(path: Path, parse: Callable[[bytes], Content]) -> Content | None:
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # not JSON, or not what this controller writes
        raise StoreError(
            f"{path} cannot be understood: {error}",
            next_step="its content guards against a failed version coming back; move it aside to give that up",
        ) from error
