"""Effects: what a flow wants done next, as frozen values, and all that a driver has to know. No I/O here.

Named tuples, because `pvctl status` imports them while a person waits: as dataclasses they cost it a quarter of a bare
interpreter's start.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple, TypeVar

from controller.client.addresses import Address, Connection
from controller.client.calls import Call

_R = TypeVar("_R")


class Load(NamedTuple):
    """Load the images of a call, sharing arrays through `folder`. Not to be left half-way, or files would stay."""

    call: Call
    folder: Path | None


class Connect(NamedTuple):
    """Open a connection within `timeout` seconds. Comes to a `Connection`; to an OSError where there is none."""

    address: Address
    timeout: float | None


class Send(NamedTuple):
    """Give the kernel some of the pieces. Comes to the number of bytes that it took: the rule of `exchange.py`.

    `deadline` (here and below) is a reading of `time.monotonic`; when it has passed, the effect comes to a TimeoutError
    without an errno. One with an errno is the kernel's own and means that the connection broke.
    """

    connection: Connection
    pieces: tuple[memoryview, ...]
    deadline: float | None


class Receive(NamedTuple):
    """Wait for bytes. Comes to `size` of them at most; to none at the end of the stream."""

    connection: Connection
    size: int
    deadline: float | None


class Sleep(NamedTuple):
    """Let `seconds` pass before the next attempt."""

    seconds: float


Effect = Load | Connect | Send | Receive | Sleep

Flow = Generator[Effect, object, _R]
"""Yields effects, is sent what each came to (or is thrown what it raised), and returns an `_R`."""
