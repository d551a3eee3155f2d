"""What a call came to, as what a version said of the picture: for who compares two versions."""

from __future__ import annotations

from controller.client.answers import Detection
from controller.errors import CallError
from controller.model.comparison import Answer
from controller.model.last_part import LONGEST_WORDS, defects_of, outcome_of
from controller.model.tally import Kind, classify


def answer_of(outcome: Detection | CallError) -> Answer | None:
    """Return what a version said of a picture; None where that is no word of the version's.

    None: the call was refused, its caller left, or its picture could not be handed over. An algorithm's own ERROR, an
    exception, and a process that ended or spoke garbage are its ERROR.
    """
    if isinstance(outcome, Detection):
        said, what = outcome_of(outcome.status, outcome.data.get("result_status"))
        defects, _ = defects_of(outcome.data.get("defect_rects"))
        words = (what or outcome.message)[:LONGEST_WORDS]
        return Answer("ERROR" if said == "FAILED" else said, tuple(defects), outcome.latency_ms, words)
    kind = classify(outcome.code)
    if kind is Kind.ignored or outcome.details.get("caller_timeout"):
        return None
    return Answer("TIMEOUT" if kind is Kind.timeout else "ERROR", message=outcome.message[:LONGEST_WORDS])
