"""Which version answers a PID, and which PID a version answers for: `active/<pid>.json` is the authority.

Looked up for every call: a stat decides whether the file is read again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

from controller.calls.request import DetectionRequest, require_pid
from controller.errors import CallError, Code, StoreError
from controller.model.observed import ActiveMapping, BrokenMapping
from controller.model.package import PackageRef
from controller.store.active import ActiveMappings

log = logging.getLogger(__name__)

_SHOWN = 8
"""PIDs of one version that a message names."""


def _active_version(active: ActiveMappings, pid: str) -> PackageRef:
    require_pid(pid)
    mapping = active.read(pid)
    if isinstance(mapping, ActiveMapping):
        return mapping.ref
    if mapping is None:
        why = "no version is active for it"
        step = "see `pvctl status`: a PID is served when a deployment lists it in pids"
    else:
        why, step = f"its mapping is damaged: {mapping.reason}", "`pvctl reconcile --once` repairs it"
    raise CallError(
        Code.no_active_version,
        f"PID {pid} cannot be answered: {why}",
        next_step=step,
        details={"pid": pid},
    )


def _listed(pids: list[str]) -> str:
    more = len(pids) - _SHOWN
    return ", ".join(pids[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class _Route:
    """A version, and what the file looked like that said so."""

    path: str
    fingerprint: tuple[int, int, int] | None
    """None: there is no file, and that was said."""
    ref: PackageRef


class Routes:
    """The mappings of one store as calls see them.

    A mapping that was good and is damaged now goes on as it was until it is repaired: the file still says that the PID
    is in service, and the line must not stop for a torn byte. One that is gone goes on for a PID that a deployment
    serves, because the next pass restores it; a PID that nobody serves is gone at once.
    """

    def __init__(self, active: ActiveMappings) -> None:
        self._active = active
        self._known: dict[str, _Route] = {}

    def route(self, request: DetectionRequest, served: Collection[str] = ()) -> tuple[DetectionRequest, PackageRef]:
        """Return a request with the PID that it is a call of, and the version that answers it now.

        A request for a package without a PID is a call of the first one, sorted, for which that version is active.
        `served`: the PIDs of the deployments.

        Raises:
            CallError: 1001, 1012 like `version`; 1012, the package is not active for the PID, or for any.
            StoreError: a mapping could not be read.
        """
        package = request.package
        if package is None:
            return request, self.version(request.pid, served=request.pid in served)
        for pid, ref in self._look((request.pid,) if request.pid else self._pids(served), served):
            if ref == package:
                return (request if pid == request.pid else replace(request, pid=pid)), package
        raise self._not_active(package, request.pid, served)

    def version(self, pid: str, *, served: bool = False) -> PackageRef:
        """Return the version that answers a PID now; `served`: a deployment has it among its PIDs.

        Raises:
            CallError: 1001, it cannot be a PID; 1012, it has no version, or its mapping is damaged.
            StoreError: the disk could not be read.
        """
        known = self._known.get(pid)
        if known is None:
            require_pid(pid)
        path = known.path if known else self._active.path(pid)
        try:
            status = os.stat(path)  # noqa: PTH116 - for every call; pathlib doubles it
        except FileNotFoundError:
            return self._without_file(pid, served)
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        fingerprint = (status.st_mtime_ns, status.st_ino, status.st_size)
        if known is not None and known.fingerprint == fingerprint:
            return known.ref
        ref = self._read(pid, known)
        self._known[pid] = _Route(path, fingerprint, ref)
        return ref

    def _pids(self, served: Collection[str]) -> list[str]:
        return sorted({*self._active.pids(), *served})

    def _look(self, pids: Iterable[str], served: Collection[str]) -> Iterator[tuple[str, PackageRef]]:
        """Yield each of the PIDs that has a version, with that; StoreError at the end where one could not be read."""
        unread: StoreError | None = None
        for pid in pids:
            try:
                ref = self.version(pid, served=pid in served)
            except CallError:
                continue
            except StoreError as error:
                unread = error
                continue
            yield pid, ref
        if unread is not None:
            raise unread

    def _not_active(self, package: PackageRef, pid: str, served: Collection[str]) -> CallError:
        active: dict[str, list[str]] = {}
        for each, ref in self._look(self._pids(served), served):
            if ref.name == package.name:
                active.setdefault(ref.version, []).append(each)
        there = ", ".join(f"{version} on {_listed(pids)}" for version, pids in sorted(active.items()))
        whom = f"for PID {pid}" if pid else "for any PID"
        return CallError(
            Code.no_active_version,
            f"{package} is not active {whom}; of {package.name} there is active: {there or 'no version'}",
            next_step="call a version that is active; see `pvctl status`",
            details={"name": package.name, "version": package.version, "pid": pid or None, "active": active},
        )

    def get_to_know(self, pids: Iterable[str], most: int) -> None:
        """Read the mappings of so many of the PIDs that no call has come for yet: so that it is known what goes on."""
        for pid in islice((pid for pid in pids if pid not in self._known), most):
            with suppress(CallError, StoreError):  # its calls are to hear of it
                self.version(pid)

    def _without_file(self, pid: str, served: bool) -> PackageRef:
        known = self._known.pop(pid, None)
        if known is None or not served:
            return _active_version(self._active, pid)
        if known.fingerprint is not None:
            log.warning("%s is gone; calls go on with %s until it is restored", known.path, known.ref)
        self._known[pid] = _Route(known.path, None, known.ref)
        return known.ref

    def _read(self, pid: str, known: _Route | None) -> PackageRef:
        if known is not None and isinstance(broken := self._active.read(pid), BrokenMapping):
            log.warning(
                "%s is damaged (%s); calls go on with %s until it is repaired", known.path, broken.reason, known.ref
            )
            return known.ref
        return _active_version(self._active, pid)
