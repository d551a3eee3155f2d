"""multipart/form-data as `name → bytes`, cut out of a body that is already there, without copying it.

The largest part is a picture of megabytes, and every byte that Python looks at costs: so the end of a part is found by
one search, and that of a `.npy` file, which says its own length, by looking there first.
"""

from __future__ import annotations

from collections.abc import Iterable

from python_multipart.multipart import parse_options_header

from controller.errors import CallError, Code
from controller.images import npy

Body = bytes | bytearray
_MOST_HEAD = 16 * 1024
"""Bytes of the headers of one part."""


def malformed(what: str) -> CallError:
    """Return the error for a body that is not the form that was announced."""
    return CallError(
        Code.invalid_params, f"the multipart body {what}", next_step="send it as `curl -F image=@part.png` does"
    )


def parts_of(body: Body, content_type: str, names: Iterable[str]) -> dict[str, memoryview]:
    """Return the parts of a multipart body by name, as views into it.

    Raises:
        CallError: 1003, the body is malformed or cut off, or has a part that is not among `names`, or one twice.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise malformed("has no boundary in its Content-Type")
    return _by_name(_cut(body, b"--" + boundary), tuple(names))


def _cut(body: Body, delimiter: bytes) -> list[tuple[str, memoryview]]:
    """Return the parts of a body with their names (RFC 2046, section 5.1.1)."""
    whole = memoryview(body)
    found: list[tuple[str, memoryview]] = []
    position = 2 if body.startswith(b"\r\n" + delimiter) else 0
    if not body.startswith(delimiter, position):
        raise malformed(
            "is malformed: it does not begin with its boundary" if len(body) > len(delimiter) else "is cut off"
        )
    while True:
        position += len(delimiter)
        if body.startswith(b"--", position):
            return found
        if not body.startswith(b"\r\n", position):
            raise malformed("is cut off" if position + 2 > len(body) else "is malformed: its boundary goes on")
        start = body.find(b"\r\n\r\n", position, position + _MOST_HEAD)
        if start < 0:
            raise malformed(
                "is cut off" if position + _MOST_HEAD > len(body) else "is malformed: a part's head has no end"
            )
        name = _name(bytes(body[position + 2 : start + 2]))
        start += 4
        end = _end(body, whole, start, b"\r\n" + delimiter)
        if end < 0:
            raise malformed("is cut off")
        found.append((name, whole[start:end]))
        position = end + 2


def _end(body: Body, whole: memoryview, start: int, separator: bytes) -> int:
    """Return where a part ends, -1 where it does not."""
    if body.startswith(npy.MAGIC, start):
        try:
            end = start + npy.read_header(whole[start:]).end
        except npy.NotAnImage:  # what it is is said later
            end = -1
        if end > 0 and body.startswith(separator, end):
            return end
    return body.find(separator, start)


def _name(head: bytes) -> str:
    """Return the name in the headers of a part; empty where there is none."""
    for line in head.split(b"\r\n"):
        field, _, value = line.partition(b":")
        if field.strip().lower() == b"content-disposition":
            return parse_options_header(value.strip())[1].get(b"name", b"").decode("utf-8", "replace")
    return ""


def _by_name(parts: list[tuple[str, memoryview]], names: tuple[str, ...]) -> dict[str, memoryview]:
    found: dict[str, memoryview] = {}
    for name, piece in parts:
        if name not in names:
            raise malformed(f"has a part {name[:80]!r}, where only {', '.join(names)} are known")
        if name in found:
            raise malformed(f"has more than one part {name!r}")
        found[name] = piece
    return found
