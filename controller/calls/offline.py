"""One detection without a controller: attach to a running process, call it, detach."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from controller.calls.detection import detect, require_guide
from controller.calls.request import DetectionRequest
from controller.client.answers import Detection
from controller.errors import CallError, Code
from controller.model.package import PackageRef
from controller.processes import records
from controller.processes.attach import ShimBusy, ShimGone
from controller.processes.launch import adopt
from controller.processes.records import ProcessRecord
from controller.store.layout import StoreLayout

_RETRY = 0.02


async def execute_once(
    layout: StoreLayout, route: Callable[[], tuple[DetectionRequest, PackageRef]], *, patience: float = 10.0
) -> Detection:
    """Return the answer of a running process of the version that `route` gives, of whatever deployment.

    A process that somebody else is attached to is waited for, for `patience` seconds; `route` is asked again meanwhile.

    Raises:
        CallError: 1004 where none runs, 1011 where all were busy for too long; else like `route` and `detect`.
    """
    until = time.monotonic() + patience
    while True:
        request, ref = route()
        candidates = _candidates(layout, ref)
        if not candidates:
            raise CallError(
                Code.not_initialized,
                f"no process of {ref} is ready",
                next_step="run `pvctl reconcile --once`, or see `pvctl status`",
            )
        for record in candidates:
            try:
                process = await adopt(layout, record)
            except (ShimBusy, ShimGone):
                continue
            try:
                require_guide(request, process.spec.input)
                return await detect(process, request)
            finally:
                await process.wait_ended()
                process.detach()
        if time.monotonic() >= until:
            raise CallError(
                Code.busy,
                f"every process of {ref} was busy for {patience:g} s",
                next_step="call again; while `pvctl run` works, calls go through it",
                details={"retry_after": patience},
            )
        await asyncio.sleep(_RETRY)


def _candidates(layout: StoreLayout, ref: PackageRef) -> list[ProcessRecord]:
    return [
        record
        for record in records.scan(layout.run)
        if record.spec.key.ref == ref and not record.spec.key.shadow and record.ready is not None and record.alive
    ]
