"""`tokens.json`: who may ask over the network. Of a token's secret only the hash is kept; only the owner reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import orjson

from controller.errors import StoreError
from controller.model.token import Token
from controller.store.atomic import write_atomic
from controller.store.layout import StoreLayout
from controller.store.lock import FileLock


class TokenFile:
    """The tokens of one store. Safe among threads and processes."""

    def __init__(self, layout: StoreLayout) -> None:
        self._path = layout.tokens
        self._lock = FileLock(layout.token_lock, folder_mode=0o700)

    def read(self) -> tuple[Token, ...]:
        """Return the tokens, expired ones too. Raises StoreError: the file cannot be read or understood."""
        return self._read() or ()

    def trouble(self) -> str | None:
        """Return why no token is accepted, and what to do next; empty: nothing is wrong; None: there is no file."""
        try:
            return None if self._read() is None else ""
        except StoreError as error:
            return str(error)

    def _read(self) -> tuple[Token, ...] | None:
        try:
            return tuple(Token.of(each) for each in orjson.loads(self._path.read_bytes())["tokens"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}", next_step="check its permissions") from None
        except (ValueError, TypeError, KeyError):
            raise StoreError(
                f"{self._path} is damaged: no token is accepted",
                next_step="put it back from a copy, or remove it and create the tokens anew",
            ) from None

    def change(self, change: Callable[[tuple[Token, ...]], tuple[Token, ...]]) -> None:
        """Replace the tokens by what `change` makes of them; what it raises changes nothing. Raises StoreError."""
        with self._lock.held():
            tokens = [asdict(each) for each in change(self.read())]
            write_atomic(self._path, orjson.dumps({"tokens": tokens}, option=orjson.OPT_INDENT_2), mode=0o600)
