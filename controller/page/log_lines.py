"""The lines of logs as they are read: time, level, message and what else is said; what is no JSON object as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_TIMES: Mapping[str, float] = {"time": 1.0, "timestamp": 1.0, "timestamp_ms": 1000.0}
"""Keys by which programs call the time, and how many of a number's units are a second; the SDK's logger: the last."""
_LEVELS, _MESSAGES = ("level", "severity"), ("message", "msg")
_WEIGHTS = {"critical": "error", "fatal": "error", "error": "error", "warning": "warning", "warn": "warning"}
_SHORT = {"revision": 12}
"""Letters that are shown of what is long and alike on every line."""
_EXCEPTION = "exception"
_NOTED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z) ")
"""When a line came from an algorithm's process, as its shim notes it."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. `time`: a timestamp as it was written, or seconds since 1970. `weight`: `error`, `warning` or empty.

    `fields`: what else it says; `more`: text of several lines, such as a traceback.
    """

    message: str
    time: str | float = ""
    level: str = ""
    weight: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    more: str = ""


def log_lines(text: str) -> tuple[LogLine, ...]:
    """Return the lines of a text, in its order."""
    return tuple(_line(line.removesuffix("\r")) for line in text.removesuffix("\n").split("\n"))


def _line(text: str) -> LogLine:
    noted = _NOTED.match(text)
    at, text = (noted[1], text[noted.end() :]) if noted else ("", text)
    said = _object(text)
    message = _taken(said, _MESSAGES) if said else None
    if message is None:
        return LogLine(text, at)
    time, level, more = _time(said), _text(_taken(said, _LEVELS)), _text(said.pop(_EXCEPTION, None))
    fields = ((name, _value(name, each)) for name, each in said.items() if each is not None)
    return LogLine(_text(message), at or time, level, _WEIGHTS.get(level.lower(), ""), tuple(fields), more)


def _object(text: str) -> dict[str, Any]:
    if not text.startswith("{"):
        return {}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _taken(said: dict[str, Any], names: tuple[str, ...]) -> object:
    """Take what stands under the first of the names that there is."""
    return next((said.pop(name) for name in names if said.get(name) is not None), None)


def _time(said: dict[str, Any]) -> str | float:
    for name, unit in _TIMES.items():
        match said.get(name):
            case str() as text:
                del said[name]
                return text
            case bool():
                continue
            case int() | float() as number:
                del said[name]
                return float(number) / unit
    return ""


def _value(name: str, value: object) -> str:
    text = _text(value)
    return text[: _SHORT[name]] if name in _SHORT else text


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
