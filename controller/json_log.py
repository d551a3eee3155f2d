"""Structured logs: one JSON object a line, with PID, package and revision on every line."""

from __future__ import annotations

import json
import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from controller.model.timestamps import format_timestamp

_FIELDS = ("pid", "package", "revision")
_BYTES, _GENERATIONS = 10 * 2**20, 5


class JsonFormatter(logging.Formatter):
    """Writes a record as JSON. What it is about comes in `extra`: pid, package and revision, null where unknown."""

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
        return json.dumps(line, ensure_ascii=False, default=str)


class LogFile(RotatingFileHandler):
    """A log file, rotated by size. What a full disk does not take is on stderr all the same, and is no news there."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Let a line go that the disk does not take."""


def log_to(path: Path | None, level: str) -> None:
    """Send the controller's log to stderr and, where there is a path, to a file that is rotated by size."""
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(LogFile(path, maxBytes=_BYTES, backupCount=_GENERATIONS, encoding="utf-8"))
    logging.basicConfig(level=level.upper(), handlers=handlers, force=True)
    for handler in handlers:
        handler.setFormatter(JsonFormatter())
