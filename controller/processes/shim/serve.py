"""What a shim does once its adapter runs: the loop that keeps it, hands out its pipes and ends it.

Standard library only: `shim.py` loads it, and `written.py` for it, by their place on the disk. It loads
while the adapter does, so it takes the built-in modules under `socket` and `signal`, and leaves JSON to the controller:
what the record says about the process is text that the shim keeps and never reads. Protocol on the socket, one
packet a message: see `Shim.answer`.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import _socket as socket
import os
import select
import sys
import time

TYPE_CHECKING = False  # as type checkers know it; importing typing would cost 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from controller.processes.shim.shim import Adapter
    from controller.processes.shim.written import Log, Record, rfc3339, stat_of
else:
    from written import Log, Record, rfc3339, stat_of

PROTOCOL = 1
GRACE = 2.0
"""Seconds between the steps of ending: shutdown frame, SIGTERM, SIGKILL."""
SAVE_AGAIN = 1.0
"""Seconds between two attempts to save a record for which there was no room."""
UNKILLABLE = 5.0
"""Seconds after which a process that survives SIGKILL (it waits for a device) no longer keeps the shim."""
SHUTDOWN_FRAME = b'\0\0\0\x13{"type":"shutdown"}'


def send(connection: socket.socket, text: str, *descriptors: int) -> None:
    """Send a packet, and descriptors with it. Raises OSError."""
    rights = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    connection.sendmsg([text.encode()], ancillary)


def descendants_of(os_pid: int) -> list[int]:
    """Return the processes below `os_pid`. As their subreaper we inherit those that try to get away."""
    children: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:  # no more files to open: it is asked again
        return []
    for name in names:
        if name.isdigit() and (stat := stat_of(int(name))):
            children.setdefault(int(stat[1]), []).append(int(name))
    found, waiting = [], list(children.get(os_pid, ()))
    while waiting:
        child = waiting.pop()
        found.append(child)
        waiting += children.get(child, ())
    return found


class Shim:
    """The loop: connections, the adapter's stderr, signals, and the steps of ending."""

    def __init__(self, adapter: Adapter, record: Record, folder: int, token: str) -> None:

        self.adapter = adapter
        self.record = record
        self.log = Log()
        self.poll = select.poll()
        self.handlers: dict[int, Callable[[], None]] = {}
        self.connections: dict[int, socket.socket] = {}
        self.attached: int | None = None
        self.steps: list[Callable[[], None]] = []  # of ending, still to be done
        self.due: float | None = None  # monotonic time of the next of them
        self.grace = GRACE
        self.ending = False
        self.killing = False
        self.over = False
        self.proven = False
        self.starter = -1
        self.abandoned = False
        self._folder, self._socket_name = folder, f"{token}.sock"
        os.set_blocking(adapter.stderr, False)
        self.watch(adapter.stderr, self.drain)

    def watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        self.poll.register(descriptor, 1)  # POLLIN; errors and hang-ups are reported always
        self.handlers[descriptor] = handler

    def unwatch(self, descriptor: int) -> None:
        if self.handlers.pop(descriptor, None) is not None:
            self.poll.unregister(descriptor)

    def listen(self) -> None:
        """Open the socket. Through the folder's descriptor, because a socket's path is limited to 107 bytes."""

        os.umask(0o177)
        try:
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.listener.bind(f"/proc/self/fd/{self._folder}/{self._socket_name}")
            self.listener.listen(8)
        except OSError as error:  # who is attached has the adapter; the next controller will start another one
            self.log.note(f"nobody else can attach to this process: {error}")
        else:
            self.watch(self.listener.fileno(), self.accept)

    def accept(self) -> None:
        try:
            descriptor, _ = self.listener._accept()  # type: ignore[attr-defined]
        except OSError:  # no more files to open, or it is gone again
            time.sleep(0.02)
            return
        connection = socket.socket(fileno=descriptor)
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if int.from_bytes(credentials[4:8], sys.byteorder) != os.getuid():
            connection.close()
        else:
            self.connect(connection)

    def connect(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connections[connection.fileno()] = connection
        self.watch(connection.fileno(), lambda: self.receive(connection))

    def disconnect(self, connection: socket.socket) -> None:
        descriptor = connection.fileno()
        self.unwatch(descriptor)
        self.connections.pop(descriptor, None)
        if self.attached == descriptor:
            self.attached = None
        connection.close()
        if descriptor == self.starter and not self.proven:  # nobody adopts what was never proven
            self.abandoned = True
            self.end(0)

    def receive(self, connection: socket.socket) -> None:

        try:
            packet = connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self.disconnect(connection)
            return
        try:
            op, _, argument = packet.decode().partition(" ")
            self.answer(connection, op, argument)
        except ValueError as error:
            self.send(connection, f"error not understood: {error}")
        except OSError as error:
            self.send(connection, f"error {error}")

    def answer(self, connection: socket.socket, op: str, argument: str) -> None:
        """Answer one request: with `ok` and a JSON object, or with `error` or `busy` and a reason.

        `info` → `{protocol, borrowed, record}`; `borrow` attaches → the same with stdin, stdout and a pidfd of the
        adapter as descriptors, or `busy` (protocol 1 keeps these words, since shims outlive controllers); `mark JSON`
        (who is attached only) replaces what the record says about the process; `terminate SECONDS` begins to end the
        adapter: shutdown frame (unless somebody is attached), SIGTERM, SIGKILL, each so many seconds after the one
        before; for 0 SIGKILL at once. Every connection hears `exit JSON` at the end.
        """
        if op == "info":
            self.send(connection, self.state())
        elif op == "borrow":
            self.attach(connection)
        elif op == "mark" and self.attached == connection.fileno():
            self.record.about, self.proven = argument, True
            self.record.save()
            self.send(connection, "ok {}")
        elif op == "terminate":
            self.end(float(argument))
            self.send(connection, "ok {}")
        else:
            self.send(connection, f"error {op!r} is unknown or not allowed")

    def state(self) -> str:
        attached = "false" if self.attached is None else "true"
        return f'ok {{"protocol": {PROTOCOL}, "borrowed": {attached}, "record": {self.record.text()}}}'

    def attach(self, connection: socket.socket) -> None:
        if self.attached not in {None, connection.fileno()}:
            self.send(connection, "busy another connection has the pipes")
            return
        self.attached = connection.fileno()
        pidfd = os.pidfd_open(self.adapter.os_pid)
        self.send(connection, self.state(), self.adapter.stdin, self.adapter.stdout, pidfd)
        os.close(pidfd)

    def send(self, connection: socket.socket, answer: str, *descriptors: int) -> None:
        try:
            send(connection, answer, *descriptors)
        except OSError:  # it is gone or does not read: either way it is no peer any more
            self.disconnect(connection)

    def drain(self) -> None:
        try:
            data = os.read(self.adapter.stderr, 65536)
        except BlockingIOError:
            return
        if data:
            self.log.add(data)
        else:
            self.unwatch(self.adapter.stderr)

    def end(self, grace: float) -> None:
        """Begin to end the adapter, or hurry it up where that has begun."""
        self.grace = grace
        if grace <= 0:
            self.steps = [self.kill]
        elif not self.ending:
            self.steps = [self.stop, self.kill]
            if self.attached is None:  # who is attached may be in the middle of a frame, and asks the adapter itself
                self.steps.insert(0, self.ask)
        self.ending = True
        self.due = 0.0 if self.steps else None

    def ask(self) -> None:
        os.set_blocking(self.adapter.stdin, False)
        try:
            os.write(self.adapter.stdin, SHUTDOWN_FRAME)
        except OSError:
            pass  # it does not read, or is gone: the next step does not need its help

    def stop(self) -> None:
        self.signal_all(signal.SIGTERM)

    def kill(self) -> None:
        self.signal_all(signal.SIGKILL)

    def signal_all(self, number: int) -> None:
        """Signal the adapter's group, and those that left it. The unreaped adapter keeps the group's number ours."""
        try:
            os.killpg(self.adapter.os_pid, number)
        except OSError:
            pass  # not even a dead member is left
        for os_pid in descendants_of(os.getpid()):
            try:
                os.kill(os_pid, number)
            except OSError:
                pass  # it ended meanwhile

    def reap(self) -> None:
        """Take note of the adapter's end; reap orphans that we inherited."""
        me = str(os.getpid())
        for os_pid in descendants_of(os.getpid()):
            stat = stat_of(os_pid)
            if os_pid != self.adapter.os_pid and stat[:2] == ["Z", me]:
                os.waitpid(os_pid, os.WNOHANG)
        if os.waitid(os.P_PID, self.adapter.os_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) and not self.killing:
            self.killing = True
            self.finish()

    def finish(self) -> None:
        """The adapter has ended: end what is left of it, record it, tell everybody."""

        until = time.monotonic() + UNKILLABLE
        while left := [os_pid for os_pid in descendants_of(os.getpid()) if os_pid != self.adapter.os_pid]:
            self.signal_all(signal.SIGKILL)
            self.reap()
            if time.monotonic() > until:
                break
            time.sleep(0.001)
        _, status = os.waitpid(self.adapter.os_pid, 0)
        code = os.waitstatus_to_exitcode(status)
        how = f'"code": {code}, "signal": null' if code >= 0 else f'"code": null, "signal": {-code}'
        self.record.exit = f'{{{how}, "at": "{rfc3339()}", "left": {left}}}'
        while self.adapter.stderr in self.handlers and self.has_output():
            self.drain()
        self.log.note(f"process {self.adapter.os_pid} ended: " + (f"exit {code}" if code >= 0 else f"signal {-code}"))
        self.over = True
        if self.abandoned:
            self.record.remove()
        else:
            self.record.save()
        try:
            os.unlink(self._socket_name, dir_fd=self._folder)
        except OSError:
            pass  # somebody tidied up
        for connection in list(self.connections.values()):
            self.send(connection, f"exit {self.record.exit}")

    def has_output(self) -> bool:

        return bool(select.select([self.adapter.stderr], [], [], 0)[0])

    def serve(self) -> None:
        """Work until the adapter has ended."""

        woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self.watch(woken, lambda: self.on_signals(os.read(woken, 4096)))
        self.reap()  # it may have ended before the handlers stood
        while not self.over:
            wait = SAVE_AGAIN if self.record.unsaved else None
            if self.due is not None:
                wait = max(0.0, self.due - time.monotonic())
            for descriptor, _ in self.poll.poll(None if wait is None else wait * 1000):
                if descriptor in self.handlers and not self.over:
                    self.handlers[descriptor]()
            if self.record.unsaved and not self.over:
                self.record.save()
            if self.due is not None and time.monotonic() >= self.due and not self.over:
                self.steps.pop(0)()
                self.due = time.monotonic() + self.grace if self.steps else None

    def on_signals(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers:
            self.end(GRACE)
        self.reap()


def serve(adapter: Adapter, arguments: Sequence[str], starter: int) -> None:
    """Serve a launched adapter for `shim.py`, whose arguments these are; `starter` is the first connection."""
    title, run, token, about = arguments
    connection = socket.socket(fileno=starter)
    if adapter.failure:
        send(connection, f"error {adapter.failure}")
        return
    try:
        run_folder = os.open(run, os.O_RDONLY | os.O_DIRECTORY)
        os.chdir("/")
        record = Record(run_folder, token, about, os.environ.get("PROC_SHM_DIR", ""))
        record.identify(adapter.os_pid)
        shim = Shim(adapter, record, run_folder, token)
    except OSError as error:  # our end takes the adapter along
        send(connection, f"error {error}")
        return
    shim.listen()
    shim.log.note(f"{title} started as process {adapter.os_pid}")
    record.save()
    shim.starter = starter
    shim.connect(connection)
    shim.attach(connection)
    shim.serve()
