"""What shadowed versions said of the line's pictures, kept across restarts."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from controller.errors import StoreError
from controller.model.comparison import Agreement, Answer, Difference
from controller.model.package import PackageRef
from controller.model.replay import DifferingPicture
from controller.model.tally import Counted
from controller.store.layout import StoreLayout

Agreements = Mapping[Counted, Agreement]
Differing = Mapping[str, tuple[DifferingPicture, ...]]


class ShadowStore:
    """The counts of one store's shadows. `save` lets them survive the controller's death, as `TallyStore` does.

    On the disk before it is renamed, so that a power cut costs the last counts and not all of them: it has them as they
    were then, or a moment before. A file that is damaged all the same costs counts, never a decision (those are in
    `rollouts/`).
    """

    def __init__(self, layout: StoreLayout) -> None:
        self._path = layout.rollouts / ".shadows.json"
        self.agreements: Agreements = {}
        self.differing: Differing = {}
        self._saved: tuple[Agreements, Differing] = ({}, {})

    def load(self) -> tuple[Agreements, Differing]:
        """Return what an earlier life counted; nothing where there is nothing, or it cannot be understood."""
        try:
            document = json.loads(self._path.read_bytes())
            self.agreements = {
                (row["pid"], PackageRef(row["name"], row["version"])): Agreement.from_document(row["counts"])
                for row in document["agreements"]
            }
            self.differing = {
                name: tuple(map(parse_picture, pictures)) for name, pictures in document["differing"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            self.agreements, self.differing = {}, {}
        self._saved = self.agreements, self.differing
        return self._saved

    def note(self, agreements: Agreements, differing: Differing) -> None:
        """Take the counts as of now."""
        self.agreements, self.differing = agreements, differing

    def save(self) -> None:
        """Write down what was noted, where it has changed. Raises StoreError; calls and verdicts go on without."""
        agreements, differing = self.agreements, self.differing
        if (agreements, differing) == self._saved:
            return
        rows = [
            {"pid": pid, "name": ref.name, "version": ref.version, "counts": counts.to_document()}
            for (pid, ref), counts in agreements.items()
        ]
        pictures = {name: [asdict(each) for each in found] for name, found in differing.items()}
        content = json.dumps({"agreements": rows, "differing": pictures}).encode()
        temporary = self._path.with_suffix(".tmp")
        try:
            _write(temporary, content)
            temporary.replace(self._path)
        except OSError as error:
            with suppress(OSError):  # its room is wanted by others; the first error is the one to report
                temporary.unlink()
            raise StoreError(f"cannot write {self._path}: {error.strerror or error}") from error
        self._saved = agreements, differing


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        if os.write(descriptor, content) != len(content):  # a short write on a regular file: the disk is full
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def parse_picture(document: Mapping[str, Any]) -> DifferingPicture:
    """Return what `asdict` made of a picture. Raises KeyError or TypeError where it is none."""
    before, after = (_parse_answer(document[side]) for side in ("before", "after"))
    return DifferingPicture(
        document["pid"], document["request_id"], document["recording"], document["at"], before, after,
        Difference(**document["difference"]),
    )  # fmt: skip


def _parse_answer(document: Mapping[str, Any]) -> Answer:
    return Answer(document["said"], tuple(document["defects"]), document["latency_ms"], document["message"])
