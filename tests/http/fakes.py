"""The two ports of the HTTP surface, implemented for tests, and a server on a store of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from controller.calls.request import Detection, DetectionRequest
from controller.errors import ControllerError
from controller.images.formats import load


class FakePlane:
    """Answers with what the image is; may fail, wait for `gate`, and remembers what was asked and cancelled."""

    def __init__(self) -> None:
        self.asked: list[DetectionRequest] = []
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.places = 0
        self.cancelled = 0

    async def execute(self, request: DetectionRequest) -> Detection:
        self.asked.append(request)
        self.places += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.places -= 1
        if self.failure is not None:
            raise self.failure
        shape = list(load(request.image).shape) if not hasattr(request.image, "id") else [request.image.id]
        return Detection("r-1", request.pid, "screw-check", "1.0.0", "OK", "", {"shape": shape}, 1.5)


class FakeControl:
    """Does nothing, and remembers what it was asked."""

    def __init__(self) -> None:
        self.readiness = (True, "")
        self.failure: Exception | None = None
        self.operated: list[tuple[str, str, dict[str, Any], str]] = []
        self.reconciled: list[dict[str, Any]] = []

    def status(self) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        return {"converged": True}

    def ready(self) -> tuple[bool, str]:
        return self.readiness

    async def reconcile(
        self, *, allow_empty: bool, wait: bool, timeout: float, notify: Callable[[str], None]
    ) -> dict[str, Any]:
        self.reconciled.append({"allow_empty": allow_empty, "wait": wait, "timeout": timeout})
        notify("install screw-check@1.0.0")
        await asyncio.to_thread(notify, "start screw-check@1.0.0")
        if self.failure is not None:
            raise self.failure
        return {"exit": 0, "status": {"converged": True}}

    async def operate(self, verb: str, subject: str, arguments: dict[str, Any], actor: str) -> dict[str, Any]:
        if self.failure is not None:
            raise self.failure
        self.operated.append((verb, subject, arguments, actor))
        return {"message": f"{verb} {subject}"}

    async def down(self) -> tuple[str, ...]:
        return ("screw-check/screw-check@1.0.0-0",)


def refusal() -> ControllerError:
    return ControllerError("nothing is paused", next_step="see `pvctl status`")
