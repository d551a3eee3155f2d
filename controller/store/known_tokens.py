"""The tokens as they are at this moment, for whoever asks at every request."""

from __future__ import annotations

import os
from collections.abc import Callable

from controller.errors import StoreError
from controller.model.token import Token, hash_of, parts_of
from controller.store.layout import StoreLayout
from controller.store.tokens import TokenFile

_NOBODY = Token("", "", "viewer", hash_of(""), "", "")
"""Compared with where no token has an id, so that an unknown id takes as long as a wrong secret."""


class KnownTokens:
    """The tokens as they are at this moment: the file is read again where it has changed. `now`: epoch seconds."""

    def __init__(self, layout: StoreLayout, now: Callable[[], float]) -> None:
        self._path = layout.tokens
        self._file = TokenFile(layout)
        self._now = now
        self._seen: tuple[int, ...] | None = None
        self._by_id: dict[str, Token] = {}

    def find(self, text: str) -> Token | None:
        """Return the valid token whose text this is; None where there is none. Raises StoreError."""
        parts = parts_of(text)
        identity, secret = parts or ("", "")
        token = self._known().get(identity, _NOBODY)
        right = token.is_secret(secret)
        return token if right and token is not _NOBODY and not token.expired(self._now()) else None

    def by_id(self, identity: str) -> Token | None:
        """Return the valid token that has an id; None where there is none. Raises StoreError."""
        token = self._known().get(identity)
        return None if token is None or token.expired(self._now()) else token

    def any_valid(self) -> bool:
        """Whether there is a token that somebody could come in with. Raises StoreError."""
        return any(not each.expired(self._now()) for each in self._known().values())

    def _known(self) -> dict[str, Token]:
        seen = self._stamp()
        if seen != self._seen:
            self._by_id, self._seen = {}, None  # a file that cannot be understood lets nobody in
            self._by_id = {each.id: each for each in self._file.read()}
            self._seen = seen
        return self._by_id

    def _stamp(self) -> tuple[int, ...]:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - asked at every request
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}", next_step="check its permissions") from None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
