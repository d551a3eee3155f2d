"""`operations/`: long acts that were asked for, a document each, from their begin on. The newest are kept.

A document that says `running` while its controller is gone is not rewritten: whoever reads it is told that nobody
knows its end. So a kill at any moment leaves nothing to repair.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from controller.errors import StoreError
from controller.model.operation import OperationDocument, interrupted
from controller.model.timestamps import format_timestamp
from controller.store.atomic import make_folders_durably, write_atomic
from controller.store.layout import StoreLayout

KEPT = 200
"""Operations that are kept, of whatever age up to `KEPT_FOR`."""
KEPT_FOR = timedelta(days=7)
_NAME = re.compile(r"\d{8}T\d{6}-[a-z]+-[0-9a-f]{8}\.json")


class OperationFiles:
    """Reads and writes one store's operations."""

    def __init__(self, layout: StoreLayout) -> None:
        self._folder = layout.operations

    def write(self, document: OperationDocument) -> None:
        """Keep a document durably; make room for it where it is new. Raises StoreError."""
        path = self._folder / f"{document['id']}.json"
        content = orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)
        if not path.exists():
            try:
                make_folders_durably([self._folder])
            except OSError as error:
                raise StoreError(f"cannot make {self._folder}: {error.strerror}", next_step="check the disk") from error
            self._make_room(document["started_at"])
        write_atomic(path, content)

    def _make_room(self, now: str) -> None:
        oldest = format_timestamp((datetime.fromisoformat(now).astimezone(UTC) - KEPT_FOR).timestamp())
        begins = re.sub(r"[-:]", "", oldest)[: len("20260131T081500")]
        names = self._names()
        for index, path in enumerate(names):
            if index < len(names) - (KEPT - 1) or path.name < begins:
                with suppress(OSError):  # it goes at the next one
                    path.unlink()

    def _names(self) -> list[Path]:
        """Return the files of operations, oldest first: their names begin with the time."""
        try:
            return sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"cannot read {self._folder}: {error.strerror}", next_step="check the disk") from error

    def read(self, identifier: str) -> OperationDocument | None:
        """Return an operation; None where it is not kept. Nothing of `identifier` becomes a path. Raises StoreError."""
        return next((_read(path) for path in self._names() if path.stem == identifier), None)

    def read_all(self) -> list[OperationDocument]:
        """Return every operation that is kept and can be read, newest first. Raises StoreError."""
        return [found for path in reversed(self._names()) if (found := _read(path)) is not None]


def _read(path: Path) -> OperationDocument | None:
    """Return what a file says, as somebody reads it who does not carry it out."""
    try:
        document: OperationDocument = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):  # dropped meanwhile, or damaged: it is history, and nothing hangs on it
        return None
    return interrupted(document) if document["state"] == "running" else document
