"""What a status document must hold for its readers. Imports nothing: `pvctl status` must answer at once."""

from __future__ import annotations

_ROWS = {
    "deployments": {"name", "phase", "package", "target_version", "stable_version", "actual_weight", "message"},
    "pids": {"pid", "deployment", "active", "target_version", "pinned", "held", "ready"},
    "processes": {"deployment", "name", "version", "replica", "os_pid", "state", "sdk_version", "rss_bytes"},
    "packages": {"name", "version", "digest", "state", "error_code", "reason"},
    "waiting": {"what", "until", "reason"},
}
_CONDITION = {"type", "status", "last_transition_time"}


def is_status(document: object) -> bool:
    """Whether a document is a status document, and not merely JSON that a hand or a failing disk left there."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("revision"), dict)
        and {"id", "source", "errors"} <= document["revision"].keys()
        and isinstance(document.get("converged"), bool)
        and all(_are_rows(document.get(name), keys) for name, keys in _ROWS.items())
        and all(_are_rows(each.get("conditions", []), _CONDITION) for each in document["deployments"])
    )


def _are_rows(rows: object, keys: set[str]) -> bool:
    return isinstance(rows, list) and all(isinstance(row, dict) and keys <= row.keys() for row in rows)
