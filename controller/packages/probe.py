"""Proves an entry point by the real start, in a process of its own inside the package's environment, under a deadline.

The adapter is spoken to as in every start: hello, ping, pong, shutdown (`probe_entry.py` makes itself the adapter).
What the algorithm did comes over a pipe of its own. The whole process group is ended afterwards, and what left the
group.
"""

from __future__ import annotations

import ast
import errno
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.errors import Code, PackageError, ProtocolViolation
from controller.host.conditions import LOADER_FAILED, Witness, host_error, host_error_in
from controller.host.execution import Execution, package_execution
from controller.model.package import Manifest
from controller.packages.contents import Contents
from controller.packages.leftovers import end_processes, mark
from controller.packages.venv import ended_by_signal
from controller.wire.messages import Hello, Pong, ShutdownAck, StartupError
from controller.wire.session import Session, State

_ENTRY = Path(__file__).with_name("probe_entry.py")
_TAIL_BYTES = 16 << 10
_TAIL_LINES = 40
_MOST_WORDS = 2000
_VERDICT_BYTES = 1 << 20
_GRACE_S = 5.0
_ACKNOWLEDGED_S = 0.2
_HEARTBEAT_MS = 5000
_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}
_CORRECT = "correct the algorithm and pack it again"
_GIVE_TIME = (
    "if it needs that long to load, raise timeouts.start of the deployment, or spec.limits.proofTimeout of the "
    "StationPolicy; else correct the algorithm and pack it again"
)


@dataclass(slots=True)
class _Record:
    """What a proof has said so far. `sdk_version` is from its hello; `failure` what the adapter itself said."""

    stage: str = "starting"
    verdict: tuple[str, Any] | None = None  # what it is depends on its kind: see probe_entry.py
    traceback: str = ""
    sdk_version: str = ""
    failure: str = ""
    answered: bool = False
    over: bool = False
    lines: bytes = b""
    output: bytes = b""

    def keep(self, data: bytes) -> None:
        """Keep the end of what the algorithm wrote."""
        self.output = (self.output + data)[-_TAIL_BYTES:]

    def hear(self, data: bytes) -> None:
        *complete, self.lines = (self.lines + data)[:_VERDICT_BYTES].split(b"\n")
        for line in complete:
            with suppress(ValueError, SyntaxError):  # the algorithm wrote into our pipe: not a verdict
                kind, value = ast.literal_eval(line.decode("ascii"))
                if kind == "stage":
                    self.stage = str(value)
                elif kind == "traceback":
                    self.traceback = self.traceback or str(value)
                elif self.verdict is None:
                    self.verdict = (kind, value)

    @property
    def settled(self) -> bool:
        """Whether nothing that is still to come would change the outcome."""
        return self.over or bool(self.failure) or (self.verdict is not None and self.verdict[0] != "ok")

    @property
    def tail(self) -> list[str]:
        return self.output.decode("utf-8", errors="replace").splitlines()[-_TAIL_LINES:]


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof found: the version of the package's SDK, and the last lines that the algorithm wrote."""

    sdk_version: str
    output: tuple[str, ...]


class _Adapter:
    """Our side of the conversation: as a controller would begin it, and then an end."""

    def __init__(self, stdin: _Pipe, record: _Record) -> None:
        self._stdin = stdin
        self._record = record
        self._session = Session()

    def hear(self, data: bytes) -> None:
        try:
            messages = self._session.receive(data)
        except ProtocolViolation as violation:
            if not self._record.answered:
                self._record.failure = str(violation)[:_MOST_WORDS]
            return
        for message in messages:
            if isinstance(message, Hello):
                self._record.sdk_version = message.sdk_version
                if self._session.state is State.ENDED:  # it said at once that it cannot load
                    continue
                self._send(self._session.hello(_HEARTBEAT_MS, _HEARTBEAT_MS) + self._session.ping("proof"))
            elif isinstance(message, Pong):
                self._record.answered = True
                self._send(self._session.shutdown())
            elif isinstance(message, StartupError):
                self._record.failure = message.message[:_MOST_WORDS] or "it said no reason"
            elif isinstance(message, ShutdownAck):
                self._record.over = True

    def _send(self, frames: bytes) -> None:
        if self._stdin.writer >= 0:  # else it was told to end already
            with suppress(BrokenPipeError):  # it has ended: its exit says so
                os.write(self._stdin.writer, frames)


def prove(folder: Path, contents: Contents, manifest: Manifest, shm: Path, *, deadline: float) -> Proof:
    """Prove the entry point of the package that stands in `folder`.

    `shm` is an empty folder for images, `deadline` in seconds. What is imported leaves its bytecode behind, which is
    what the first start needs.

    Raises:
        PackageError: 2005 with the algorithm's own message; its traceback and last output are in the details.
        HostError: the machine did not let it run, which says nothing about the package.
    """
    record, witness = _Record(), Witness(folder, shm)
    with _pipe() as verdict:
        execution = package_execution(
            [str(folder / "venv" / "bin" / "python"), str(_ENTRY), str(verdict.writer)],
            root=folder / contents.working_directory, images=shm, mark=mark(folder.parent),
            python_path=[str(folder / path) for path in contents.python_path], entry_point=manifest.entry_point,
        )  # fmt: skip
        try:
            status = _run(execution, verdict, record, time.monotonic() + deadline)
        finally:
            end_processes(folder.parent)
    if status is not None and -status in _FROM_OUTSIDE and not record.answered:
        raise ended_by_signal(f"the proof of {manifest.entry_point}, while {record.stage},", -status)
    try:
        _judge(manifest, record, status, deadline)
    except PackageError:
        if status == LOADER_FAILED and not record.sdk_version:
            raise host_error_in("start the package's Python", f"[Errno {errno.ENOENT}] {record.tail[-1:]}") from None
        if shortage := witness.shortage("prove the entry point"):
            raise shortage from None
        raise
    return Proof(record.sdk_version, tuple(record.tail))


