"""What shadowed versions said of the line's pictures, kept across restarts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
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

    Written by rename without fsync: a torn or lost file costs counts, never a decision (those are in `rollouts/`).
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
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
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
        temporary = self._path.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps({"agreements": rows, "differing": pictures}), encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror or error}") from error
        self._saved = agreements, differing


def parse_picture(document: Mapping[str, Any]) -> DifferingPicture:
    """Return what `asdict` made of a picture. Raises KeyError or TypeError where it is none."""
    before, after = (_parse_answer(document[side]) for side in ("before", "after"))
    return DifferingPicture(
        document["pid"], document["request_id"], document["recording"], document["at"], before, after,
        Difference(**document["difference"]),
    )  # fmt: skip


def _parse_answer(document: Mapping[str, Any]) -> Answer:
    return Answer(document["said"], tuple(document["defects"]), document["latency_ms"], document["message"])
