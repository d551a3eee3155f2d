"""Proves an entry point in a process of its own inside the package's environment, under a deadline.

The verdict comes over a pipe of its own, because an algorithm may print. The whole process group is ended afterwards,
and what left the group.
"""

from __future__ import annotations

import ast
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.errors import Code, PackageError
from controller.host.execution import Execution, package_execution
from controller.model.package import Manifest
from controller.packages.contents import Contents
from controller.packages.leftovers import end_processes, mark

_ENTRY = Path(__file__).with_name("probe_entry.py")
_TAIL_BYTES = 16 << 10
_TAIL_LINES = 40
_VERDICT_BYTES = 1 << 20
_GRACE_S = 5.0


@dataclass(slots=True)
class _Record:
    """What a proof has said so far."""

    stage: str = "starting"
    verdict: tuple[str, Any] | None = None
    lines: bytes = b""
    output: deque[bytes] = field(default_factory=lambda: deque(maxlen=_TAIL_BYTES // 1024))

    def hear(self, data: bytes) -> None:
        *complete, self.lines = (self.lines + data)[:_VERDICT_BYTES].split(b"\n")
        for line in complete:
            with suppress(ValueError, SyntaxError):  # the algorithm wrote into our pipe: not a verdict
                kind, value = ast.literal_eval(line.decode("ascii"))
                if kind == "stage":
                    self.stage = str(value)
                elif self.verdict is None:
                    self.verdict = (kind, value)

    @property
    def tail(self) -> list[str]:
        text = b"".join(self.output)[-_TAIL_BYTES:].decode("utf-8", errors="replace")
        return text.splitlines()[-_TAIL_LINES:]


def prove(folder: Path, contents: Contents, manifest: Manifest, shm: Path, *, deadline: float) -> str:
    """Prove the entry point of the package that stands in `folder`; return the version of its SDK.

    `shm` is an empty folder for images, `deadline` in seconds. What is imported leaves its bytecode behind, which is
    what the first start needs.

    Raises:
        PackageError: 2005 with the algorithm's own message; its last output is in the details.
    """
    record = _Record()
    with _pipe() as verdict:
        execution = package_execution(
            [str(folder / "venv" / "bin" / "python"), str(_ENTRY), str(verdict.writer), manifest.entry_point],
            root=folder / contents.working_directory, images=shm, mark=mark(folder.parent),
            python_path=[str(folder / path) for path in contents.python_path],
        )  # fmt: skip
        try:
            status = _run(execution, verdict, record, time.monotonic() + deadline)
        finally:
            end_processes(folder.parent)
    if record.verdict is None:
        raise _no_verdict(manifest, record, status, deadline)
    kind, value = record.verdict
    if kind != "ok":
        raise _failed(manifest, record, f"failed while {record.stage}: {value}")
    _check_pids(manifest, value["supported_pids"], record)
    return str(value["sdk_version"])


class _Pipe:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def close_writer(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


@contextmanager
def _pipe() -> Iterator[_Pipe]:
    pipe = _Pipe()
    try:
        yield pipe
    finally:
        pipe.close_writer()
        os.close(pipe.reader)


def _run(execution: Execution, verdict: _Pipe, record: _Record, until: float) -> int | None:
    """Run the proof into `record`; return the exit status, None where it had to be ended when its time was up."""
    with _pipe() as output:
        process = subprocess.Popen(
            execution.command, cwd=execution.folder, env=execution.environment, stdin=subprocess.DEVNULL,
            stdout=output.writer, stderr=output.writer, pass_fds=(verdict.writer,), start_new_session=True,
        )  # fmt: skip
        try:
            verdict.close_writer()
            output.close_writer()
            return _listen(process.pid, verdict.reader, output.reader, record, until)
        finally:
            with suppress(ProcessLookupError):  # the group is empty already
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listen(pid: int, verdict: int, output: int, record: _Record, until: float) -> int | None:
    """Read both pipes until the process has ended and they are empty, or time is up; return its exit status."""
    exited = os.pidfd_open(pid)
    ending = False
    try:
        with selectors.DefaultSelector() as selector:
            for descriptor in (verdict, output, exited):
                selector.register(descriptor, selectors.EVENT_READ)
            while (left := until - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(left)}
                for descriptor in ready & {verdict, output}:
                    _take(selector, descriptor, record, is_verdict=descriptor == verdict)
                if ready == {exited}:
                    break
                if not ending and (exited in ready or record.verdict is not None):
                    ending, until = True, min(until, time.monotonic() + _GRACE_S)
            return _status(pid)
    finally:
        os.close(exited)


def _take(selector: selectors.BaseSelector, descriptor: int, record: _Record, *, is_verdict: bool) -> None:
    data = os.read(descriptor, 1024 if not is_verdict else 1 << 16)
    if not data:
        selector.unregister(descriptor)
    elif is_verdict:
        record.hear(data)
    else:
        record.output.append(data)


def _status(pid: int) -> int | None:
    """Return the exit status without reaping: the number must stay ours until its group has been signalled."""
    result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def _no_verdict(manifest: Manifest, record: _Record, status: int | None, deadline: float) -> PackageError:
    if status is None:
        return _failed(manifest, record, f"did not finish {record.stage} within {deadline:g} s")
    if status < 0:
        return _failed(manifest, record, f"was ended by {signal.Signals(-status).name} while {record.stage}")
    return _failed(manifest, record, f"ended its process (exit status {status}) while {record.stage}")


def _check_pids(manifest: Manifest, told: list[str] | None, record: _Record) -> None:
    if told is None or manifest.supported_pids is None or set(told) == set(manifest.supported_pids):
        return
    raise _failed(
        manifest,
        record,
        f"says other supported_pids in get_info() than the manifest: {', '.join(sorted(told)) or 'none'} against "
        f"{', '.join(sorted(manifest.supported_pids)) or 'none'}",
    )


def _failed(manifest: Manifest, record: _Record, problem: str) -> PackageError:
    tail = record.tail
    said = f" (its last words: {tail[-1][:300]})" if tail and record.verdict is None else ""
    return PackageError(
        Code.install_failed,
        f"the entry point {manifest.entry_point} {problem}{said}",
        next_step="correct the algorithm and pack it again",
        details={"stage": record.stage, "output": tail},
    )
