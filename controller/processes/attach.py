"""The controller's side of the shim's socket: start a shim, attach to the adapter's pipes, have the adapter ended."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.errors import ControllerError
from controller.host import sockets
from controller.host.execution import Execution
from controller.processes.records import Exit, ProcessRecord

_SCRIPT = str(Path(__file__).parent / "shim" / "shim.py")
_PACKET = 65536
_LENT = 3
"""Descriptors that a shim hands out: stdin and stdout of the adapter, and a pidfd of it."""
_ANSWER = 10.0
"""Seconds that a shim may take for an answer. It needs milliseconds; one that takes longer stands still."""


class ShimBusy(ControllerError):
    """Somebody else is attached to the pipes."""


class ShimGone(ControllerError):
    """There is no shim, or it went away, or it could not do what it was asked to."""


class ShimLink:
    """One connection to a shim.

    `on_exit` is called once: with the adapter's exit, or None when the shim went away without a word. `closed` is
    done when the shim has ended or the link was closed.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._answers: deque[asyncio.Future[tuple[str, list[int]]]] = deque()
        self.on_exit: Callable[[Exit | None], None] = lambda _: None
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(connection.fileno(), self._receive)

    async def request(self, request: str) -> tuple[dict[str, Any], list[int]]:
        """Send a request; return its answer and the descriptors with it.

        Raises:
            ShimBusy, ShimGone; also where there was no answer in time.
        """
        if self._connection.fileno() < 0:
            raise ShimGone("the process's shim has ended")
        try:
            self._connection.send(request.encode())
        except OSError as error:
            raise ShimGone(f"the process's shim does not listen: {error.strerror}") from None
        try:
            async with asyncio.timeout(_ANSWER):
                return await self.answer()
        except TimeoutError:
            raise ShimGone(f"the process's shim did not answer within {_ANSWER:g} s") from None

    async def answer(self) -> tuple[dict[str, Any], list[int]]:
        """Wait for what the shim says next: a new one speaks first. The deadline is the caller's matter.

        Raises:
            ShimBusy, ShimGone
        """
        answer = self._loop.create_future()
        self._answers.append(answer)
        text, descriptors = await answer
        kind, _, rest = text.partition(" ")
        if kind != "ok":
            raise (ShimBusy if kind == "busy" else ShimGone)(rest)
        return json.loads(rest), descriptors

    def _receive(self) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._connection, _PACKET, _LENT, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        text = packet.decode("utf-8", "replace")
        if not text:
            self._broken()
        elif text.startswith("exit "):
            ended = json.loads(text.removeprefix("exit "))
            self._ended(Exit(ended["code"], ended["signal"], ended["at"]))
        elif self._answers and not (answer := self._answers.popleft()).done():
            answer.set_result((text, descriptors))
        else:  # whoever asked has given up
            close_all(descriptors)

    def _broken(self) -> None:
        self.close()
        self._ended(None)

    def _ended(self, ended: Exit | None) -> None:
        callback, self.on_exit = self.on_exit, lambda _: None
        callback(ended)

    def close(self) -> None:
        """Detach: give the pipes back."""
        if self._connection.fileno() >= 0:
            self._loop.remove_reader(self._connection.fileno())
            self._connection.close()
            self.closed.set_result(None)
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(ShimGone("the process's shim has ended"))
        self._answers.clear()


def close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Attachment:
    """An adapter's pipe ends and a pidfd of it, ours until the link is closed."""

    link: ShimLink
    record: ProcessRecord
    stdin: int
    stdout: int
    pidfd: int


async def _receive_attachment(link: ShimLink, request: str | None) -> Attachment:
    try:
        document, descriptors = await (link.answer() if request is None else link.request(request))
        if len(descriptors) != _LENT:  # the kernel drops what we have no room for
            close_all(descriptors)
            raise ShimGone(f"its pipes could not be received: [Errno {errno.EMFILE}] {os.strerror(errno.EMFILE)}")
        stdin, stdout, pidfd = descriptors
        return Attachment(link, ProcessRecord.from_document(document["record"]), stdin, stdout, pidfd)
    except BaseException:
        link.close()
        raise


@dataclass(frozen=True, slots=True)
class Launch:
    """What a shim is started with: `python` it runs on, `title` is what `ps` shows; `about` goes into the record."""

    python: str
    title: str
    token: str
    execution: Execution
    log_path: Path
    about: Mapping[str, Any]


class Shims:
    """Starts and reaches the shims of one store."""

    def __init__(self, run: Path) -> None:
        self._run = run

    async def start(self, launch: Launch) -> Attachment:
        """Start a shim and its adapter and attach to it.

        Raises:
            ShimGone: the adapter could not be executed; the message says why.
            OSError: the log cannot be opened, or there is no room for another process.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                starter = self._spawn(launch, theirs)
            except BaseException:
                ours.close()
                raise
        try:
            return await _receive_attachment(ShimLink(ours), None)
        finally:
            await _reap(starter)

    def _spawn(self, launch: Launch, connection: socket.socket) -> int:
        launch.log_path.parent.mkdir(parents=True, exist_ok=True)
        arguments = [
            launch.python, "-I", "-S", _SCRIPT, launch.title, str(self._run), launch.token,
            json.dumps(launch.about), launch.execution.folder, *launch.execution.command,
        ]  # fmt: skip
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        log = os.open(launch.log_path, append, 0o644)
        try:
            return os.posix_spawn(
                launch.python,
                arguments,
                launch.execution.environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, connection.fileno(), 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGCHLD],
            )
        finally:
            os.close(log)

    async def attach(self, token: str) -> Attachment:
        """Attach to the pipes of a running process. Raises ShimBusy, ShimGone."""
        return await _receive_attachment(self.connect(token), "borrow")

    def connect(self, token: str) -> ShimLink:
        """Connect to a shim. Raises ShimBusy where others wait for it, ShimGone."""
        try:
            connection = sockets.connect(self._run, f"{token}.sock", socket.SOCK_SEQPACKET)
        except BlockingIOError:
            raise ShimBusy("too many others wait for the process's shim") from None
        except OSError as error:
            raise ShimGone(f"the process's shim does not answer: {error.strerror}") from None
        return ShimLink(connection)


async def _reap(starter: int) -> None:
    """Reap the process that started the shim; it exits as soon as it has forked."""
    while os.waitpid(starter, os.WNOHANG) == (0, 0):
        await asyncio.sleep(0.001)
