"""Text with units (`10m`, `5%`, `2GiB`) and the plain scalars of a YAML tree in which every scalar is text.

The desired-state loader hands every scalar over as the text that was written, so that `1.10`, `NO` and `007` stay
themselves; the types here turn that text into numbers where the schema wants a number. Each type reads back what it
writes without loss. Errors read "got … (expected …)".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from controller.model.names import NAME_PATTERN, PID_PATTERN, VERSION_PATTERN

LONGEST_DURATION = 3650 * 86400.0

_DURATION_TEXT = r"(?:(\d{1,4})d)?(?:(\d{1,6})h)?(?:(\d{1,8})m)?(?:(\d{1,9}(?:\.\d{1,3})?)s)?(?:(\d{1,12})ms)?"
_DURATION = re.compile(rf"{_DURATION_TEXT}\Z", re.ASCII)
_SIZE_TEXT = r"(\d{1,15}(?:\.\d{1,6})?) ?(B|[KMGT]i?B)"
_SIZE = re.compile(rf"{_SIZE_TEXT}\Z", re.ASCII)
_PERCENT_TEXT = r"(\d{1,6}(?:\.\d{1,15})?)%"
_PERCENT = re.compile(rf"{_PERCENT_TEXT}\Z", re.ASCII)
_FRACTION = re.compile(r"(?:\d{1,4}(?:\.\d{1,17})?|\.\d{1,17})\Z", re.ASCII)
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})\Z", re.ASCII)
_FACTORS = {
    "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip


def shown(value: object) -> str:
    """Return a value as an error message shows it: on one line, as it was written, and never long."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def unexpected(value: object, expected: str) -> ValueError:
    """Return the error for a value that is something else than `expected`."""
    return ValueError(f"got {shown(value)} (expected {expected})")


def parse_duration(text: object) -> float:
    """Return the seconds of `30s`, `10m`, `1h30m`, `2d`, `250ms`. Raises ValueError on anything else.

    The finest unit is a millisecond, the longest duration 3650d.
    """
    if isinstance(text, str) and text and (match := _DURATION.match(text)):
        days, hours, minutes, seconds, millis = (Decimal(part or 0) for part in match.groups())
        total = float(days * 86400 + hours * 3600 + minutes * 60 + seconds + millis / 1000)
        if total <= LONGEST_DURATION:
            return total
        raise unexpected(text, "at most 3650d")
    raise unexpected(text, "a duration with a unit, such as 30s, 10m or 1h30m")


