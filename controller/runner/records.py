"""`run/<token>.json`, one per process, written by its holder; here they are read and removed.

A token names the store (by its `run` folder's device and inode, so that a copy of a store claims nobody's processes)
and, by its random part, the process.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from controller.runner.identity import ProcessIdentity, is_same
from controller.runner.spec import ProcessSpec
from controller.wire.messages import Generation


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was learned when the process was proven: written only then."""

    sdk_version: str
    generation: Generation


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
    """A process as its holder recorded it. `ready` None: it was never proven. `exit` None: not known to have ended."""

    token: str
    spec: ProcessSpec
    started_at: str
    holder: ProcessIdentity
    adapter: ProcessIdentity
    ready: Readiness | None
    exit: Exit | None

    @property
    def alive(self) -> bool:
        """Whether holder and adapter both run: only together they are of use."""
        return self.exit is None and is_same(self.holder) and is_same(self.adapter)

    @classmethod
    def from_document(cls, document: Any) -> ProcessRecord:
        """Return the record in a JSON object. Raises TypeError, KeyError or ValueError where it is none."""
        about, ended = document["about"], document["exit"]
        ready = about["ready"]
        return cls(
            token=str(document["token"]),
            spec=ProcessSpec.from_document(about["spec"]),
            started_at=str(about["started_at"]),
            holder=ProcessIdentity.from_document(document["holder"]),
            adapter=ProcessIdentity.from_document(document["adapter"]),
            ready=Readiness(ready["sdk_version"], ready["generation"]) if ready else None,
            exit=Exit(ended["code"], ended["signal"], ended["at"]) if ended else None,
        )


_NAME = re.compile(r"([0-9a-f]+-[0-9a-f]+-[0-9a-f]{12})\.(json|json\.tmp|sock)")


def about(spec: ProcessSpec, started_at: str, ready: Readiness | None) -> dict[str, Any]:
    """Return what a record says about a process; the holder keeps it and does not read it."""
    return {"spec": spec.to_document(), "started_at": started_at, "ready": asdict(ready) if ready else None}


def token_prefix(run: Path) -> str:
    """Return how the tokens of a store begin. Raises OSError where the folder is not there."""
    status = run.stat()
    return f"{status.st_dev:x}-{status.st_ino:x}-"


def new_token(run: Path) -> str:
    return token_prefix(run) + secrets.token_hex(6)


def files(run: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files in `run` that belong to processes, of this store or one it was copied from, and their tokens."""
    if run.is_dir():
        for path in sorted(run.iterdir()):
            if match := _NAME.fullmatch(path.name):
                yield path, match[1]


def scan(run: Path) -> Iterator[ProcessRecord]:
    """Yield the records of this store's processes. What is torn or garbage is none, and left to the sweep."""
    prefix = token_prefix(run) if run.is_dir() else ""
    for path, token in files(run):
        if path.suffix != ".json" or not token.startswith(prefix):
            continue
        try:
            record = ProcessRecord.from_document(json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            continue
        if record.token == token:
            yield record


def remove(run: Path, token: str) -> None:
    """Remove what a process left in `run`. Raises OSError."""
    for suffix in (".json", ".json.tmp", ".sock"):
        (run / (token + suffix)).unlink(missing_ok=True)
