"""`pvctl` in a terminal of a given size: what stands on the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from collections.abc import Callable, Sequence

from tests.waiting import HANGS, PATIENCE, Deadline

_HOME = "\x1b[H"


def screens(command: Sequence[str], columns: int, lines: int, enough: Callable[[str], bool]) -> str:
    """Run a command in a terminal until what it wrote is `enough`, or it ends; return what it wrote."""
    person, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env={**os.environ, "TERM": "xterm-256color"}
    )
    os.close(terminal)
    try:
        return _read(person, enough)
    finally:
        process.terminate()  # SIGINT is ignored by what a shell began in the background
        _read(person, lambda _: False)
        process.wait(HANGS)
        os.close(person)


def _read(person: int, enough: Callable[[str], bool]) -> str:
    written, deadline = b"", Deadline(PATIENCE)
    while not enough(text := written.decode(errors="replace")):
        assert not deadline.over(), text[-4000:]
        if select.select([person], [], [], 0.2)[0]:
            try:
                piece = os.read(person, 1 << 16)
            except OSError:  # nobody has the other end any more
                break
            written += piece
    return written.decode(errors="replace")


def last_screen(written: str) -> list[str]:
    """Return the lines of the last whole screen that `pvctl status --watch` drew, without colours."""
    frames = [each for each in written.split(_HOME)[1:] if "\x1b[J" in each]
    text = frames[-1].partition("\x1b[J")[0].replace("\x1b[K", "")
    return [re.sub(r"\x1b\[[\d;]*m", "", line).rstrip() for line in text.split("\r\n")]
