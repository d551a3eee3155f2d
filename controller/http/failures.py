"""Errors over HTTP: which status an error has, and its body. Always `{"error": {code, name, message, details}}`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import orjson
from starlette.responses import Response

from controller.errors import (
    CallError,
    Code,
    CodedError,
    ControllerError,
    DesiredStateError,
    HostError,
    NotApplicable,
    NotFound,
    PackageError,
    RetryableError,
    StoreBusy,
)
from controller.errors import as_coded as coded_error

_STATUS = {
    Code.unknown: 500,
    Code.invalid_pid: 400,
    Code.image_load_failed: 400,
    Code.invalid_params: 400,
    Code.not_initialized: 503,
    Code.timeout: 504,
    Code.heartbeat_lost: 502,
    Code.shared_memory_not_found: 400,  # the caller's reference leads nowhere
    Code.execute_exception: 502,  # the fault of what stands behind us
    Code.stdout_contaminated: 502,
    Code.busy: 429,
    Code.no_active_version: 404,
    Code.invalid_zip: 422,
    Code.manifest_missing: 422,
    Code.incompatible_python: 422,
    Code.wheels_missing: 422,
    Code.install_failed: 422,
    Code.activation_conflict: 409,
    Code.unsafe_uninstall: 409,
    Code.unauthorized: 401,
    Code.forbidden: 403,
}
_CODES = {
    401: Code.unauthorized,
    403: Code.forbidden,
    **dict.fromkeys((400, 406, 408, 413, 414, 415, 422, 431), Code.invalid_params),
}
"""What HTTP refuses with a status of its own, and has a code for."""
_RETRY_AFTER = 1.0
"""Seconds, where the error itself does not say when to try again."""

CLOSE = {"Connection": "close"}
"""Header of an answer after which the connection is of no use."""


class Refused(ControllerError):
    """A request that HTTP itself has a status for (404, 405, 413, 415 …). `headers` go with the answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        next_step: str = "",
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.status = status
        self.headers = dict(headers or {})
        self.details = dict(details or {})


def as_coded(error: ControllerError) -> CodedError:
    """Return the error with its number: of what HTTP refuses by its status (`_CODES`), 1000 for what has none."""
    if not isinstance(error, Refused):
        return coded_error(error)
    code = _CODES.get(error.status, Code.unknown)
    return CodedError(code, error.message, next_step=error.next_step, details=error.details)


def error_response(error: ControllerError) -> Response:
    """Return the answer that an error is."""
    coded = as_coded(error)
    headers = error.headers if isinstance(error, Refused) else {}
    delay = _delay(error)
    if delay is not None:
        headers = {**headers, "Retry-After": str(max(1, math.ceil(delay)))}
    return Response(
        orjson.dumps({"error": coded.to_document()}, default=str, option=orjson.OPT_NON_STR_KEYS),
        status_code=_status_of(error),
        headers=headers,
        media_type="application/json",
    )


def _status_of(error: ControllerError) -> int:
    match error:
        case Refused():
            status = error.status
        case NotFound():
            status = 404
        case NotApplicable() | StoreBusy():
            status = 409
        case PackageError(code=Code.install_failed) if error.details.get("fault") == "ours":
            status = 500
        case CallError(code=Code.shared_memory_not_found) if error.details.get("fault") == "host":
            status = 503
        case CodedError():
            status = _STATUS[error.code]
        case DesiredStateError():
            status = 422
        case RetryableError() | HostError():
            status = 503
        case _:
            status = 500
    return status


def _delay(error: ControllerError) -> float | None:
    """Return after how many seconds the same request may succeed, where that can be said."""
    if isinstance(error, RetryableError):
        return error.delay
    if isinstance(error, HostError):
        return _RETRY_AFTER
    if isinstance(error, CodedError):
        told = error.details.get("retry_after")
        if isinstance(told, (int, float)):
            return told
        if error.code in {Code.busy, Code.not_initialized}:
            return _RETRY_AFTER
    return None