def format_duration(seconds: float) -> str:
    """Return the shortest text that `parse_duration` reads back as `seconds` (to a millisecond)."""
    millis = round(seconds * 1000)
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, millis = divmod(millis, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _parse_share(text: object) -> float | None:
    written = str(text) if isinstance(text, float | int) and not isinstance(text, bool) else text
    if isinstance(written, str):
        if match := _PERCENT.match(written):
            return float(Decimal(match.group(1)) / 100)
        if _FRACTION.match(written):
            return float(written)
    return None


def parse_ratio(text: object) -> float:
    """Return the fraction 0–1 of `5%` or `0.05`. Raises ValueError on anything else."""
    share = _parse_share(text)
    if share is not None and share <= 1:
        return share
    raise unexpected(text, "a percentage from 0% to 100%, such as 5% or 0.05")


def parse_load(text: object) -> float:
    """Return the number of busy cores of `95%` (0.95) or `400%` (4.0). Raises ValueError on anything else."""
    share = _parse_share(text)
    if share is not None:
        return share
    raise unexpected(text, "a percentage of one core, such as 95%, or 400% for four cores")


def format_ratio(ratio: float) -> str:
    """Return the percentage that `parse_ratio` reads back as exactly `ratio`."""
    percent = Decimal(repr(ratio)) * 100
    return f"{percent.to_integral_value() if percent == percent.to_integral_value() else percent:f}%"


def parse_size(text: object) -> int:
    """Return the bytes of `2GiB`, `512MiB`, `1.5GB`. Raises ValueError on anything else."""
    if isinstance(text, str) and (match := _SIZE.match(text)):
        return int(Decimal(match.group(1)) * _FACTORS[match.group(2)])
    raise unexpected(text, "a size with a unit, such as 512MiB or 2GiB")


def format_size(size: float) -> str:
    """Return the size with the largest binary unit that divides it exactly, else in bytes."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _FACTORS[unit] == 0:
            return f"{int(size) // _FACTORS[unit]}{unit}"
    return f"{int(size)}B"


def parse_integer(value: object) -> int:
    """Return a whole number written in decimal digits. Raises ValueError on anything else (`1e3`, `007`, `0x10`)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _INTEGER.match(value):
        return int(value)
    raise unexpected(value, "a whole number")


def parse_weight(value: object) -> int:
    """Return the percentage of a canary step: a whole number to 100, with or without a percent sign."""
    digits = value.removesuffix("%") if isinstance(value, str) else value
    if isinstance(digits, int) or (isinstance(digits, str) and _INTEGER.match(digits)):
        weight = parse_integer(digits)
        if 0 <= weight <= 100:
            return weight
    raise unexpected(value, "a whole percentage from 0 to 100")


def parse_boolean(value: object) -> bool:
    """Return `true` or `false` in the spellings of YAML 1.2. Raises ValueError on anything else (`yes`, `on`)."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return value.lower() == "true"
    raise unexpected(value, "true or false")


def parse_switch(value: object) -> str:
    """Return `on` or `off`; tools that read YAML 1.1 make `true` and `false` of the words. Raises ValueError."""
    if value in ("on", "off"):
        return str(value)
    try:
        return "on" if parse_boolean(value) else "off"
    except ValueError:
        raise unexpected(value, "on or off") from None


def parse_text(value: object) -> str:
    """Return text as it is. Raises ValueError on nothing, on a mapping and on a list."""
    if isinstance(value, str):
        return value
    if value is None:
        raise ValueError("got nothing (expected text); put the word null in quotes if it is meant itself")
    raise unexpected(value, "text")


def _identifier(pattern: str, what: str, expected: str, example: str) -> tuple[Any, ...]:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value):
            return value
        raise ValueError(f"{shown(value)} cannot be a {what} (expected {expected})")

    return (
        BeforeValidator(parse_text),
        AfterValidator(check),
        WithJsonSchema(_string(f"^{pattern}$", example)),
    )


def _quantity(parse: Callable[[object], Any], write: Callable[[Any], str], schema: dict[str, Any]) -> tuple[Any, ...]:
    """Return the three parts that every unit shares: reading, writing back, and the JSON Schema."""
    return BeforeValidator(parse), PlainSerializer(write, return_type=str), WithJsonSchema(schema)


def _string(pattern: str, *examples: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern.replace(r"\Z", "$"), "examples": list(examples)}


_PERCENT_SCHEMA = _string(f"^(?:{_PERCENT_TEXT}|(?:0|1)?\\.\\d{{1,17}}|0|1)$", "5%")
_WEIGHT_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 100},
        {"type": "string", "pattern": r"^(?:\d{1,2}|100)%?$"},
    ]
}

Duration = Annotated[
    float,
    *_quantity(parse_duration, format_duration, _string(f"^{_DURATION_TEXT}$", "30s", "1h30m") | {"minLength": 2}),
]
Ratio = Annotated[
    float,
    *_quantity(parse_ratio, format_ratio, {"anyOf": [_PERCENT_SCHEMA, {"type": "number", "minimum": 0, "maximum": 1}]}),
]
Load = Annotated[
    float,
    *_quantity(parse_load, format_ratio, {"anyOf": [_string(f"^{_PERCENT_TEXT}$", "95%"), {"type": "number"}]}),
]
Size = Annotated[int, *_quantity(parse_size, format_size, _string(f"^{_SIZE_TEXT}$", "512MiB", "2GiB"))]
Integer = Annotated[int, BeforeValidator(parse_integer)]
Count = Annotated[int, Field(ge=0), BeforeValidator(parse_integer)]
Weight = Annotated[int, BeforeValidator(parse_weight), WithJsonSchema(_WEIGHT_SCHEMA)]
Boolean = Annotated[bool, BeforeValidator(parse_boolean)]
Switch = Annotated[
    Literal["on", "off"], BeforeValidator(parse_switch), WithJsonSchema({"enum": ["on", "off", True, False]})
]
Text = Annotated[str, BeforeValidator(parse_text)]

_LETTERS = "letters, digits, dot, dash and underscore, starting with a letter or digit, at most"
Name = Annotated[str, *_identifier(NAME_PATTERN, "name", f"{_LETTERS} 63", "screw-check")]
Pid = Annotated[str, *_identifier(PID_PATTERN, "PID", f"{_LETTERS} 64", "A01")]
Version = Annotated[
    str, *_identifier(VERSION_PATTERN, "version", "letters, digits and . - _ + !, such as 1.1.0, at most 64", "1.1.0")
]
