"""What runs in a store and how to end it, without a controller, an event loop or a connection: for short commands."""

from __future__ import annotations

import signal
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.host.environment import TOKEN_VARIABLE
from controller.host.identity import find_processes, kill_processes, send_signal, wait_for_end
from controller.images import shared_folder
from controller.images.slots import LEASED, Slots
from controller.model.observed import ObservedProcess, ProcessKey
from controller.processes import record_files, records
from controller.processes.lost import lost_shims
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

    A shim is asked first (SIGTERM; it may stand still, so SIGCONT): it asks its adapter, and ends it where it does not
    listen. Whatever then still carries a token of this store is killed. Nothing else is ever signalled. Raises OSError.
    """
    lost = tuple(lost_shims(layout.run))
    known = list(records.scan(layout.run))
    ended = [process for process in map(observe_record, known) if process.state != "exited"]
    ended += [ObservedProcess(each.key, "", None, "ready") for each in lost if each.key is not None]
    shims = [*(record.shim for record in known), *(each.shim for each in lost)]
    for shim in shims:
        send_signal(shim, signal.SIGTERM)
        send_signal(shim, signal.SIGCONT)
    wait_for_end(shims, 2 * _GRACE + _PATIENCE)
    if layout.run.is_dir() or lost:
        end_strays(strays(layout, living=()))
        shared_folder.close_folder(layout.images)
    return tuple(sorted(ended, key=lambda process: (process.key, process.started_at)))


@dataclass(frozen=True, slots=True)
class Strays:
    """Processes of a store that no controller wants, by their tokens, and files that the dead left."""

    tokens: frozenset[str]
    files: tuple[Path, ...]


def strays(layout: StoreLayout, living: Collection[str]) -> Strays:
    """Return what is there now and does not belong to the living tokens. Raises OSError.

    What was leased belonged to a controller, whoever's token it has: to be asked before this one leases anything.
    """
    run, images = layout.run, layout.images
    prefix = record_files.token_prefix(run) if run.is_dir() else None
    mine = {token for _, token in find_processes(TOKEN_VARIABLE, prefix)} if prefix else set()
    lost = {each.token for each in lost_shims(run)}
    prefixes = tuple(lost | ({prefix} if prefix else set()))
    files = [path for path, token in record_files.files(run) if token not in living]
    files += [
        path for path in shared_folder.files_of(images, prefixes)
        if LEASED in path.name or path.name.split(".")[0] not in living
    ]  # fmt: skip
    return Strays(frozenset((mine | lost).difference(living)), tuple(files))


def end_strays(found: Strays) -> None:
    """Kill the processes, and remove the files. Raises OSError."""
    if found.tokens:
        kill_processes(TOKEN_VARIABLE, "", lambda token: token in found.tokens)
    for path in found.files:
        path.unlink(missing_ok=True)


def end_token(layout: StoreLayout, token: str, *, pictures: bool = True) -> None:
    """Kill whatever carries one token, and remove what it leaves. Raises OSError.

    Not its `pictures` where somebody has the process's own slots: these know which of them are still read.
    """
    kill_processes(TOKEN_VARIABLE, token)
    records.remove(layout.run, token)
    if pictures:
        Slots(layout.images, token).remove()
