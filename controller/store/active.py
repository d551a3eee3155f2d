"""`active/<pid>.json`: the authority for routing. Exactly the keys name, version and activated_at."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from controller.errors import StoreError
from controller.model.observed import ActiveMapping, BrokenMapping
from controller.store.atomic import Replacement, remove_durably, write_all_atomic
from controller.store.layout import StoreLayout
from controller.store.unchanged import Unchanged

_OF_THE_HOST = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What says nothing about the file that could not be read."""
_KEYS = {"name", "version", "activated_at"}


def parse_mapping(content: bytes) -> ActiveMapping:
    """Return the mapping that a file holds. Raises ValueError saying what is wrong with it."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(document, dict) or document.keys() != _KEYS:
        raise ValueError("expected an object with exactly name, version and activated_at")
    if not all(isinstance(value, str) and value for value in document.values()):
        raise ValueError("name, version and activated_at must be text")
    return ActiveMapping(**document)


def _dump(mapping: ActiveMapping) -> bytes:
    return orjson.dumps(
        {"name": mapping.name, "version": mapping.version, "activated_at": mapping.activated_at},
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )


class ActiveMappings:
    """Reads and replaces the mappings of one store. Writers hold the store's mutation lock."""

    def __init__(self, layout: StoreLayout) -> None:
        self._layout = layout
        self._unchanged: Unchanged[ActiveMapping | BrokenMapping | None] = Unchanged()

    def path(self, pid: str) -> str:
        """Return where a PID's mapping is, for who has to notice at every call that it was replaced."""
        return str(self._layout.mapping(pid))

    def read(self, pid: str) -> ActiveMapping | BrokenMapping | None:
        """Return a PID's mapping, None where it has none. Raises StoreError where the host has no room to read it."""
        return self._read(self._layout.mapping(pid))

    def pids(self) -> list[str]:
        """Return the PIDs that have a file, whatever is in it. Raises StoreError where the folder cannot be read."""
        return [each.name.removesuffix(".json") for each in self._files()]

    def read_all(self) -> dict[str, ActiveMapping | BrokenMapping]:
        """Return every mapping of the store by PID. Raises StoreError where the folder cannot be read."""
        files = sorted(self._files(), key=lambda each: each.name)
        found = ((each.name.removesuffix(".json"), self._unchanged.read(each, self._read)) for each in files)
        return {pid: mapping for pid, mapping in found if mapping is not None}

    def _files(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._layout.active) as entries:
                return [each for each in entries if each.name.endswith(".json")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"cannot read {self._layout.active}: {error.strerror}") from error

    @staticmethod
    def _read(path: Path | str) -> ActiveMapping | BrokenMapping | None:
        try:
            return parse_mapping(Path(path).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            return BrokenMapping(str(error))
        except OSError as error:
            if error.errno in _OF_THE_HOST:
                raise StoreError(f"cannot read {path}: {error.strerror}") from error
            return BrokenMapping(f"it cannot be read: {error.strerror or error}")

    def write_all(
        self, mappings: Mapping[str, ActiveMapping], validate: Callable[[ActiveMapping], None]
    ) -> dict[str, Exception]:
        """Replace the mappings of PIDs durably, in their order; return by PID what went wrong.

        `validate` gets a mapping as read back from the temporary file and raises where it must not go live. The old
        mapping is then still in place, but for NotSynced.
        """
        pids = {self._layout.mapping(pid): pid for pid in mappings}
        failures = write_all_atomic(
            [
                Replacement(path, _dump(mappings[pid]), lambda read_back: validate(parse_mapping(read_back)))
                for path, pid in pids.items()
            ]
        )
        return {pids[path]: error for path, error in failures.items()}

    def remove(self, pid: str) -> None:
        """Remove a PID's mapping durably, if it has one. Raises StoreError."""
        remove_durably(self._layout.mapping(pid))

    def sweep(self) -> tuple[str, ...]:
        """Remove temporary files that an interrupted write left; return their names."""
        leftovers = sorted(self._layout.active.glob("*.json.tmp"))
        for path in leftovers:
            path.unlink(missing_ok=True)
        return tuple(path.name for path in leftovers)
