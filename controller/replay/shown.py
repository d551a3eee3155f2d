"""What came of one recorded picture, as a value and as a line of a journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from controller.errors import Code
from controller.model.comparison import Agreement, Answer, Difference, Said, compare
from controller.model.last_part import LONGEST_WORDS, PartOutcome, defects_of
from controller.model.recording import RecordedCall

_SAID: Mapping[PartOutcome, Said] = {"OK": "OK", "NG": "NG", "ERROR": "ERROR", "FAILED": "ERROR"}
_NOT_ALIKE = Difference()


def recorded_answer(call: RecordedCall) -> Answer:
    """Return what was recorded of a call: the verdict and the defects, or that there was none."""
    said = _SAID[call.verdict]
    if call.error is not None and call.error.get("code") == Code.timeout:
        said = "TIMEOUT"
    message = str((call.error or {}).get("message") or call.message)
    return Answer(said, tuple(defects_of(call.data.get("defect_rects"))[0]), call.latency_ms, message[:LONGEST_WORDS])


@dataclass(frozen=True, slots=True)
class Shown:
    """One recorded picture: what was said of it before, and what the version says now. `recording` is its id.

    `after` None: it could not be shown. `recorded` is what was recorded, where that is not what is compared with.
    `refused`: why it says nothing of either version, where one of them does not take the recorded arguments.
    """

    recording: str
    pid: str = ""
    request_id: str = ""
    at: str = ""
    before: Answer | None = None
    after: Answer | None = None
    recorded: Answer | None = None
    difference: Difference = _NOT_ALIKE
    refused: str = ""

    def compared(self, iou: float | None) -> Shown:
        """Return it with how the two answers differ."""
        if self.before is None or self.after is None:
            return self
        return replace(self, difference=compare(self.before, self.after, iou))

    def without_places(self) -> Shown:
        """Return it without defects."""
        return replace(self, **{
            name: replace(answer, defects=())
            for name in ("before", "after", "recorded")
            if (answer := getattr(self, name)) is not None
        })  # fmt: skip

    @property
    def counts(self) -> Agreement:
        """What it adds to the counts of a replay."""
        if self.before is None or self.after is None:
            return Agreement(dropped=1)
        bare = Agreement.of(self.before, self.after)
        return replace(bare, newly_ok=int(self.difference.newly_ok), newly_ng=int(self.difference.newly_ng))

    @property
    def tells(self) -> bool:
        """Whether somebody will look at it: the versions differ, or the new one failed where the other did not."""
        counts = self.counts
        return bool(self.difference) or bool(counts.errors or counts.timeouts)

    def to_document(self) -> dict[str, Any]:
        """Return its line; what is empty is left out."""
        answers = {name: _document(getattr(self, name)) for name in ("before", "after", "recorded")}
        document = {
            "recording": self.recording, "pid": self.pid, "request_id": self.request_id, "at": self.at, **answers,
            "newly_ok": self.difference.newly_ok, "newly_ng": self.difference.newly_ng, "refused": self.refused,
        }  # fmt: skip
        return {name: value for name, value in document.items() if value not in ("", None, False)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Shown:
        """Return what `to_document` wrote. Raises ValueError, KeyError, TypeError."""
        before, after, recorded = (_answer(document.get(name)) for name in ("before", "after", "recorded"))
        return cls(
            document["recording"], document.get("pid", ""), document.get("request_id", ""), document.get("at", ""),
            before, after, recorded,
            Difference(document.get("newly_ok", False), document.get("newly_ng", False)), document.get("refused", ""),
        )  # fmt: skip


def _document(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    said = {"said": answer.said, "latency_ms": answer.latency_ms, "message": answer.message}
    found = {**said, "defects": list(answer.defects)}
    return {name: value for name, value in found.items() if value not in ("", None, [])}


def _answer(document: Mapping[str, Any] | None) -> Answer | None:
    if document is None:
        return None
    return Answer(
        document["said"], tuple(document.get("defects", ())), document.get("latency_ms"), document.get("message", "")
    )
