"""Logs: the daemon's, one JSON object a line with PID, package and revision on each, and a command's, for people.

The daemon's lines are written by a thread of their own: whoever logs never waits for the disk or for who reads stderr.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path

from controller.host.terminal import printable_json, printable_lines, sayable
from controller.model.timestamps import format_timestamp

_FIELDS = ("pid", "package", "revision")
_BYTES, _GENERATIONS = 10 * 2**20, 5
_WAITING = 10_000
"""Lines that may wait for a disk that does not answer; what comes then is let go."""
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
"""From each level on, the journal's priority: sd-daemon(3)."""


class JsonFormatter(logging.Formatter):
    """Writes a record as JSON. What it is about comes in `extra`: pid, package and revision, null where unknown.

    What a terminal would obey is written as JSON's own escapes; so is, with `ascii_only`, all that is not ASCII.
    """

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._ascii_only = ascii_only

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": format_timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name, None) for name in _FIELDS}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        elif traceback := getattr(record, "traceback", ""):  # an algorithm's, from its own process
            line["exception"] = traceback
        return printable_json(json.dumps(line, ensure_ascii=self._ascii_only, default=str))


class JournalFormatter(logging.Formatter):
    """Puts the priority before a line, so that `journalctl -p warning` finds it: sd-daemon(3)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return f"<{priority}>{super().format(record)}"


class LogFile(RotatingFileHandler):
    """A log file, rotated by size. What a full disk does not take is on stderr all the same, and is no news there."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Let a line go that the disk does not take."""

    def close(self) -> None:
        """Close the file; what the disk does not take at the end is let go, too."""
        with suppress(OSError):
            super().close()


class _Lines(QueueHandler):
    """Makes the line where it is logged, while what it is about is as it was, and hands it to the writing thread."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a record whose message is the whole line."""
        line = self.format(record)
        return logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, line, None, None)

    def handleError(self, record: logging.LogRecord) -> None:
        """Let a line go that finds too many waiting."""


@contextmanager
def logging_to(path: Path | None, level: str) -> Iterator[None]:
    """Send the log to stderr and, where there is a path, to a file that is rotated by size, for the block's time.

    What was logged is written when the block ends.
    """
    stderr = logging.StreamHandler()
    stderr.setFormatter(JournalFormatter() if _is_journal() else None)
    handlers: list[logging.Handler] = [stderr]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(LogFile(path, maxBytes=_BYTES, backupCount=_GENERATIONS, encoding="utf-8"))
    lines: queue.Queue[logging.LogRecord] = queue.Queue(_WAITING)
    front = _Lines(lines)
    logging.basicConfig(level=level.upper(), handlers=[front], force=True)
    front.setFormatter(JsonFormatter(ascii_only=not sayable("\N{REPLACEMENT CHARACTER}", sys.stderr)))
    listener = QueueListener(lines, *handlers)
    listener.start()
    try:
        yield
    finally:
        logging.getLogger().removeHandler(front)
        with suppress(queue.Full):  # the disk stands still: there is nothing more to be had
            listener.stop()
        for handler in handlers:
            handler.close()


class PeopleFormatter(logging.Formatter):
    """Writes a record as lines for people, with nothing in it that a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines, without an end."""
        return printable_lines(f"{record.levelname.lower()}: {super().format(record)}")


def log_of_a_command(level: str) -> None:
    """Send the log of a command to stderr, but for what whoever asked is told anyway (`reconciler.acts.REPORTED`)."""
    handler = logging.StreamHandler()
    handler.setFormatter(PeopleFormatter())
    handler.addFilter(lambda record: not getattr(record, "reported", False))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _is_journal() -> bool:
    """Whether stderr goes to the journal: systemd names the device and inode that it gave."""
    try:
        stderr = os.fstat(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # its owner closed it, or put something else there
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"
