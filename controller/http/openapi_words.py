"""What the OpenAPI document says beside what types say: statuses, parameters, tags, and examples by operation."""

from __future__ import annotations

from collections.abc import Mapping

from controller.model.names import NAME_PATTERN, PID_PATTERN, VERSION_PATTERN
from controller.model.recording import ID_PATTERN

ABOUT = """The API of one station, the same on its Unix socket and over the network (`pvctl run --listen`).

Errors are always `{"error": {code, name, message, details}}`. What changes something takes an `Idempotency-Key`:
repeated with it within a day, a request is answered as the first time and not carried out again. Long acts are
operations: they answer as `Accept` and `Prefer: respond-async` say, and go on when whoever asked leaves. Further keys
may be added to any answer."""

STATUS = {
    304: "Not changed: its ETag is in If-None-Match.",
    400: "The request or an image is not valid (1001–1003, 1007).",
    401: "No token, or one that is not valid any more (3001). Only over the network: the socket's peers need none.",
    403: "The caller's role, or what its token is granted, does not allow this (3002).",
    404: "No such thing, no such PID, or no active version (1012).",
    406: "There is no answer in any media type of Accept.",
    408: "The request did not arrive in time.",
    409: "Not possible in the present state (2006, 2007), or this Idempotency-Key is under way or was cut off.",
    410: "It was there, and is not kept any more.",
    413: "The request is too large.",
    415: "The media type of the body is not supported here.",
    422: "The package or the desired state is not valid (2001–2005), or the Idempotency-Key is another request's.",
    429: "Too much waits already (1011), or too many requests; Retry-After says when to try again.",
    431: "The headers of the request are too large.",
    500: "The controller or the algorithm failed without a more precise reason (1000), or the disk did.",
    502: "The process died, raised or spoke garbage (1006, 1009, 1010), or over the network the daemon was away.",
    503: "Not ready (1004), no room for the image (1007), or the controller stopped meanwhile.",
    504: "No answer in time (1005).",
}
EVERYWHERE = (400, 401, 429, 431, 500, 503)
"""Refusals that every request may meet, whatever it asks for."""

PATH: Mapping[str, tuple[str, str, str]] = {
    "pid": (PID_PATTERN, "A PID.", "A01"),
    "name": (NAME_PATTERN, "The name of a deployment, or of a package.", "screw-check"),
    "version": (VERSION_PATTERN, "A version of the package.", "1.1.0"),
    "request_id": ("[A-Za-z0-9_-]{1,64}", "The request_id in a detection's answer.", "3f0c9a1e"),
    "id": ("[0-9A-Za-z-]{1,80}", "The id of an operation.", "20260131T081500-install-1f3a9c02"),
    "recording": (ID_PATTERN, "The id of a recorded call.", "20260131081500123-1f3a9c02ab"),
    "subject": (PID_PATTERN, "A deployment or a PID.", "screw-check"),
}
"""Of each parameter of a path its pattern, its meaning and an example."""

_TAGS = {
    "algorithms": "packages", "packages": "detections", "pids": "pids", "deployments": "deployments",
    "detections": "detections", "operations": "operations", "events": "events", "logs": "records", "audit": "records",
    "tokens": "tokens", "parts": "pids", "recordings": "recordings",
}  # fmt: skip
TAGS = {
    "detections": "One call of an algorithm, and what was true of its part.",
    "pids": "Processing units: what answers each, its holds, its last part.",
    "deployments": "Rollouts, and what an operator decides about them.",
    "packages": "Zips and installations, and giving PIDs a version by hand.",
    "operations": "Long acts, running and ended.",
    "events": "What happens on the station, as it happens.",
    "records": "Audit and logs.",
    "recordings": "Recorded calls with their pictures.",
    "tokens": "Who may ask over the network.",
    "station": "The station as a whole.",
}

BODIES: Mapping[str, object] = {
    "install": {"zip": "screw-check-1.1.0.zip"},
    "activate": {"name": "screw-check", "version": "1.1.0", "pid": ["A01"], "hold": True, "reason": "the new lamp"},
    "switch": {"name": "screw-check", "version": "1.1.0", "pid": ["A01", "A02"]},
    "reconcile": {"wait": False, "timeout": 60},
    "promote": {"full": False, "reason": "looked at 200 parts"},
    "rollback_deployment": {"to": "1.0.0", "reason": "scratches are missed"},
    "rollback_pid": {"to": "1.0.0", "reason": "scratches are missed"},
    "give_feedback": {"truth": "NG", "source": "end of line"},
    "delete_recordings": {"pid": ["A01"], "until": "2026-01-31T00:00:00Z"},
    "create_token": {"name": "kiosk-1", "role": "operator", "expires": "90d"},
}
"""An example of the JSON that an operation takes, by its operationId."""


def tag_of(path: str) -> str:
    """Return under what the document lists an endpoint."""
    if path.endswith("/execute"):
        return "detections"
    first, *more = [part for part in path.split("/") if part]
    return _TAGS.get(more[0] if first == "v1" and more else first, "station")
