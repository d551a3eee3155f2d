"""Frames: a 4-byte big-endian length and that many bytes of JSON. Bytes in, JSON objects out, and back.

Numbers: NaN and the infinities arrive as None and leave as null, because JSON has none of them; an integer beyond
64 bits arrives as the nearest float and cannot be sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from controller.errors import CallError, Code, ProtocolViolation

FRAME_LIMIT = 16 * 1024 * 1024 - 1
"""Bytes of JSON in one frame. Below 16 MiB the header's first byte is NUL, which JSON never contains."""
HEADER = 4
_PREVIEW = 80
_INT64 = range(-(2**63), 2**64)


def encode(message: Mapping[str, Any], limit: int = FRAME_LIMIT) -> bytes:
    """Return the frame of a message.

    Raises:
        CallError: 1003, the message holds something that JSON cannot carry, or it is larger than `limit` bytes.
    """
    try:
        body = orjson.dumps(message)
    except TypeError as error:  # orjson.JSONEncodeError is a TypeError
        raise CallError(
            Code.invalid_params,
            f"the call cannot be sent as JSON: {error}",
            next_step="use text, numbers of up to 64 bits, lists and objects with text keys",
        ) from None
    if len(body) > limit:
        raise CallError(
            Code.invalid_params,
            f"the call is {len(body):,} bytes of JSON; at most {limit:,} fit into a frame",
            next_step="pass large data as images or files",
        )
    return len(body).to_bytes(HEADER, "big") + body


class FrameDecoder:
    """Cuts a stream into JSON objects, in time linear in the bytes fed.

    `resync` is for a stream whose beginning somebody else has read: everything up to the next plausible header
    (below 16 MiB, followed by `{`) is skipped.
    """

    def __init__(self, limit: int = FRAME_LIMIT, *, resync: bool = False) -> None:
        self._limit = min(limit, FRAME_LIMIT)
        self._buffer = bytearray()
        self._skipping = resync

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the objects that are complete with `data`.

        Raises:
            ProtocolViolation: the stream holds something that is no frame; the decoder is of no use afterwards.
        """
        buffer = self._buffer
        buffer += data
        if self._skipping and not self._synchronise():
            return []
        documents = []
        position = 0
        while len(buffer) - position >= HEADER:
            length = int.from_bytes(buffer[position : position + HEADER], "big")
            if not 0 < length <= self._limit:
                raise _contaminated(length, buffer[position:])
            end = position + HEADER + length
            if len(buffer) < end:
                break
            documents.append(_decode(bytes(memoryview(buffer)[position + HEADER : end])))
            position = end
        del buffer[:position]
        return documents

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame."""
        return len(self._buffer)

    def _synchronise(self) -> bool:
        """Drop the tail of a frame that a former reader began; return whether a header follows."""
        buffer = self._buffer
        start = buffer.find(b"\0")
        while start >= 0:
            if len(buffer) - start <= HEADER:
                break
            length = int.from_bytes(buffer[start : start + HEADER], "big")
            if buffer[start + HEADER] == ord("{") and 0 < length <= self._limit:
                del buffer[:start]
                self._skipping = False
                return True
            start = buffer.find(b"\0", start + 1)
        del buffer[: start if start >= 0 else len(buffer)]
        return False


def _preview(data: bytes | bytearray) -> str:
    text = bytes(data[:_PREVIEW]).decode("utf-8", "replace")
    return repr(text) + (" …" if len(data) > _PREVIEW else "")


def _contaminated(length: int, data: bytearray) -> ProtocolViolation:
    return ProtocolViolation(
        f"stdout was contaminated: where a frame should begin there is {_preview(data)}"
        f" (as a length that would be {length:,} bytes)",
        next_step="write logs to stderr or the SDK's logger, never to stdout",
    )


def _decode(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _decode_leniently(body)
    if not isinstance(document, dict):
        raise ProtocolViolation(f"stdout was contaminated: a frame holds no JSON object but {_preview(body)}")
    return document


def _decode_leniently(body: bytes) -> Any:
    """What Python's own json writes and JSON does not know: NaN, infinities, and numbers too large for a float."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=lambda _: None, parse_int=_integer, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ProtocolViolation(
            f"stdout was contaminated: a frame is not valid JSON ({reason}): {_preview(body)}"
        ) from None


def _integer(digits: str) -> int | float | None:
    if len(digits) > 20:
        return _finite(digits)
    value = int(digits)
    return value if value in _INT64 else float(value)


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if abs(value) != float("inf") else None
