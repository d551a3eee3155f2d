"""`registry.json`: the packages that this store knows and their state. Derived from zips and receipts: repairable."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import orjson

from controller.model.package import PackageRecord, Verdict
from controller.store.atomic import write_if_changed
from controller.store.layout import StoreLayout


class Registry:
    """Reads and writes one store's registry."""

    def __init__(self, layout: StoreLayout) -> None:
        self._path = layout.registry
        self._writing = threading.Lock()  # what is written later and what repairs it may come at once

    def read(self) -> tuple[PackageRecord, ...] | None:
        """Return the records; None where the file is lost, cannot be read or is not understood: all can be derived."""
        try:
            return tuple(_record(row) for row in orjson.loads(self._path.read_bytes())["packages"])
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            return None

    def written_at(self) -> int:
        """Return when the file was last written, in ns of the disk's clock; 0 where it cannot be looked at."""
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0

    def write(self, records: Iterable[PackageRecord]) -> bool:
        """Write the records where they differ from what is there; return whether they did. Raises StoreError."""
        rows = [_row(record) for record in sorted(records, key=_order)]
        content = orjson.dumps({"packages": rows}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        with self._writing:
            return write_if_changed(self._path, content, orjson.loads)


def _order(record: PackageRecord) -> tuple[str, str, str]:
    return record.name, record.version, record.zip_name or ""


def _row(record: PackageRecord) -> dict[str, Any]:
    """Return a record as it is written; without a verdict as the releases before have it."""
    row = asdict(record)
    if record.verdict is None:
        del row["verdict"]
    return row


def _record(row: dict[str, Any]) -> PackageRecord:
    for key in ("supported_pids", "fingerprint"):
        if row[key] is not None:
            row[key] = tuple(row[key])
    verdict = row.get("verdict")
    return PackageRecord(**{**row, "verdict": verdict and Verdict(**verdict)})
