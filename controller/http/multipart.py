"""multipart/form-data as `name → bytes`, cut out of a body that is already there, without copying it.

The largest part is a picture of megabytes, and every byte that Python looks at costs: so the end of a part is found by
one search, and that of a `.npy` file, which says its own length, by looking there first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from python_multipart.multipart import parse_options_header

from controller.errors import CallError, Code
from controller.images import npy

Body = bytes | bytearray
_MOST_HEAD = 16 * 1024
"""Bytes of the headers of one part."""
_COMMON = 200
"""Bytes of a header of which more than the present form may have the like."""


def malformed(what: str) -> CallError:
    """Return the error for a body that is not the form that was announced."""
    return CallError(
        Code.invalid_params, f"the multipart body {what}", next_step="send it as `curl -F image=@part.png` does"
    )


@dataclass(frozen=True, slots=True)
class PictureBegun:
    """A `.npy` file in a form, the part `name`: `size` bytes from `start` on."""

    name: str
    start: int
    size: int


def boundary_of(content_type: str) -> bytes:
    """Return what stands between the parts of a form. Raises CallError 1003: nothing does."""
    boundary = _options(content_type.encode("latin-1")).get(b"boundary")
    if not boundary:
        raise malformed("has no boundary in its Content-Type")
    return boundary


def parts_of(body: Body, content_type: str, names: Iterable[str]) -> dict[str, memoryview]:
    """Return the parts of a multipart body by name, as views into it.

    Raises:
        CallError: 1003, the body is malformed or cut off, or has a part that is not among `names`, or one twice.
    """
    return _by_name(_cut(body, b"--" + boundary_of(content_type)), tuple(names))


def picture_begun(beginning: Body, content_type: str, size: int) -> PictureBegun | None:
    """Return the picture of H×W×3 and uint8 of which the beginning of a form of `size` bytes has a part only.

    None where there is none, or something is wrong that whoever reads the whole form will say.
    """
    try:
        delimiter = b"--" + boundary_of(content_type)
        position = _first(beginning, delimiter)
        while (begun := _begin(beginning, position + len(delimiter))) is not None:
            name, start = begun
            if beginning.startswith(npy.MAGIC, start):
                header = npy.read_any_header(bytes(beginning[start : start + npy.MAX_HEADER]))
                if header.plain and header.shape[2:] == (3,) and not header.fortran_order:
                    found = PictureBegun(name, start, header.end)
                    if len(beginning) < start + header.end < size:
                        return found
            end = beginning.find(b"\r\n" + delimiter, start)
            if end < 0:
                return None
            position = end + 2
    except (CallError, npy.NotAnImage):
        pass
    return None


def _cut(body: Body, delimiter: bytes) -> list[tuple[str, memoryview]]:
    """Return the parts of a body with their names (RFC 2046, section 5.1.1)."""
    whole = memoryview(body)
    found: list[tuple[str, memoryview]] = []
    position = _first(body, delimiter)
    while (begun := _begin(body, position + len(delimiter))) is not None:
        name, start = begun
        end = _end(body, whole, start, b"\r\n" + delimiter)
        if end < 0:
            raise malformed("is cut off")
        found.append((name, whole[start:end]))
        position = end + 2
    return found


def _first(body: Body, delimiter: bytes) -> int:
    """Return where the first delimiter is. Raises CallError 1003."""
    position = 2 if body.startswith(b"\r\n" + delimiter) else 0
    if not body.startswith(delimiter, position):
        raise malformed(
            "is malformed: it does not begin with its boundary" if len(body) > len(delimiter) else "is cut off"
        )
    return position


def _begin(body: Body, position: int) -> tuple[str, int] | None:
    """Return the name of the part behind a delimiter, and where its content is; None behind the last one.

    Raises:
        CallError: 1003, it is neither.
    """
    if body.startswith(b"--", position):
        return None
    if not body.startswith(b"\r\n", position):
        raise malformed("is cut off" if position + 2 > len(body) else "is malformed: its boundary goes on")
    start = body.find(b"\r\n\r\n", position, position + _MOST_HEAD)
    if start < 0:
        raise malformed("is cut off" if position + _MOST_HEAD > len(body) else "is malformed: a part's head has no end")
    return _name(bytes(body[position + 2 : start + 2])), start + 4


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
            return _options(value.strip()).get(b"name", b"").decode("utf-8", "replace")
    return ""


def _options(header: bytes) -> dict[bytes, bytes]:
    return _common_options(header) if len(header) <= _COMMON else parse_options_header(header)[1]


@lru_cache(maxsize=64)
def _common_options(header: bytes) -> dict[bytes, bytes]:
    """Cached, because the parts of a camera's forms are always called the same; reading their names takes a while."""
    return parse_options_header(header)[1]


def _by_name(parts: list[tuple[str, memoryview]], names: tuple[str, ...]) -> dict[str, memoryview]:
    found: dict[str, memoryview] = {}
    for name, piece in parts:
        if name not in names:
            raise malformed(f"has a part {name[:80]!r}, where only {', '.join(names)} are known")
        if name in found:
            raise malformed(f"has more than one part {name!r}")
        found[name] = piece
    return found
