"""A replay as one HTML file: what it came to, and each differing picture twice, with the defects of both versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from controller.model.recording import RecordedCall, RecordingFilter
from controller.recordings.drawing import Group, View, document, figure, rendered
from controller.replay.words import facts, limits, matrix

if TYPE_CHECKING:
    from controller.recordings.source import RecordingSource
    from controller.replay.document import AnswerRow, PictureRow, ReplayDocument

MOST_PICTURES = 100
"""Pictures on a page: of the others it has a row."""
_MOST_PIXELS = 2_000_000
_FIRST = ("newly_ok", "both", "newly_ng", "error", "timeout")


def page_of(replay: ReplayDocument, source: RecordingSource) -> str:
    """Return the page; what lets parts pass comes first. Blocks. Raises StoreError."""
    rows = sorted(replay["differing"], key=lambda row: (_FIRST.index(row["outcome"]), row["recording"]))
    shown = rows[:MOST_PICTURES]
    ids = frozenset(row["recording"] for row in shown)
    calls = {call.id: call for call in source.calls(RecordingFilter(ids=ids))} if ids else {}
    title = f"Replay of {replay['package']}"
    figures = [
        (row, _figure(replay, row, number, calls.get(row["recording"]), source)) for number, row in enumerate(shown)
    ]
    body = rendered(
        "replay.html", title=title, replay=replay, facts=facts(replay), limits=limits(replay), matrix=matrix(replay),
        figures=figures, rest=rows[MOST_PICTURES:],
    )  # fmt: skip
    return document(title, body)


def _figure(
    replay: ReplayDocument, row: PictureRow, number: int, call: RecordedCall | None, source: RecordingSource
) -> str:
    """Return a differing picture as HTML; empty where it is gone by now."""
    pictures = source.pictures(call) if call is not None else None
    if call is None or pictures is None:
        return ""
    views = list(_views(replay, row))
    return figure(
        pictures.image, views, key=f"picture-{number}", color_space=call.image.color_space, most_pixels=_MOST_PIXELS
    )


def _views(replay: ReplayDocument, row: PictureRow) -> Iterator[View]:
    for look, name, answer in ((0, replay["baseline"], row["before"]), (1, replay["package"], row["after"])):
        if answer is not None:
            yield View(f"{answer['said']}: {name}", [Group(name, answer["defects"], look)], _caption(answer))


def _caption(answer: AnswerRow) -> str:
    latency = "" if answer["latency_ms"] is None else f"{answer['latency_ms']:.1f} ms"
    return " · ".join(filter(None, (answer["message"], latency)))
