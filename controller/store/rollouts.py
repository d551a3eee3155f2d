"""`rollouts/`: what is remembered of each deployment's rollout and quarantine, and the holds on PIDs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from controller.errors import StoreError
from controller.model.rollout import Hold, RolloutRecord
from controller.store.atomic import remove_durably, write_if_changed
from controller.store.layout import StoreLayout
from controller.store.unchanged import Unchanged

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415 - only who reads or writes rollouts pays for pydantic

    return TypeAdapter(kind)


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
        return write_if_changed(self._path(deployment), _dump(RolloutRecord, record), orjson.loads)

    def forget(self, deployment: str) -> None:
        """Forget a deployment. Raises StoreError."""
        remove_durably(self._path(deployment))

    def read_holds(self) -> dict[str, Hold]:
        """Return the holds by PID. Raises StoreError as `read_all` does."""
        return {hold.pid: hold for hold in _read(self._holds, tuple[Hold, ...]) or ()}

    def write_holds(self, holds: Iterable[Hold]) -> bool:
        """Replace all holds durably; return whether that changed anything. Raises StoreError."""
        return write_if_changed(self._holds, _dump(tuple[Hold, ...], tuple(sorted(holds, key=lambda hold: hold.pid))))

    def _path(self, deployment: str) -> Path:
        return self._folder / f"{deployment}.json"


_WORDS = {
    "strategy": "terms", "step": "stage", "already_failing": "ailing", "host_degraded": "troubled",
    "suspended_because": "held_for", "analysis_state": "trials",
}  # fmt: skip
"""What the fields of a rollout are called in its file. The words of the first release stay: a store outlives it."""
_MEANINGS = {word: name for name, word in _WORDS.items()}


def _renamed(document: Any, words: Mapping[str, str]) -> Any:
    """Return a record's document with its rollout's fields under other names."""
    rollout = document.get("rollout") if isinstance(document, dict) else None
    if not isinstance(rollout, dict):
        return document
    found = {words.get(name, name): value for name, value in rollout.items()}
    strategy, steps = ("terms", ("steps", "stages")) if words is _WORDS else ("strategy", ("stages", "steps"))
    pinned = found.get(strategy)
    if isinstance(pinned, dict):
        found[strategy] = {steps[1] if name == steps[0] else name: value for name, value in pinned.items()}
    return {**document, "rollout": found}


def _dump(kind: Any, value: object) -> bytes:
    document = _renamed(_adapter(kind).dump_python(value, mode="json"), _WORDS)
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _is_record(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _read_record(path: str) -> RolloutRecord | None:
    record: RolloutRecord | None = _read(Path(path), RolloutRecord)
    return record


def _read(path: Path, kind: Any) -> Any:
    try:
        return _adapter(kind).validate_python(_renamed(orjson.loads(path.read_bytes()), _MEANINGS))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # not JSON, or not what this controller writes
        raise StoreError(
            f"{path} cannot be understood: {error}",
            next_step="its content guards against a failed version coming back; move it aside to give that up",
        ) from error
