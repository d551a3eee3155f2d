"""What servers have in common whose model is a file of this folder, and whose new version is a restart."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from benchmarks.peers.peer import Call, CannotSwitch
from benchmarks.peers.serving import Posting, Server, free_port, npy, releases


class Restarted:
    """One server with one worker, on a port of its own. A `Peer` but for what its subclass says."""

    ways: tuple[str, ...] = ("HTTP, multipart",)
    path: str
    """Where a form with picture and guide goes."""
    distributions: tuple[str, ...]
    """Whose releases are measured, beside numpy's."""
    why_not: str
    """Why it cannot be switched."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0

    def prepare(self) -> None:
        """Nothing: the model is the subclass's own file."""

    @abstractmethod
    def command(self, folder: Path, port: int) -> Sequence[str]:
        """Return what starts it."""

    def environment(self, folder: Path) -> Mapping[str, str]:
        """Return what its environment has beside ours."""
        del folder
        return {}

    def start(self) -> None:
        self._port = free_port()
        command = self.command(self._folder, self._port)
        self._server = Server(command, self._folder, environment=self.environment(self._folder))
        self._server.until(lambda: bool(self.caller(self.ways[0])(*[np.zeros((4, 4, 3), np.uint8)] * 2)))

    def caller(self, way: str) -> Call:
        del way
        posting = Posting.to(self._port)
        return lambda picture, guide: posting.form(self.path, {"picture": npy(picture), "guide": npy(guide)})

    def switch(self, version: str) -> NoReturn:
        raise CannotSwitch(self.why_not)

    def versions(self) -> str:
        return releases(*self.distributions, "numpy")

    def stop(self) -> None:
        self._server.stop()
