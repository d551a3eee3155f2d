"""Whether a disk has room for recordings: what calls and rollouts need goes before."""

from __future__ import annotations

from pathlib import Path

from controller.host.capacity import capacity_of
from controller.model.pressure import pressures


class Room:
    """The disk of one store. Where it was short, it is so until clearly more is free."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pressing: tuple[str, ...] = ()

    def shortage(self) -> str:
        """Return how little is left, where that is too little for recordings; empty where it is enough."""
        found = pressures(capacity_of(self._root, self._root), self._pressing)
        message = next((message for kind, holds, _, message in found if kind == "DiskPressure" and holds), "")
        self._pressing = ("DiskPressure",) if message else ()
        return message.split(";")[0]
