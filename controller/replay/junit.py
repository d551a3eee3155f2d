"""A replay as JUnit XML, for CI: a test case for each picture. One that differs has failed, whatever the limits say.

A version that failed as a whole has a case of its own, an error; pictures that were not shown have one that is skipped.

The format is that of https://github.com/testmoapp/junitxml, which the readers of CI systems agree on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from controller.replay.words import said

if TYPE_CHECKING:
    from controller.replay.document import AnswerRow, PictureRow, ReplayDocument

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to say."""
_WORDS: Mapping[str, str] = {
    "newly_ok": "was NG, or had a defect more, and is OK now",
    "newly_ng": "was OK, or had a defect less, and is NG now",
    "both": "a defect is not found any more, and another one is",
    "error": "the version failed at it",
    "timeout": "the version gave no answer in time",
}


def junit(document: ReplayDocument) -> str:
    """Return a replay as the text of an XML file."""
    rows = document["pictures"]
    failed = [row for row in rows if row["outcome"] in {"newly_ok", "newly_ng", "both"}]
    broken = [row for row in rows if row["outcome"] in {"error", "timeout"}]
    skipped = [row for row in rows if _is_skipped(row)]
    whole, missing = bool(document["failure"]), document["wanted"] - len(rows)
    counts = {
        "tests": len(rows) + whole + (missing > 0),
        "failures": len(failed),
        "errors": len(broken) + whole,
        "skipped": len(skipped) + (missing > 0),
    }
    seconds = sum(map(_seconds, rows))
    attributes = {name: str(number) for name, number in counts.items()} | {"time": f"{seconds:.3f}"}
    suites = Element("testsuites", attributes)
    suite = SubElement(suites, "testsuite", {"name": f"replay of {document['package']}"} | attributes)
    _properties(suite, document)
    for row in rows:
        _case(suite, row)
    if whole:
        SubElement(_of_all(suite, "the version as a whole"), "error", {
            "type": "failure", "message": _text(document["failure"]),
        })  # fmt: skip
    if missing > 0:
        words = f"{missing} of {document['wanted']} were not shown"
        SubElement(_of_all(suite, "the other pictures"), "skipped", {"message": words})
    indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suites, encoding="unicode") + "\n"


def _of_all(suite: Element, name: str) -> Element:
    return SubElement(suite, "testcase", {"classname": "version", "name": name, "time": "0.000"})


def _is_skipped(row: PictureRow) -> bool:
    return row["outcome"] == "dropped" or (row["excused"] and row["outcome"] == "same")


def _properties(suite: Element, document: ReplayDocument) -> None:
    found = SubElement(suite, "properties")
    plain = ("deployment", "package", "baseline", "wanted", "compared", "within_limits", "failure", "memory_bytes")
    values: dict[str, object] = {name: document[name] for name in plain}  # type: ignore[literal-required]
    for name in ("newly_ok", "newly_ng", "errors"):
        share = document[name]
        values |= {name: share["share"], f"{name}_limit": share["limit"]}
    for name, value in values.items():
        SubElement(found, "property", {"name": name, "value": _text(str(value))})


def _case(suite: Element, row: PictureRow) -> None:
    name = " ".join(filter(None, (row["recording"], row["request_id"])))
    case = SubElement(suite, "testcase", {
        "classname": _text(row["pid"] or "unknown"), "name": _text(name), "time": f"{_seconds(row):.3f}",
    })  # fmt: skip
    if _is_skipped(row):
        SubElement(case, "skipped", {"message": _text(_why_skipped(row))})
    elif row["outcome"] != "same":
        kind = "error" if row["outcome"] in {"error", "timeout"} else "failure"
        words = f"{_WORDS[row['outcome']]}: {said(row['before'])} → {said(row['after'])}"
        element = SubElement(case, kind, {"type": row["outcome"], "message": _text(words)})
        element.text = _text(f"before: {_full(row['before'])}\nafter: {_full(row['after'])}\nrecorded at {row['at']}")


def _why_skipped(row: PictureRow) -> str:
    if row["refused"]:
        return f"the recorded arguments are not taken: {row['refused']}"
    return "it could not be shown" if row["outcome"] == "dropped" else "there was no verdict to compare with"


def _seconds(row: PictureRow) -> float:
    return ((row["after"]["latency_ms"] if row["after"] else None) or 0) / 1000


def _full(answer: AnswerRow | None) -> str:
    if answer is None:
        return "nothing"
    places = ", ".join(
        f"{each['label'] or 'defect'} at {each['x']:g},{each['y']:g} {each['width']:g}×{each['height']:g}"
        for each in answer["defects"]
    )
    return "; ".join(filter(None, (answer["said"], answer["message"], places)))


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
