"""What a caller gets back: a detection, or an error that says whether the call can have been carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from controller.client.exchange import Answer
from controller.errors import CallError, Code, CodedError, PackageError

_REFUSED = 400
"""The first status of an answer that is an error."""


@dataclass(frozen=True, slots=True)
class Detection:
    """The answer of an algorithm (design 3.6). `status` ERROR: it failed; a part's verdict stands in `data`.

    `pre` has the `message` and `data` of a 0.0.x algorithm's `pre` where its `execute` was asked after it; else None.
    """

    request_id: str
    pid: str
    name: str
    version: str
    status: str
    message: str
    data: dict[str, Any]
    latency_ms: float
    pre: dict[str, Any] | None = None

    def to_document(self) -> dict[str, Any]:
        """Return the object of the contract; without `pre` where there was none."""
        found = {name: getattr(self, name) for name in self.__slots__}
        if self.pre is None:
            del found["pre"]
        return found


class NotReached(CallError):
    """The call was never accepted: certainly nothing was done for it. Calling again is safe."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(
            Code.not_initialized,
            f"nobody accepted the call at {where}: {why}",
            next_step="start `pvctl run`, or see whether it is being restarted",
        )


class UnknownOutcome(CallError):
    """The call was accepted, then the daemon went away: nobody knows whether and how the algorithm answered."""

    def __init__(self, why: str) -> None:
        super().__init__(
            Code.unknown,
            f"the outcome of the call is unknown: {why}",
            next_step="call again if a part may be looked at twice, or say retry_unknown=True",
            details={"outcome": "unknown"},
        )


def document_of(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises like `content_of`; UnknownOutcome also where it is no object."""
    document = content_of(answer)
    if not isinstance(document, dict):
        raise UnknownOutcome(f"the answer (HTTP {answer.status}) is not an object")
    return document


def content_of(answer: Answer) -> object:
    """Return what the JSON of an answer holds.

    Raises:
        CodedError: what the station answered instead; UnknownOutcome, what it answered is not JSON.
    """
    try:
        content: object = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise UnknownOutcome(f"the answer (HTTP {answer.status}) is not JSON") from None
    if answer.status >= _REFUSED and isinstance(content, dict) and "error" in content:
        raise error_of(content["error"])
    return content


def detection_of(answer: Answer) -> Detection:
    """Return the detection that an answer holds. Raises like `document_of`."""
    document = document_of(answer)
    return Detection(**{name: document[name] for name in Detection.__slots__ if name in document})


def error_of(document: dict[str, Any]) -> CodedError:
    """Return the error that a `{code, name, message, details}` object stands for."""
    message, details = str(document.get("message")), document.get("details") or {}
    if details.get("outcome") == "unknown":
        return UnknownOutcome(message)
    try:
        code = Code(document["code"])
    except (ValueError, KeyError):  # a station newer than this client
        code = Code.unknown
    of_a_package = Code.invalid_zip <= code <= Code.unsafe_uninstall
    return (PackageError if of_a_package else CallError)(code, message, details=details)
