"""What is needed to start an algorithm process, as data that also stands in the process's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from controller.host.execution import adapter_command
from controller.model.input import PLAIN_INPUT, PictureInput
from controller.model.observed import ProcessKey
from controller.model.parameters import Steps


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How to start one process and how long to wait for it. Paths are absolute; times in seconds unless named.

    `python` is the interpreter of the package's environment; `entry_point` is empty where the adapter shall read it
    from the manifest itself. `start_timeout` runs until the pong, `call_timeout` from dispatch to answer, `stop_grace`
    is waited for between the shutdown frame, SIGTERM and SIGKILL. `smoke` asks for one call before traffic, on
    `smoke_image` or a generated picture (None), for 0.0.x as PID `smoke_pid`. `input`: the pictures that it gets.
    `steps`: the parameters that its manifest declares.
    """

    key: ProcessKey
    digest: str
    python: str
    working_directory: str
    log_path: str
    entry_point: str = ""
    python_path: tuple[str, ...] = ()
    start_timeout: float = 30.0
    call_timeout: float = 30.0
    stop_grace: float = 2.0
    heartbeat_interval_ms: int = 5000
    grace_ms: int = 2000
    smoke: bool = False
    smoke_image: str | None = None
    smoke_pid: str = ""
    steps: Steps = ()
    input: PictureInput = PLAIN_INPUT

    @property
    def command(self) -> list[str]:
        """The adapter's command line, without arguments: an algorithm may parse them while it is imported."""
        return adapter_command(self.python)

    def to_document(self) -> dict[str, Any]:
        return {**asdict(self), "key": self.key.to_document()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ProcessSpec:
        """Return the spec in a record; unknown fields are a newer controller's. Raises TypeError, KeyError."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in document.items() if name in known}
        values["key"] = ProcessKey.from_document(document["key"])
        values["python_path"] = tuple(document.get("python_path", ()))
        values["steps"] = tuple(document.get("steps", ()))
        values["input"] = PictureInput.from_document(document.get("input", {}))
        return cls(**values)
