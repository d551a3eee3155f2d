"""`status.json`: the status document as of the last pass, for readers that have no controller to ask."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import cast

import orjson

from controller.model.status_document import StatusDocument
from controller.store.atomic import write_if_changed
from controller.store.layout import StoreLayout
from controller.store.status_shape import is_status


class StatusFile:
    """Reads and writes one store's status document."""

    def __init__(self, layout: StoreLayout) -> None:
        self._path = layout.status
        self._fingerprint: tuple[int, int, int] | None = None

    def read(self) -> StatusDocument | None:
        """Return the document; None where there is none, or it cannot be read or understood."""
        self._fingerprint = self._look()
        try:
            document = orjson.loads(self._path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None
        return cast(StatusDocument, document) if is_status(document) else None

    def write(self, document: StatusDocument) -> bool:
        """Write the document where it differs; return whether it did. Raises StoreError."""
        written = write_if_changed(
            self._path, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )
        self._fingerprint = self._look()
        return written

    def confirm(self, epoch: float) -> None:
        """Note that what the file says was still so at a moment (seconds since 1970): readers see how old it is.

        What cannot be noted makes it seem older, and nothing else.
        """
        if self.untouched:
            with suppress(OSError):
                os.utime(self._path, (epoch, epoch))
                self._fingerprint = self._look()

    @property
    def untouched(self) -> bool:
        """Whether the file is the very one that was written or read here last."""
        return self._fingerprint is not None and self._fingerprint == self._look()

    def _look(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns
