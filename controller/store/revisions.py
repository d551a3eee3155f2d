"""`revisions/current.json`: the last valid revision, in force while a newer one is invalid, also after a reboot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orjson

from controller.store.atomic import write_if_changed
from controller.store.layout import StoreLayout

if TYPE_CHECKING:
    from controller.model.desired import Revision


class AppliedRevision:
    """Reads and writes the revision that is in force in one store."""

    def __init__(self, layout: StoreLayout) -> None:
        self._path = layout.revision

    def read(self) -> Revision | None:
        """Return the revision in force, None where there is none yet or its file cannot be read or understood."""
        from controller.model.desired import Revision  # noqa: PLC0415 - pydantic is loaded only by who needs it

        try:
            return Revision.model_validate(orjson.loads(self._path.read_bytes()))
        except (OSError, ValueError, TypeError):  # unreadable, or no revision that this controller understands
            return None

    @property
    def there(self) -> bool:
        """Whether a revision was ever in force, though its file may be damaged now."""
        return os.path.lexists(self._path)

    def pythons(self) -> tuple[str, ...]:
        """Return the interpreters that the policy in force names."""
        revision = self.read()
        return revision.policy.pythons if revision else ()

    def write(self, revision: Revision) -> bool:
        """Put a valid revision in force; return whether that changed anything. Raises StoreError."""
        content = orjson.dumps(revision.to_document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        return write_if_changed(self._path, content, orjson.loads)
