"""A process as its shim recorded it in `run/<token>.json`; here records are read and removed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from controller.host.identity import ProcessIdentity, is_same
from controller.processes import record_files
from controller.processes.spec import ProcessSpec
from controller.wire.messages import Generation


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was learned when the process was proven: written only then.

    `doubt` says what its smoke call came to, where it was no answer and did not fail it either; empty: nothing.
    """

    sdk_version: str
    generation: Generation
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Exit:
    """How an adapter ended: its exit code, or the number of the signal that killed it."""

    code: int | None
    signal: int | None
    at: str

    def __str__(self) -> str:
        return f"exit status {self.code}" if self.signal is None else f"killed by signal {self.signal}"


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process as its shim recorded it. `ready` None: it was never proven. `exit` None: not known to have ended."""

    token: str
    spec: ProcessSpec
    started_at: str
    shim: ProcessIdentity
    adapter: ProcessIdentity
    ready: Readiness | None
    exit: Exit | None

    @property
    def alive(self) -> bool:
        """Whether shim and adapter both run: only together they are of use."""
        return self.exit is None and is_same(self.shim) and is_same(self.adapter)

    @classmethod
    def from_document(cls, document: Any) -> ProcessRecord:
        """Return the record in a JSON object. Raises TypeError, KeyError or ValueError where it is none."""
        about, ended = document["about"], document["exit"]
        ready = about["ready"]
        return cls(
            token=str(document["token"]),
            spec=ProcessSpec.from_document(about["spec"]),
            started_at=str(about["started_at"]),
            shim=ProcessIdentity.from_document(document["holder"]),
            adapter=ProcessIdentity.from_document(document["adapter"]),
            ready=Readiness(ready["sdk_version"], ready["generation"], ready.get("doubt", "")) if ready else None,
            exit=Exit(ended["code"], ended["signal"], ended["at"]) if ended else None,
        )


def about(spec: ProcessSpec, started_at: str, ready: Readiness | None) -> dict[str, Any]:
    """Return what a record says about a process; the shim keeps it and does not read it."""
    return {"spec": spec.to_document(), "started_at": started_at, "ready": asdict(ready) if ready else None}


def new_token(run: Path) -> str:
    return record_files.token_prefix(run) + secrets.token_hex(6)


def scan(run: Path) -> Iterator[ProcessRecord]:
    """Yield the records of this store's processes. What is torn or garbage is none, and left to the sweep."""
    for document in record_files.documents(run):
        try:
            yield ProcessRecord.from_document(document)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue


def remove(run: Path, token: str) -> None:
    """Remove what a process left in `run`. Raises OSError."""
    for path, owner in tuple(record_files.files(run)):
        if owner == token:
            path.unlink(missing_ok=True)
