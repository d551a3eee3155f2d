"""`status.patch.yaml`: what would make git agree with what the controller did by itself; absent where nothing would."""

from __future__ import annotations

from controller.store.atomic import remove_durably, write_if_changed
from controller.store.layout import StoreLayout


class PatchFile:
    """Offers the patch of one store next to its status."""

    def __init__(self, layout: StoreLayout) -> None:
        self._path = layout.patch

    def offer(self, patch: str) -> None:
        """Keep the patch, or remove one that is out of date where it is empty. Raises StoreError."""
        if patch:
            write_if_changed(self._path, patch.encode())
        elif self._path.exists():
            remove_durably(self._path)
