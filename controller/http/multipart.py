"""multipart/form-data as `name → bytes`, cut out of a body that is already there, without copying it."""

from __future__ import annotations

from collections.abc import Iterable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from controller.errors import CallError, Code


def malformed(what: str) -> CallError:
    """Return the error for a body that is not the form that was announced."""
    return CallError(
        Code.invalid_params, f"the multipart body {what}", next_step="send it as `curl -F image=@part.png` does"
    )


def parts_of(body: bytes, content_type: str, names: Iterable[str]) -> dict[str, memoryview]:
    """Return the parts of a multipart body by name, as views into it.

    Raises:
        CallError: 1003, the body is malformed or cut off, or has a part that is not among `names`, or one twice.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise malformed("has no boundary in its Content-Type")
    cutter = _Cutter(body)
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": cutter.begin,
            "on_header_field": cutter.header_field,
            "on_header_value": cutter.header_value,
            "on_header_end": cutter.header_end,
            "on_part_data": cutter.data,
            "on_part_end": cutter.end,
            "on_end": cutter.finish,
        },
    )
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise malformed(f"is malformed: {error}") from None
    if not cutter.complete:
        raise malformed("is cut off")
    return _by_name(cutter.parts, tuple(names))


class _Cutter:
    """Collects (name, view) pairs from the parser's callbacks. The body is written at once, so a part is one piece."""

    def __init__(self, body: bytes) -> None:
        self.parts: list[tuple[str, memoryview]] = []
        self.complete = False
        self._body = memoryview(body)
        self._name = ""
        self._field = self._value = b""
        self._piece = self._body[:0]

    def begin(self) -> None:
        self._name = ""
        self._piece = self._body[:0]

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._name = parse_options_header(self._value)[1].get(b"name", b"").decode("utf-8", "replace")
        self._field = self._value = b""

    def data(self, _: bytes, start: int, end: int) -> None:
        self._piece = self._body[start:end]

    def end(self) -> None:
        self.parts.append((self._name, self._piece))

    def finish(self) -> None:
        self.complete = True


def _by_name(parts: list[tuple[str, memoryview]], names: tuple[str, ...]) -> dict[str, memoryview]:
    found: dict[str, memoryview] = {}
    for name, piece in parts:
        if name not in names:
            raise malformed(f"has a part {name[:80]!r}, where only {', '.join(names)} are known")
        if name in found:
            raise malformed(f"has more than one part {name!r}")
        found[name] = piece
    return found
