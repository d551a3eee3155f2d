"""`revisions/current.json`: the last valid revision, in force while a newer one is invalid, also after a reboot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from controller.errors import StoreError
from controller.store.atomic import write_if_changed
from controller.store.layout import StoreLayout

if TYPE_CHECKING:
    from controller.model.desired import Revision


class AppliedRevision:
    """Reads and writes the revision that is in force in one store."""

    def __init__(self, layout: StoreLayout) -> None:
        self._path = layout.revision

    def read(self) -> Revision | None:
        """Return the revision in force, None where there is none yet or its file cannot be understood.

        Raises StoreError on a disk error.
        """
        from controller.model.desired import Revision  # noqa: PLC0415 - pydantic is loaded only by who needs it

        try:
            return Revision.model_validate(orjson.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return None
        except ValueError:  # not JSON, or not a revision that this controller understands: as good as none
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}") from error

    def pythons(self) -> tuple[str, ...]:
        """Return the interpreters that the policy in force names. Raises StoreError on a disk error."""
        revision = self.read()
        return revision.policy.pythons if revision else ()

    def write(self, revision: Revision) -> bool:
        """Put a valid revision in force; return whether that changed anything. Raises StoreError."""
        content = orjson.dumps(revision.to_document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        return write_if_changed(self._path, content, orjson.loads)
