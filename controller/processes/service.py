"""What the data plane must know of one deployment: plain data, given anew at every pass."""

from __future__ import annotations

from dataclasses import dataclass

from controller.processes.spec import ProcessSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One deployment as far as calls and supervision go. Times in seconds, sizes in bytes.

    `queue` calls may wait per PID, each for `call_timeout` before its dispatch; while the version has no process that
    could answer, for `start_timeout`. `memory_max` holds for a process with all its descendants. `cpu_window` is what
    processor time is averaged over.
    """

    deployment: str
    pids: tuple[str, ...] = ()
    call_timeout: float = 5.0
    start_timeout: float = 30.0
    queue: int = 64
    heartbeat_interval: float = 5.0
    heartbeat_grace: float = 2.0
    heartbeat_max_missed: int = 2
    memory_max: int | None = None
    cpu_window: float = 60.0

    @property
    def silence(self) -> float:
        """Seconds without a pong, from a ping on, that make a lost heartbeat.

        The adapter reads one message after the other, so that further pings would only queue up behind the first.
        """
        return (self.heartbeat_max_missed - 1) * self.heartbeat_interval + self.heartbeat_grace

    @classmethod
    def of_process(cls, spec: ProcessSpec) -> Service:
        """Return what an adopted process's own record says, for calls that come before the first pass."""
        return cls(
            deployment=spec.key.deployment,
            call_timeout=spec.call_timeout,
            start_timeout=spec.start_timeout,
            heartbeat_interval=spec.heartbeat_interval_ms / 1000,
            heartbeat_grace=spec.grace_ms / 1000,
        )
