"""What the HTTP surface needs from the floors below, as protocols: the daemon and the tests' fakes both fit them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from controller.calls.request import Detection, DetectionRequest


class DataPlane(Protocol):
    """Answers detections."""

    async def execute(self, request: DetectionRequest) -> Detection:
        """Return the answer to a detection. Cancelling it frees the caller's place. Raises CallError."""


class Control(Protocol):
    """What operators may ask of the daemon. Every method but `status` and `ready` may raise ControllerError."""

    def status(self) -> dict[str, Any]:
        """Return the status document (design 3.3)."""

    def ready(self) -> tuple[bool, str]:
        """Return whether every active version can answer, and if not, why."""

    async def reconcile(
        self, *, allow_empty: bool, wait: bool, timeout: float, notify: Callable[[str], None]
    ) -> dict[str, Any]:
        """Reconcile and return {exit, status}; `notify` hears of the progress, from any thread."""

    async def operate(self, verb: str, subject: str, arguments: dict[str, Any], actor: str) -> dict[str, Any]:
        """Carry out an operator's verb on a deployment or a PID and return what was done."""

    async def down(self) -> tuple[str, ...]:
        """End every algorithm process of the store, then the daemon; return the names of the processes."""
