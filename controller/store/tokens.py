"""`tokens.json`: who may ask over the network. Of a token's secret only the hash is kept; only the owner reads it.

What a token is granted beside its role stands apart from the tokens, by id: a release that does not know grants reads
its tokens all the same, without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

import orjson

from controller.errors import StoreError
from controller.model.token import Token
from controller.store.atomic import write_atomic
from controller.store.layout import StoreLayout
from controller.store.lock import FileLock

_GRANTS, _RECORDINGS = "grants", "recordings"


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
            document = orjson.loads(self._path.read_bytes())
            grants = document.get(_GRANTS, {})
            return tuple(_with_grants(Token.of(each), grants) for each in document["tokens"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror}", next_step="check its permissions") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise StoreError(
                f"{self._path} is damaged: no token is accepted",
                next_step="put it back from a copy, or remove it and create the tokens anew",
            ) from None

    def change(self, change: Callable[[tuple[Token, ...]], tuple[Token, ...]]) -> None:
        """Replace the tokens by what `change` makes of them; what it raises changes nothing. Raises StoreError."""
        with self._lock.held():
            changed = change(self.read())
            document: dict[str, object] = {"tokens": [_without_grants(each) for each in changed]}
            if granted := {each.id: [_RECORDINGS] for each in changed if each.recordings}:
                document[_GRANTS] = granted
            write_atomic(self._path, orjson.dumps(document, option=orjson.OPT_INDENT_2), mode=0o600)


def _with_grants(token: Token, grants: Mapping[str, list[str]]) -> Token:
    return replace(token, recordings=_RECORDINGS in grants.get(token.id, ()))


def _without_grants(token: Token) -> dict[str, object]:
    document = asdict(token)
    del document["recordings"]
    return document
