"""Text with units (`10m`, `5%`, `2GiB`) and the plain scalars of a YAML tree in which every scalar is text.

The desired-state loader hands every scalar over as the text that was written, so that `1.10`, `NO` and `007` stay
themselves; the types here turn that text into numbers where the schema wants a number.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?\Z")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)\Z")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%\Z")
_RATIO = re.compile(r"(?:0(?:\.\d+)?|1(?:\.0+)?|\.\d+)\Z")
_FACTORS = {
    "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip

PID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
VERSION_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,63}"


def parse_duration(text: object) -> float:
    """Return the seconds of `30s`, `10m`, `1h30m`, `2d`, `250ms`. Raises ValueError on anything else."""
    if isinstance(text, str):
        match = _DURATION.match(text.strip())
        if match and any(match.groups()):
            days, hours, minutes, seconds, millis = (float(part or 0) for part in match.groups())
            return days * 86400 + hours * 3600 + minutes * 60 + seconds + millis / 1000
    raise ValueError(f"expected a duration with a unit, such as 30s, 10m or 1h30m; got {text!r}")


def format_duration(seconds: float) -> str:
    """Return the shortest text that `parse_duration` reads back as `seconds` (to a millisecond)."""
    millis = round(seconds * 1000)
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, millis = divmod(millis, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_ratio(text: object) -> float:
    """Return the fraction 0–1 of `5%` or `0.05`. Raises ValueError on anything else."""
    if isinstance(text, float | int) and not isinstance(text, bool):
        text = str(text)
    if isinstance(text, str):
        stripped = text.strip()
        if match := _PERCENT.match(stripped):
            value = float(match.group(1)) / 100
            if value <= 1:
                return value
        elif _RATIO.match(stripped):
            return float(stripped)
    raise ValueError(f"expected a percentage, such as 5% or 0.05, from 0% to 100%; got {text!r}")


def parse_size(text: object) -> int:
    """Return the bytes of `2GiB`, `512MiB`, `1.5GB`. Raises ValueError on anything else."""
    if isinstance(text, str) and (match := _SIZE.match(text.strip())):
        return int(float(match.group(1)) * _FACTORS[match.group(2)])
    raise ValueError(f"expected a size with a unit, such as 512MiB or 2GiB; got {text!r}")


def format_size(size: float) -> str:
    """Return the size with the largest binary unit that divides it exactly, else in bytes."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _FACTORS[unit] == 0:
            return f"{int(size) // _FACTORS[unit]}{unit}"
    return f"{int(size)}B"


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?(0|[1-9]\d{0,17})", value):
        return int(value)
    raise ValueError(f"expected a whole number; got {value!r}")


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in {"true", "false"}:
        return value == "true"
    raise ValueError(f"expected true or false; got {value!r}")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        raise ValueError("expected text; got nothing (null). Put it in quotes if the word itself is meant")
    raise ValueError(f"expected text; got {value!r}")


def _matches(pattern: str, what: str) -> Any:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value) or value in {".", ".."}:
            raise ValueError(
                f"{what} {value!r} is not allowed: letters, digits, dot, dash and underscore, "
                "starting with a letter or digit"
            )
        return value

    return AfterValidator(check)


def _quantity(parse: Any, format_: Any, example: str) -> Any:
    """Build the three parts that every unit type shares: reading, writing back, and the JSON Schema."""
    return (
        BeforeValidator(parse),
        PlainSerializer(format_, return_type=str),
        WithJsonSchema({"type": "string", "examples": [example]}),
    )


Duration = Annotated[float, *_quantity(parse_duration, format_duration, "1h30m")]
Ratio = Annotated[
    float,
    BeforeValidator(parse_ratio),
    PlainSerializer(lambda value: f"{value * 100:.12g}%", return_type=str),
    WithJsonSchema({"type": ["string", "number"], "examples": ["5%"]}),
]
Size = Annotated[int, *_quantity(parse_size, format_size, "2GiB")]
Integer = Annotated[int, BeforeValidator(_integer)]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
Text = Annotated[str, BeforeValidator(_text)]
Name = Annotated[str, BeforeValidator(_text), _matches(NAME_PATTERN, "name")]
Pid = Annotated[str, BeforeValidator(_text), _matches(PID_PATTERN, "PID")]
Version = Annotated[str, BeforeValidator(_text), _matches(VERSION_PATTERN, "version")]
