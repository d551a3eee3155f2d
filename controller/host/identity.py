"""Who a process is, beyond its number: numbers are used again, and the wall clock moves.

An identity is the boot, the number, and the start in clock ticks since that boot; our own processes also carry a token
in their environment. A signal goes through a pidfd that was opened before the identity was checked.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOKEN_VARIABLE = "PVCTL_TOKEN"  # noqa: S105  (the name of a variable, not a secret)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Identifies one process for ever. `start_ticks` count from the boot that `boot_id` names."""

    os_pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def from_document(cls, document: Any) -> ProcessIdentity:
        """Return the identity that a shim recorded. Raises TypeError, KeyError or ValueError where it is none."""
        return cls(int(document["os_pid"]), int(document["start_ticks"]), str(document["boot_id"]))


def identify(os_pid: int) -> ProcessIdentity | None:
    """Return the identity of a running process; None where there is none, or only a zombie."""
    try:
        fields = Path(f"/proc/{os_pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    if not fields or fields[0] in {b"Z", b"X"}:
        return None
    return ProcessIdentity(os_pid, int(fields[19]), _BOOT_ID.read_text().strip())


def is_same(identity: ProcessIdentity) -> bool:
    """Return whether exactly this process still runs."""
    return identify(identity.os_pid) == identity


def open_pidfd(identity: ProcessIdentity) -> int | None:
    """Return a descriptor of exactly this process, for the caller to close; None where it has ended."""
    try:
        descriptor = os.pidfd_open(identity.os_pid)
    except OSError:
        return None
    if is_same(identity):  # checked after opening: from now on the descriptor cannot come to mean another
        return descriptor
    os.close(descriptor)
    return None


def send_signal(identity: ProcessIdentity, number: int) -> bool:
    """Signal exactly this process; return whether it was there."""
    descriptor = open_pidfd(identity)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, number)
    except OSError:  # it ended meanwhile
        return False
    finally:
        os.close(descriptor)
    return True


def token_of(os_pid: int) -> str | None:
    """Return the token in a process's environment; None where it has none or belongs to somebody else."""
    try:
        environment = Path(f"/proc/{os_pid}/environ").read_bytes()
    except OSError:
        return None
    prefix = f"{TOKEN_VARIABLE}=".encode()
    for entry in environment.split(b"\0"):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode("ascii", "replace")
    return None


def processes_with_token(prefix: str) -> Iterator[tuple[ProcessIdentity, str]]:
    """Yield the running processes whose token begins with `prefix`, and their tokens; never the caller itself."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        token = token_of(int(entry.name))
        if token is not None and token.startswith(prefix) and (identity := identify(int(entry.name))):
            yield identity, token
