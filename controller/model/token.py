"""A token that stands for a name and what it may do: its text, what is kept of it, and whether a text is it.

A text is `pvt_<id>_<secret>`: the prefix lets scanners for secrets find one that was published, the id is looked up,
the secret has 256 random bits. Kept is only the secret's SHA-256: nobody can guess 256 bits, so a slow hash would
protect nothing and let a flood of wrong tokens cost us time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self, get_args

Role = Literal["viewer", "operator", "admin"]

_PREFIX = "pvt_"
_ID_BYTES, _SECRET_BYTES = 6, 32
_TEXT = re.compile(rf"{_PREFIX}([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})", re.ASCII)

_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token. Times are RFC 3339; `expires_at` None: never. `created_by`: who made it.

    `recordings`: recorded calls are shown to who comes with it, whatever its role.
    """

    id: str
    name: str
    role: Role
    secret_sha256: str
    created_at: str
    created_by: str
    expires_at: str | None = None
    recordings: bool = False

    @classmethod
    def of(cls, document: object) -> Self:
        """Return the token of a document, which somebody may have edited. Raises ValueError: it is none."""
        if not isinstance(document, dict):
            raise ValueError("a token is not an object")  # noqa: TRY004 - one error for whatever is wrong with it
        try:
            token = cls(**document)
        except TypeError as error:
            raise ValueError(str(error)) from None
        told = (token.id, token.name, token.role, token.secret_sha256, token.created_at, token.created_by)
        if not all(isinstance(each, str) for each in told) or token.role not in get_args(Role):
            raise ValueError("a token has an invalid field")
        if not isinstance(token.recordings, bool):
            raise ValueError("what a token is granted is neither true nor false")  # noqa: TRY004 - as above
        if not _HASH.fullmatch(token.secret_sha256):
            raise ValueError("a token has no hash")
        if token.expires_at is not None and datetime.fromisoformat(str(token.expires_at)).tzinfo is None:
            raise ValueError("the time at which a token expires has no time zone")
        return token

    def expired(self, epoch: float) -> bool:
        """Whether it is no longer valid at a time, in seconds since the epoch."""
        return self.expires_at is not None and epoch >= datetime.fromisoformat(self.expires_at).timestamp()

    def is_secret(self, secret: str) -> bool:
        """Whether that is its secret; takes as long whatever is wrong with it."""
        return hmac.compare_digest(self.secret_sha256, hash_of(secret))


def new_text() -> tuple[str, str, str]:
    """Return a new token's text, its id and its secret."""
    identity, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return f"{_PREFIX}{identity}_{secret}", identity, secret


def parts_of(text: str) -> tuple[str, str] | None:
    """Return the id and the secret of a text that has the form of a token; None where it has not."""
    found = _TEXT.fullmatch(text)
    return (found[1], found[2]) if found else None


def hash_of(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