class _Pipe:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def close_reader(self) -> None:
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

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
        pipe.close_reader()


def _run(execution: Execution, verdict: _Pipe, record: _Record, until: float) -> int | None:
    """Run the proof into `record`; return the exit status, None where it had to be ended when its time was up."""
    with _pipe() as stdin, _pipe() as stdout, _pipe() as output:
        try:
            process = subprocess.Popen(
                execution.command, cwd=execution.folder, env=execution.environment, stdin=stdin.reader,
                stdout=stdout.writer, stderr=output.writer, pass_fds=(verdict.writer,), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise host_error("prove the entry point", error) from error
        try:
            stdin.close_reader()
            for pipe in (verdict, stdout, output):
                pipe.close_writer()
            adapter = _Adapter(stdin, record)
            hears = {verdict.reader: record.hear, stdout.reader: adapter.hear, output.reader: record.keep}
            return _listen(process.pid, hears, stdin, record, until)
        finally:
            with suppress(ProcessLookupError):  # the group is empty already
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listen(
    pid: int, hears: Mapping[int, Callable[[bytes], None]], stdin: _Pipe, record: _Record, until: float
) -> int | None:
    """Read all pipes until the process has ended and they are empty, or time is up; return its exit status."""
    exited = os.pidfd_open(pid)
    ending = False
    try:
        with selectors.DefaultSelector() as selector:
            for descriptor in (*hears, exited):
                selector.register(descriptor, selectors.EVENT_READ)
            while (left := until - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(left)}
                for descriptor in ready - {exited}:
                    _take(selector, descriptor, hears[descriptor])
                if ready == {exited}:
                    break
                if not ending and (exited in ready or record.settled):
                    ending, until = True, min(until, time.monotonic() + (_ACKNOWLEDGED_S if record.over else _GRACE_S))
                    stdin.close_writer()
            return _status(pid)
    finally:
        os.close(exited)


def _take(selector: selectors.BaseSelector, descriptor: int, hear: Callable[[bytes], None]) -> None:
    if data := os.read(descriptor, 1 << 16):
        hear(data)
    else:
        selector.unregister(descriptor)


def _status(pid: int) -> int | None:
    """Return the exit status without reaping: the number must stay ours until its group has been signalled."""
    result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status


def _judge(manifest: Manifest, record: _Record, status: int | None, deadline: float) -> None:
    """Return where the proof is made. Raises PackageError."""
    kind, value = record.verdict or ("", {})
    if kind == "failed":
        raise _failed(manifest, record, f"failed while {record.stage}: {value}")
    if record.failure:
        raise _failed(manifest, record, f"failed while {record.stage}: {record.failure}")
    if not record.answered:
        next_step = _GIVE_TIME if status is None else _CORRECT
        error = _failed(manifest, record, _silence(record, status, deadline), next_step)
        error.details["exit_status"] = status
        raise error
    if kind == "ok":
        _check_info(manifest, value, record)


def _silence(record: _Record, status: int | None, deadline: float) -> str:
    if status is None:
        return f"did not finish {record.stage} within {deadline:g} s"
    if status < 0:
        return f"was ended by {signal.Signals(-status).name} while {record.stage}"
    return f"ended its process (exit status {status}) while {record.stage}"


def _check_info(manifest: Manifest, told: dict[str, Any], record: _Record) -> None:
    """Check that get_info() says what the manifest says, where both say it. Raises PackageError."""
    for key, expected in (("name", manifest.name), ("version", manifest.version)):
        if told.get(key) not in {None, expected}:
            raise _failed(
                manifest, record, f"says another {key} in get_info() than the manifest: {told[key]} against {expected}"
            )
    pids = told.get("supported_pids")
    if pids is not None and manifest.supported_pids is not None and set(pids) != set(manifest.supported_pids):
        raise _failed(
            manifest,
            record,
            f"says other supported_pids in get_info() than the manifest: {', '.join(sorted(pids)) or 'none'} against "
            f"{', '.join(sorted(manifest.supported_pids)) or 'none'}",
        )


def _failed(manifest: Manifest, record: _Record, problem: str, next_step: str = _CORRECT) -> PackageError:
    tail = record.tail
    said = f" (its last words: {tail[-1][:300]})" if tail and record.verdict is None else ""
    details: dict[str, Any] = {"stage": record.stage, "output": tail}
    if record.traceback:
        details["traceback"] = record.traceback.splitlines()
    problem = f"the entry point {manifest.entry_point} {problem}{said}"
    return PackageError(Code.install_failed, problem, next_step=next_step, details=details)
