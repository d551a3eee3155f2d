"""`.idempotency/`: what was answered to requests that carried a key, so that a repeated one is not done twice.

A request is written down before its act begins, without an answer, and again with it. One that has no answer while
nobody carries it out was cut off by a restart: nobody knows what came of it, and it is never done again by itself.
A file's name is a hash; nothing of a request becomes a path. The folder is its owner's alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import orjson

from controller.errors import StoreError
from controller.store.atomic import make_folders_durably, write_atomic
from controller.store.layout import StoreLayout

KEPT_FOR = 24 * 3600.0
"""Seconds for which a key is remembered."""
MOST = 2000
"""Keys that are remembered of one caller: more push out that caller's own oldest."""
_ROOM_EVERY = 50


@dataclass(frozen=True, slots=True)
class RepeatableRequest:
    """What a key stands for: one method of one path, of one caller."""

    caller: str
    method: str
    path: str
    key: str


class KeptAnswer(TypedDict, total=False):
    """An answer: `status`, `kind` (its media type), `place` (its Location) and `body`; or `operation` and `kind`.

    `secret`: the answer was told once and is not kept.
    """

    status: int
    kind: str
    place: str
    body: str
    operation: str
    secret: bool


class KeptRequest(TypedDict):
    """A request that was begun: the hash of what it said, and its answer; null while there is none."""

    at: float
    method: str
    path: str
    said: str
    answer: KeptAnswer | None


class IdempotencyKeys:
    """The keys of one store. `clock`: seconds since 1970. Not safe for two that use one key at once."""

    def __init__(self, layout: StoreLayout, clock: Callable[[], float]) -> None:
        self._folder = layout.idempotency
        self._clock = clock
        self._until_room = 0

    def find(self, request: RepeatableRequest) -> KeptRequest | None:
        """Return what is known of a request; None where its key is new. Raises StoreError."""
        path = self._file(request)
        try:
            kept: KeptRequest = orjson.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, orjson.JSONDecodeError) as error:
            raise StoreError(f"cannot read {path}: {error}", next_step="ask with another Idempotency-Key") from error
        return None if self._old(kept["at"]) else kept

    def begin(self, request: RepeatableRequest, said: str) -> None:
        """Write down durably that a request is about to be carried out. Raises StoreError: then it must not be."""
        try:
            make_folders_durably([self._folder])
            self._folder.chmod(0o700)
            self._make_room(request)
        except OSError as error:
            raise StoreError(f"cannot use {self._folder}: {error.strerror}", next_step="check the disk") from error
        self._write(request, said, None)

    def answered(self, request: RepeatableRequest, said: str, answer: KeptAnswer) -> None:
        """Keep the answer to a request. Raises StoreError: then its outcome counts as unknown."""
        self._write(request, said, answer)

    def forget(self, request: RepeatableRequest) -> None:
        """Free a key: nothing was done for it."""
        with suppress(OSError):  # then it stands for an unknown outcome
            self._file(request).unlink()

    def _write(self, request: RepeatableRequest, said: str, answer: KeptAnswer | None) -> None:
        kept: KeptRequest = {
            "at": self._clock(), "method": request.method, "path": request.path, "said": said, "answer": answer,
        }  # fmt: skip
        write_atomic(self._file(request), orjson.dumps(kept))

    def _file(self, request: RepeatableRequest) -> Path:
        whole = orjson.dumps([request.caller, request.method, request.path, request.key])
        return self._folder / f"{_group(request.caller)}-{hashlib.sha256(whole).hexdigest()}.json"

    def _make_room(self, request: RepeatableRequest) -> None:
        """Now and then drop what is old, and of a caller who has too many keys the oldest. Raises OSError."""
        self._until_room -= 1
        if self._until_room >= 0:
            return
        self._until_room = _ROOM_EVERY
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another request's, written or dropped at this moment
                    found.append((entry.stat().st_mtime, entry.name))
        found.sort()
        own = [name for _, name in found if name.startswith(_group(request.caller))]
        dropped = {*own[: max(0, len(own) - (MOST - _ROOM_EVERY))], *(name for at, name in found if self._old(at))}
        for name in dropped:
            with suppress(OSError):
                (self._folder / name).unlink()

    def _old(self, at: float) -> bool:
        return self._clock() - at > KEPT_FOR


def _group(caller: str) -> str:
    return hashlib.sha256(caller.encode()).hexdigest()[:12]
