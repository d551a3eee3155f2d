"""The port that every server is behind, and the check of every answer. Runs in any of their environments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.peers.work import look, places

VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "1.3.0")
"""The versions of the work: the first is served at the start, the others are what is switched to, in turn."""

Call = Callable[[np.ndarray, np.ndarray], Mapping[str, Any]]
"""Sends picture and guide, and returns the answer's document. Where both are the same object, that may be used."""


class Peer(Protocol):
    """One server with one worker process. Made, used and dropped inside one driver."""

    ways: tuple[str, ...]
    """How pictures may come to it; the first is the one that its switch is watched by."""

    def __init__(self, folder: Path) -> None:
        """`folder` is its own, and stays from one start to the next."""

    def prepare(self) -> None:
        """Write what a start needs. Done once in a run."""

    def start(self) -> None:
        """Start the server, with the first version; return when it can answer."""

    def caller(self, way: str) -> Call:
        """Return what calls on a connection of its own, for one thread."""

    def switch(self, version: str) -> None:
        """Ask for another version while calls go on. Raises CannotSwitch."""

    def versions(self) -> str:
        """Return which releases are measured."""

    def stop(self) -> None:
        """End the server."""


class CannotSwitch(Exception):
    """A server has no way to change what it serves without a restart; says so."""


class WrongAnswer(AssertionError):
    """An answer is not about the pictures that were sent."""


class Pictures:
    """Picture and guide of one size, which change with every call: no answer of an earlier call fits a later one."""

    def __init__(self, height: int, width: int, *, same: bool = False) -> None:
        """`same`: one picture is both."""
        random = np.random.default_rng(height)
        self.picture = random.integers(0, 256, (height, width, 3), np.uint8)
        self.guide = self.picture if same else random.integers(0, 256, (height, width, 3), np.uint8)
        self._places = places(height, width)
        self._number = 0
        self._sums = (-1, -1)

    def change(self) -> None:
        """Make both another picture than before."""
        before = self._sums
        while self._sums[0] == before[0] or self._sums[1] == before[1]:
            self._number += 1
            for salt, image in enumerate((self.picture, self.guide)):
                for place, (row, column) in enumerate(self._places):
                    image[row, column] = (self._number * (2 * place + 3) + 101 * salt) % 256, self._number % 251, place
            self._sums = look(self.picture), look(self.guide)

    def check(self, answer: Mapping[str, Any], versions: tuple[str, ...]) -> None:
        """Raises WrongAnswer where the answer is not about these very pictures, or of none of the versions."""
        said = answer.get("picture"), answer.get("guide"), answer.get("shape"), answer.get("version")
        expected = *self._sums, list(self.picture.shape)
        if said[:3] != expected or said[3] not in versions:
            raise WrongAnswer(f"answered {said}, where {expected} of one of {versions} was right")
