"""The shape of every part of a desired-state document: frozen, camelCase on the wire, unknown keys refused.

Keys that begin with `x-` are the author's own and passed over, wherever keys are fixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

EXTENSION = "x-"
"""How keys begin that are the author's own: a place for anchors, as in a compose file."""
Location = tuple[str | int, ...]


class Part(BaseModel):
    """One mapping of a desired-state document."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=False)
    ignored_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys that other tools write and that mean nothing here, beside those that begin with `x-`."""
    added_keys: ClassVar[frozenset[str]] = frozenset()
    """Fields that the first release does not know, which refuses what it does not know (see `unsaid`)."""

    @model_validator(mode="before")
    @classmethod
    def _without_ignored(cls, written: object) -> object:
        if isinstance(written, dict) and any(cls.ignores(key) for key in written):
            return {key: value for key, value in written.items() if not cls.ignores(key)}
        return written

    @classmethod
    def ignores(cls, key: object) -> bool:
        """Whether a key of this mapping may be written and is passed over."""
        return isinstance(key, str) and (key.startswith(EXTENSION) or key in cls.ignored_keys)


def unsaid(part: Part) -> dict[str, Any]:
    """Return the added keys that say nothing but their default, as `model_dump(exclude=…)` takes them.

    A document without them is the same document, and an earlier release can read it, too.
    """
    found: dict[str, Any] = {}
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if name in part.added_keys and value == field.default:
            found[name] = True
        elif inner := _unsaid_within(value):
            found[name] = inner
    return found


def _unsaid_within(value: object) -> dict[Any, Any]:
    if isinstance(value, Part):
        return unsaid(value)
    items = enumerate(value) if isinstance(value, tuple) else ()
    return {index: inner for index, item in items if (inner := _unsaid_within(item))}


class Conflict(NamedTuple):
    """Two values that are each valid but not together. `at` is where the reader should look, in wire names.

    A last item `[key]` means the key of a mapping and not its value, as in pydantic's own locations.
    """

    at: Location
    message: str


def refuse(conflicts: Iterable[Conflict]) -> None:
    """Raise one ValidationError that carries every conflict with its own location; nothing when there is none."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError("conflict", "{message}", {"message": conflict.message}),
            loc=conflict.at,
            input=None,
        )
        for conflict in conflicts
    ]
    if details:
        raise ValidationError.from_exception_data("desired state", details)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `; did you mean …?` for the choice that is closest to `word`, or nothing when none is close."""
    choices = list(choices)
    if close := [choice for choice in choices if choice.casefold() == word.casefold()]:
        return f"; did you mean {close[0]}?"
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

    close = get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def one_of(choices: Sequence[str]) -> str:
    """Return `a, b or c`; of many, the first twelve."""
    if len(choices) > 12:
        return f"one of {', '.join(choices[:12])}, …"
    return " or ".join(filter(None, (", ".join(choices[:-1]), *choices[-1:])))
