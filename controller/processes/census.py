"""What runs in a store and how to end it, without a controller, an event loop or a connection: for short commands."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from controller.host.environment import TOKEN_VARIABLE
from controller.host.identity import kill_processes, send_signal, wait_for_end
from controller.images import slots
from controller.model.observed import ObservedProcess, ProcessKey
from controller.processes import record_files, records
from controller.processes.records import ProcessRecord
from controller.store.layout import StoreLayout

_PATIENCE = 3.0
"""Seconds beyond twice the shim's grace after which `end_all` kills what is left."""
_GRACE = 2.0


def list_processes(layout: StoreLayout) -> tuple[ObservedProcess, ...]:
    """Return the processes that the store's records know, in the order of their keys."""
    found = [observe_record(record) for record in records.scan(layout.run)]
    return tuple(sorted(found, key=lambda process: (process.key, process.started_at)))


async def observe_processes(layout: StoreLayout) -> Mapping[ProcessKey, ObservedProcess]:
    """Return the same by key, as an observer asks for it."""
    return {each.key: each for each in list_processes(layout)}


def observe_record(record: ProcessRecord) -> ObservedProcess:
    """Return what a record and the kernel say about a process; whether it is busy only who is attached to it knows."""
    alive = record.alive
    return ObservedProcess(
        key=record.spec.key,
        digest=record.spec.digest,
        os_pid=record.adapter.os_pid if alive else None,
        state=("ready" if record.ready else "starting") if alive else "exited",
        sdk_version=record.ready.sdk_version if record.ready else "",
        started_at=record.started_at,
        detail="" if alive else str(record.exit or "it was killed together with its shim"),
    )


def end_all(layout: StoreLayout) -> tuple[ObservedProcess, ...]:
    """End every process of the store and remove what they leave; return those that ran.

    A shim is asked first (SIGTERM): it asks its adapter, and ends it where it does not listen. Whatever then still
    carries a token of this store is killed. Nothing else is ever signalled. Raises OSError.
    """
    ended = [process for process in list_processes(layout) if process.state != "exited"]
    if not layout.run.is_dir():
        return ()
    shims = [record.shim for record in records.scan(layout.run)]
    for shim in shims:
        send_signal(shim, signal.SIGTERM)
    wait_for_end(shims, 2 * _GRACE + _PATIENCE)
    sweep(layout, living=set())
    slots.close_folder(layout.images)
    return tuple(ended)


def sweep(layout: StoreLayout, living: set[str]) -> None:
    """Kill what carries a token of this store that is not among the living, and remove the dead's files.

    Raises OSError.
    """
    prefix = record_files.token_prefix(layout.run)
    kill_processes(TOKEN_VARIABLE, prefix, lambda token: token not in living)
    for path, token in record_files.files(layout.run):
        if token not in living:
            path.unlink(missing_ok=True)
    slots.sweep(layout.images, prefix, living)


def end_token(layout: StoreLayout, token: str) -> None:
    """Kill whatever carries one token, and remove what it leaves. Raises OSError."""
    kill_processes(TOKEN_VARIABLE, token)
    records.remove(layout.run, token)
    slots.Slots(layout.images, token).remove()
