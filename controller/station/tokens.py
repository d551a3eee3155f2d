"""Makes and revokes the tokens of a store, each act on record before and after. With and without a daemon."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from controller.errors import Code, CodedError, ControllerError, NotFound
from controller.model.timestamps import format_timestamp
from controller.model.token import Token, hash_of, new_text
from controller.station.commands.tokens import (
    CreatedToken,
    CreateToken,
    ListTokens,
    RevokedToken,
    RevokeToken,
    TokenList,
    row_of,
)
from controller.store.audit_chain import AuditRecord
from controller.store.tokens import TokenFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from controller.station.port import Caller, Command, Report
    from controller.store.store import Store

TokenCommand = CreateToken | ListTokens | RevokeToken


def executors(store: Store) -> Mapping[type[Command[Any]], Callable[[Any, Caller, Report], Awaitable[object]]]:
    """Return what carries the commands of tokens out beside an event loop."""
    import asyncio  # noqa: PLC0415 - a daemon's; a command without one does not load it

    async def beside(command: TokenCommand, caller: Caller, _report: Report) -> object:
        return await asyncio.to_thread(execute, store, command, caller)

    return dict.fromkeys((CreateToken, ListTokens, RevokeToken), beside)


def execute(store: Store, command: TokenCommand, caller: Caller) -> CreatedToken | TokenList | RevokedToken:
    """Carry a command out. Raises what it says."""
    match command:
        case CreateToken():
            return create(store, command, caller)
        case RevokeToken():
            return revoke(store, command, caller)
        case _:
            return listed(store)


def create(store: Store, command: CreateToken, caller: Caller) -> CreatedToken:
    """Make a token. Raises CodedError 1003, StoreError."""
    now = time.time()
    text, identity, secret = new_text()
    token = Token(
        identity, command.name, command.role, hash_of(secret), format_timestamp(now), caller.name,
        _expiry(command.expires, now), command.recordings,
    )  # fmt: skip

    def add(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
        if any(each.name == token.name for each in tokens):
            raise CodedError(
                Code.invalid_params,
                f"there is a token {token.name!r} already",
                next_step=f"take another name, or `pvctl token revoke {token.name}` first",
            )
        return (*tokens, token)

    after = _audited(token)
    _on_record(store, caller, ("token.create", token.name, None, after), lambda: TokenFile(store.layout).change(add))
    return CreatedToken(token.name, token.id, token.role, token.expires_at, text, token.recordings)


def revoke(store: Store, command: RevokeToken, caller: Caller) -> RevokedToken:
    """Revoke a token. Raises CodedError 1003, StoreError."""
    file = TokenFile(store.layout)
    token = _named(file.read(), command.name)

    def remove(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
        found = _named(tokens, command.name)
        return tuple(each for each in tokens if each is not found)

    before = _audited(token)
    _on_record(store, caller, ("token.revoke", token.name, before, None), lambda: file.change(remove))
    return RevokedToken(token.name, token.id)


def listed(store: Store) -> TokenList:
    """Return the tokens by name. Raises StoreError."""
    now = time.time()
    tokens = sorted(TokenFile(store.layout).read(), key=lambda each: each.name)
    return TokenList(tuple(row_of(each, now) for each in tokens))


def _audited(token: Token) -> dict[str, object]:
    """Return what the audit has of a token."""
    said: dict[str, object] = {"id": token.id, "role": token.role, "expires_at": token.expires_at}
    return {**said, "recordings": True} if token.recordings else said


def _named(tokens: tuple[Token, ...], name: str) -> Token:
    found = next((each for each in tokens if each.name == name), None)
    if found is None:
        raise NotFound(Code.invalid_params, f"there is no token {name!r}", next_step="see `pvctl token list`")
    return found


def _expiry(expires: str, now: float) -> str | None:
    if not expires:
        return None
    from controller.model.units import parse_duration  # noqa: PLC0415 - pydantic is loaded only by who needs it

    try:
        seconds = parse_duration(expires)
    except ValueError as error:
        raise CodedError(Code.invalid_params, f"expires: {error}", next_step="pass a duration such as 90d") from None
    if seconds <= 0:
        raise CodedError(Code.invalid_params, "expires: it would be expired at once", next_step="pass 90d, say")
    return format_timestamp(now + seconds)


def _on_record(store: Store, caller: Caller, what: tuple[str, str, object, object], work: Callable[[], None]) -> None:
    """Do something to a token with its intent and its outcome on record; never its secret."""
    action, name, before, after = what

    def note(outcome: str) -> None:
        store.audit.append(
            AuditRecord(caller.name, "", action, f"token/{name}", before, after, "", outcome, caller.worker)
        )

    note("started")
    try:
        work()
    except ControllerError as error:
        note(f"failed: {error.message}")
        raise
    note("succeeded")
