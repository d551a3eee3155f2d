"""Parameter types of the command line: text with units, numbers, KEY=VALUE, JSON or a file of it, paths.

Each is a function from the word to its value, for argparse's `type=`; it raises ArgumentTypeError.
"""

from __future__ import annotations

from argparse import ArgumentTypeError

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from pathlib import Path


def duration(text: str) -> float:
    """Return the seconds of a duration such as 30s or 5m."""
    from controller.model.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def moment(text: str) -> str:
    """Return the RFC 3339 timestamp of a moment: one such, or a duration such as 2h, which is how long ago it was."""
    import time

    from controller.model.timestamps import format_timestamp, parse_timestamp
    from controller.model.units import parse_duration

    try:
        return format_timestamp(parse_timestamp(text))
    except (ValueError, OverflowError):
        pass
    try:
        return format_timestamp(time.time() - parse_duration(text))
    except (ValueError, OverflowError):
        raise ArgumentTypeError(
            f"{text!r} is neither a time such as 2026-01-31T08:15:00Z nor a duration such as 2h"
        ) from None


def whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a whole number") from None


def count(text: str) -> int:
    """Return a whole number that is not negative."""
    number = whole_number(text)
    if number < 0:
        raise ArgumentTypeError(f"{text} is below 0")
    return number


def ratio(text: str) -> float:
    """Return the share (0–1) of a percentage such as 0.2%."""
    from controller.model.units import parse_ratio

    try:
        return parse_ratio(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def json_or_file(text: str) -> object:
    """Return the value of JSON text, or of the @FILE that holds it."""
    import json
    from pathlib import Path

    try:
        return json.loads(Path(text[1:]).read_text(encoding="utf-8-sig") if text.startswith("@") else text)
    except OSError as error:
        raise ArgumentTypeError(f"cannot read {text[1:]}: {error.strerror}") from None
    except ValueError as error:
        raise ArgumentTypeError(f"not JSON: {error}") from None


def key_value(text: str) -> tuple[str, object]:
    """Return the parts of KEY=VALUE; a value that is JSON is taken as such, any other as text."""
    import json

    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def size(text: str) -> tuple[int, int]:
    """Return width and height of WIDTHxHEIGHT, in pixels."""
    width, separator, height = text.partition("x")
    if not (separator and width.isdecimal() and height.isdecimal()):
        raise ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 1920x1200")
    return int(width), int(height)


def host_port(text: str) -> tuple[str, int]:
    """Return the parts of HOST:PORT; an IPv6 address stands in brackets."""
    host, separator, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not (separator and host and port.isdecimal() and int(port) < 65536) or (":" in host and not bracketed):
        raise ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8443 or [::1]:8443")
    return host.strip("[]"), int(port)


def name(text: str) -> str:
    """Return the name of a deployment or a PID as it was written."""
    if not text or "/" in text:
        raise ArgumentTypeError(f"{text!r} is not the name of a deployment or a PID")
    return text


def worker(text: str) -> str:
    """Return the name of a worker for whom a command is given."""
    from controller.model.worker import worker_name

    try:
        return worker_name(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def path(text: str) -> Path:
    """Return the path of something, which need not be there yet."""
    from pathlib import Path

    if not text:  # an unset shell variable; Path("") would be the present folder
        raise ArgumentTypeError("the path is empty")
    return Path(text)


def folder(text: str) -> Path:
    """Return the path of a folder, which need not be there yet."""
    found = path(text)
    if found.is_file():
        raise ArgumentTypeError(f"{text} is a file, not a folder")
    return found
