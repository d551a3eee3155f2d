"""Who may ask over the network: tokens, each with a name for the audit and a role."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NotRequired

from typing_extensions import TypedDict

from controller.errors import Code, CodedError
from controller.model.token import Role
from controller.station.port import Access, Command, Operation, Route

if TYPE_CHECKING:
    from controller.model.token import Token

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,54}[A-Za-z0-9])?", re.ASCII)
_ROLES = ("viewer", "operator", "admin")


class TokenRow(TypedDict):
    """A token, without its secret. Times are RFC 3339; `expires_at` null: it never expires.

    `recordings`: recorded calls are shown to who comes with it; an admin's always may see them.
    """

    name: str
    id: str
    role: Role
    created_at: str
    created_by: str
    expires_at: str | None
    expired: bool
    recordings: NotRequired[bool]


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A new token. `token` is its secret, told this once: only its hash is kept."""

    name: str
    id: str
    role: Role
    expires_at: str | None
    token: str
    recordings: bool = False


@dataclass(frozen=True, slots=True)
class TokenList:
    """The tokens that there are, by name; expired ones until they are revoked."""

    tokens: tuple[TokenRow, ...]


@dataclass(frozen=True, slots=True)
class RevokedToken:
    """A token that is not accepted any more."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class CreateToken(Command[CreatedToken]):
    """Make a token that may do what `role` may, for `expires` (a duration such as 90d; empty: for ever).

    `recordings`: it is also shown recorded calls, with their pictures; an admin's is anyway.

    Raises CodedError 1003: an argument is malformed, or there is a token of that name.
    """

    name: str
    role: Role
    expires: str = ""
    recordings: bool = False

    def __post_init__(self) -> None:
        _require_name(self.name)
        if self.role not in _ROLES:
            raise _invalid("role", f"one of {', '.join(_ROLES)}")

    operation: ClassVar = Operation(
        Access.admin,
        "Create a token for the network; its secret is in this answer only.",
        (Route("POST", "/v1/tokens", "The new token.", (400, 408, 413, 415, 500)),),
        CreatedToken,
        secret=True,
    )


@dataclass(frozen=True, slots=True)
class ListTokens(Command[TokenList]):
    """The tokens that there are, without their secrets."""

    operation: ClassVar = Operation(
        Access.admin,
        "List the tokens, without their secrets.",
        (Route("GET", "/v1/tokens", "The tokens by name.", (500,)),),
        TokenList,
    )


@dataclass(frozen=True, slots=True)
class RevokeToken(Command[RevokedToken]):
    """Revoke a token; what was let in with it ends. Raises CodedError 1003: no token has that name."""

    name: str

    def __post_init__(self) -> None:
        _require_name(self.name)

    operation: ClassVar = Operation(
        Access.admin,
        "Revoke a token: from now on it is not accepted.",
        (Route("DELETE", "/v1/tokens/{name}", "It is not accepted any more.", (400, 404, 500), {"name": "name"}),),
        RevokedToken,
    )


def row_of(token: Token, epoch: float) -> TokenRow:
    """Return what is told of a token at a time."""
    return {
        "name": token.name, "id": token.id, "role": token.role, "created_at": token.created_at,
        "created_by": token.created_by, "expires_at": token.expires_at, "expired": token.expired(epoch),
        "recordings": token.recordings or token.role == "admin",
    }  # fmt: skip


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise _invalid("name", "1 to 56 letters, digits, dots, dashes and underscores, beginning and ending with "
                       "a letter or digit")  # fmt: skip


def _invalid(what: str, need: str) -> CodedError:
    return CodedError(Code.invalid_params, f"{what} is not valid", next_step=f"pass {need}")
