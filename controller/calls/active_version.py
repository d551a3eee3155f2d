"""Routing: which version answers a PID. `active/<pid>.json` is the authority."""

from __future__ import annotations

import re

from controller.errors import CallError, Code
from controller.model.names import PID_PATTERN
from controller.model.observed import ActiveMapping
from controller.model.package import PackageRef
from controller.store.active import ActiveMappings


def active_version(active: ActiveMappings, pid: str) -> PackageRef:
    """Return the version that answers a PID now.

    Raises:
        CallError: 1001, it cannot be a PID; 1012, it has no version, or its mapping is damaged.
        StoreError: the disk could not be read.
    """
    if not re.fullmatch(PID_PATTERN, pid):
        raise CallError(Code.invalid_pid, f"{pid!r} cannot be a PID", next_step="see `pvctl status` for the PIDs")
    mapping = active.read(pid)
    if isinstance(mapping, ActiveMapping):
        return mapping.ref
    why = f"its mapping is damaged: {mapping.reason}" if mapping else "no version is active for it"
    raise CallError(
        Code.no_active_version,
        f"PID {pid} cannot be answered: {why}",
        next_step="see `pvctl status`; `pvctl reconcile --once` repairs mappings",
        details={"pid": pid},
    )
