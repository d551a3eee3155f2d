"""The controller's side of the holder's socket: start a holder, borrow the adapter's pipes, have the adapter ended."""

from __future__ import annotations

import asyncio
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
from controller.runner.records import Exit, ProcessRecord

_SCRIPT = str(Path(__file__).with_name("holder.py"))
_PACKET = 65536


class HolderBusy(ControllerError):
    """Somebody else has borrowed the pipes."""


class HolderGone(ControllerError):
    """There is no holder, or it went away, or it could not do what it was asked to."""


class HolderLink:
    """One connection to a holder.

    `on_exit` is called once: with the adapter's exit, or None when the holder went away without a word. `closed` is
    done when the holder has ended or the link was closed.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._answers: deque[asyncio.Future[tuple[str, list[int]]]] = deque()
        self.on_exit: Callable[[Exit | None], None] = lambda _: None
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(connection.fileno(), self._receive)

    async def request(self, request: str | None) -> tuple[dict[str, Any], list[int]]:
        """Send a request (None: only wait, the holder speaks first) and return its answer and what it lends.

        Raises:
            HolderBusy, HolderGone
        """
        if self._connection.fileno() < 0:
            raise HolderGone("the process's holder has ended")
        if request is not None:
            try:
                self._connection.send(request.encode())
            except OSError as error:
                raise HolderGone(f"the process's holder does not listen: {error.strerror}") from None
        answer = self._loop.create_future()
        self._answers.append(answer)
        text, lent = await answer
        kind, _, rest = text.partition(" ")
        if kind != "ok":
            raise (HolderBusy if kind == "busy" else HolderGone)(rest)
        return json.loads(rest), lent

    def _receive(self) -> None:
        try:
            packet, lent, _, _ = socket.recv_fds(self._connection, _PACKET, 3, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            packet, lent = b"", []
        text = packet.decode("utf-8", "replace")
        if not text:
            self._broken()
        elif text.startswith("exit "):
            ended = json.loads(text.removeprefix("exit "))
            self._ended(Exit(ended["code"], ended["signal"], ended["at"]))
        elif self._answers and not (answer := self._answers.popleft()).done():
            answer.set_result((text, lent))
        else:  # whoever asked has given up
            close_all(lent)

    def _broken(self) -> None:
        self.close()
        self._ended(None)

    def _ended(self, ended: Exit | None) -> None:
        callback, self.on_exit = self.on_exit, lambda _: None
        callback(ended)

    def close(self) -> None:
        """Give back what was borrowed."""
        if self._connection.fileno() >= 0:
            self._loop.remove_reader(self._connection.fileno())
            self._connection.close()
            self.closed.set_result(None)
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(HolderGone("the process's holder has ended"))
        self._answers.clear()


def close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Loan:
    """An adapter's pipe ends and a pidfd of it, ours until the link is closed."""

    link: HolderLink
    record: ProcessRecord
    stdin: int
    stdout: int
    pidfd: int


async def _receive_loan(link: HolderLink, request: str | None) -> Loan:
    try:
        document, lent = await link.request(request)
        stdin, stdout, pidfd = lent
        return Loan(link, ProcessRecord.from_document(document["record"]), stdin, stdout, pidfd)
    except BaseException:
        link.close()
        raise


@dataclass(frozen=True, slots=True)
class Launch:
    """What a holder is started with. `title` is what `ps` shows; `about` goes into the record."""

    title: str
    token: str
    command: Sequence[str]
    working_directory: str
    environment: Mapping[str, str]
    log_path: Path
    about: Mapping[str, Any]


class Holders:
    """Starts and reaches the holders of one store. `python` is the interpreter that they run on."""

    def __init__(self, run: Path, python: str) -> None:
        self._run = run
        self._python = python

    async def start(self, launch: Launch) -> Loan:
        """Start a holder and its adapter and borrow the pipes.

        Raises:
            HolderGone: the adapter could not be executed; the message says why.
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
            return await _receive_loan(HolderLink(ours), None)
        finally:
            await _reap(starter)

    def _spawn(self, launch: Launch, connection: socket.socket) -> int:
        launch.log_path.parent.mkdir(parents=True, exist_ok=True)
        arguments = [
            self._python, "-I", "-S", _SCRIPT, launch.title, str(self._run), launch.token,
            json.dumps(launch.about), launch.working_directory, *launch.command,
        ]  # fmt: skip
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.posix_spawn(
            self._python,
            arguments,
            launch.environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, connection.fileno(), 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_OPEN, 2, str(launch.log_path), append, 0o644),
            ],
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGCHLD],
        )

    async def borrow(self, token: str) -> Loan:
        """Borrow the pipes of a running process. Raises HolderBusy, HolderGone."""
        return await _receive_loan(self.connect(token), "borrow")

    def connect(self, token: str) -> HolderLink:
        """Connect to a holder, through the folder's descriptor: a socket's path is limited to 107 bytes.

        Raises:
            HolderGone
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            folder = os.open(self._run, os.O_RDONLY | os.O_DIRECTORY)
            try:
                connection.connect(f"/proc/self/fd/{folder}/{token}.sock")
            finally:
                os.close(folder)
        except OSError as error:
            connection.close()
            raise HolderGone(f"the process's holder does not answer: {error.strerror}") from None
        return HolderLink(connection)


async def _reap(starter: int) -> None:
    """Reap the process that started the holder; it exits as soon as it has forked."""
    while os.waitpid(starter, os.WNOHANG) == (0, 0):
        await asyncio.sleep(0.001)
