"""`status.json`: the status document as of the last pass, for readers that have no controller to ask."""

from __future__ import annotations

from typing import Any

import orjson

from controller.errors import StoreError
from controller.store.atomic import write_if_changed
from controller.store.layout import StoreLayout
from controller.store.status_shape import is_status


class StatusFile:
    """Reads and writes one store's status document."""

    def __init__(self, layout: StoreLayout) -> None:
        self._path = layout.status

    def read(self) -> dict[str, Any] | None:
        """Return the document; None where there is none or it cannot be understood. Raises StoreError."""
        try:
            document = orjson.loads(self._path.read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}") from error
        return document if is_status(document) else None

    def write(self, document: dict[str, Any]) -> bool:
        """Write the document where it differs; return whether it did. Raises StoreError."""
        return write_if_changed(
            self._path, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )
