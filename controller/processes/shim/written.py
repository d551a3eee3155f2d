"""What a shim writes: the log of its adapter, and the record of the process. A full disk ends neither.

Standard library only, loaded by its place on the disk, as `serve.py` is.
"""

from __future__ import annotations

import os
import time

LOG_BYTES = 4 * 1024 * 1024
LOG_KEPT = 3
ENOSPC = 28


def rfc3339() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def stamp_now() -> bytes:
    """Return the time to the millisecond and a space: what a line of the log begins with."""
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now * 1000) % 1000:03}Z ".encode()


class Log:
    """Descriptor 2: appended to, and rotated by size through `LOG_KEPT` older generations.

    `dropped` counts the lines that the disk did not take since the last that it took; they are told of then.
    """

    def __init__(self) -> None:
        self.path = os.readlink("/proc/self/fd/2")
        self.begun = False  # whether the last line has no end yet
        self.dropped = 0
        self._why = ""

    def write(self, data: bytes) -> None:
        """Append, and rotate where due. A full disk loses log lines, never the algorithm."""
        done = 0
        try:
            if self.dropped:
                self._append(f"=== {rfc3339()} {self.dropped} lines were dropped: {self._why} ===\n".encode())
                self.dropped = 0
            done = os.write(2, data)
            if done < len(data):  # a short write on a regular file: the disk is full
                raise OSError(ENOSPC, os.strerror(ENOSPC))
            if os.fstat(2).st_size >= LOG_BYTES:
                self._rotate()
        except OSError as error:  # the pipe must go on being drained: an adapter whose stderr is full stops answering
            if done < len(data):
                self._why = str(error.strerror)
                self.dropped += data.count(b"\n", done) or 1

    def _append(self, note: bytes) -> None:
        if os.write(2, note) < len(note):
            raise OSError(ENOSPC, os.strerror(ENOSPC))

    def add(self, data: bytes) -> None:
        """Append what the adapter wrote, each of its lines with the time at which it came."""
        stamp = stamp_now()
        stamped = data[:-1].replace(b"\n", b"\n" + stamp) + data[-1:]
        self.write(stamped if self.begun else stamp + stamped)
        self.begun = not data.endswith(b"\n")

    def note(self, text: str) -> None:
        self.write(f"=== {rfc3339()} {text} ===\n".encode())

    def _rotate(self) -> None:
        for number in range(LOG_KEPT, 0, -1):
            older = f"{self.path}.{number}"
            newer = f"{self.path}.{number - 1}" if number > 1 else self.path
            if os.path.exists(newer):
                os.rename(newer, older)
        fresh = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(fresh, 2, inheritable=False)
        os.close(fresh)


def stat_of(os_pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; empty where there is no such process."""
    try:
        with open(f"/proc/{os_pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return []


def identity_of(os_pid: int) -> str:
    """Return, as JSON, what identifies a process while the machine is up: its number and its start in clock ticks."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot_id = file.read().strip()
    return f'{{"os_pid": {os_pid}, "start_ticks": {stat_of(os_pid)[19]}, "boot_id": "{boot_id}"}}'


class Record:
    """`RUN/TOKEN.json`. The shim is its only writer, so that it is always whole and never raced for.

    `about` is JSON text from the controller, kept as it is; `exit` is null until the adapter has ended. Where the disk
    takes no record, it is written beside the images, which are in memory; where that does not either, `unsaved` says
    so, and what is here is what counts.
    """

    def __init__(self, folder: int, token: str, about: str, aside: str) -> None:
        self.about = about
        self.exit = "null"
        self.unsaved = False
        self._folder, self._token, self._aside = folder, token, aside
        self._is_aside = False
        self._identities = ""

    def identify(self, adapter: int) -> None:
        """Raises OSError."""
        self._identities = f'"holder": {identity_of(os.getpid())}, "adapter": {identity_of(adapter)}'

    def text(self) -> str:
        return f'{{"token": "{self._token}", {self._identities}, "exit": {self.exit}, "about": {self.about}}}'

    def save(self) -> None:
        """Replace the file, wherever there is room for it."""
        try:
            self._write(self._folder)
            if self._is_aside:
                os.unlink(f"{self._aside}/{self._token}.json")
            self.unsaved = self._is_aside = False
        except OSError:
            self._save_aside()

    def _save_aside(self) -> None:
        try:
            folder = os.open(self._aside, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._write(folder)
            finally:
                os.close(folder)
            self.unsaved, self._is_aside = False, True
        except OSError:
            self.unsaved = True

    def remove(self) -> None:
        """Leave no file behind."""
        for path in (f"/proc/self/fd/{self._folder}", self._aside):
            try:
                os.unlink(f"{path}/{self._token}.json")
            except OSError:
                pass  # it is not there

    def _write(self, folder: int) -> None:
        name = f"{self._token}.json"
        descriptor = os.open(name + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.text().encode())
            os.rename(name + ".tmp", name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            os.unlink(name + ".tmp", dir_fd=folder)
            raise
