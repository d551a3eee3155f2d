"""What calls must know of one deployment: plain data, given anew at every pass."""

from __future__ import annotations

from dataclasses import dataclass

from controller.model.desired import Deployment
from controller.model.input import PLAIN_INPUT, PictureInput
from controller.processes.spec import ProcessSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One deployment as far as its calls go. Times in seconds.

    `queue` calls may wait per PID, each for `call_timeout` before its dispatch; while the version has no process that
    could answer, for `start_timeout`. `input`: which pictures the algorithm gets.
    """

    deployment: str
    pids: tuple[str, ...] = ()
    call_timeout: float = 30.0
    start_timeout: float = 30.0
    queue: int = 64
    input: PictureInput = PLAIN_INPUT

    @classmethod
    def of_deployment(cls, deployment: Deployment) -> Service:
        """Return what a deployment's document says."""
        spec = deployment.spec
        return cls(
            deployment=deployment.name,
            pids=spec.pids,
            call_timeout=spec.timeouts.call,
            start_timeout=spec.timeouts.start,
            input=spec.pictures,
        )

    @classmethod
    def of_process(cls, spec: ProcessSpec) -> Service:
        """Return what an adopted process's own record says, for calls that come before the first pass."""
        return cls(
            deployment=spec.key.deployment,
            call_timeout=spec.call_timeout,
            start_timeout=spec.start_timeout,
            input=spec.input,
        )
