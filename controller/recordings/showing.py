"""One recorded call as a page: its pictures with the defects that the algorithm found, and all that was said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from controller.model.last_part import defects_of
from controller.model.recording import RecordedCall
from controller.recordings.drawing import Group, View, document, figure, rendered
from controller.recordings.source import Pictures


def page_of(call: RecordedCall, pictures: Pictures) -> str:
    """Return the page of a recorded call as HTML. Blocks: a large picture takes a second."""
    defects, malformed = defects_of(call.data.get("defect_rects"))
    caption = f"{malformed} more entries among the defects are no rectangles, or one too many." if malformed else ""
    groups = [Group(f"{call.package}", defects)]
    figures = [figure(pictures.image, [View("Image", groups, caption)], key="image", color_space=_order(call, "image"))]
    if pictures.guide is not None:
        figures.append(figure(pictures.guide, [View("Guide image")], key="guide", color_space=_order(call, "guide")))
    title = f"{call.verdict} {call.pid} {call.at}"
    body = rendered(
        "recording.html", call=call, figures=figures, facts=list(_facts(call)), defects=defects,
        data=_json(call.data), arguments=_json(call.arguments), error=_json(call.error) if call.error else "",
    )  # fmt: skip
    return document(title, body)


def _order(call: RecordedCall, which: str) -> str:
    picture = call.guide if which == "guide" and call.guide is not None else call.image
    return picture.color_space


def _facts(call: RecordedCall) -> Iterator[tuple[str, str]]:
    """Yield what is known of a call, as pairs of words."""
    yield "PID", call.pid
    yield "Version", f"{call.package} ({call.digest})" if call.digest else str(call.package)
    yield "Deployment", call.deployment
    yield "Ended", call.at
    yield "Latency", "–" if call.latency_ms is None else f"{call.latency_ms:.1f} ms"
    yield "Recorded because of", ", ".join(call.kinds) or "–"
    yield "Image", _size(call.image.shape)
    if call.guide is not None:
        yield "Guide image", _size(call.guide.shape)
    elif call.guide_is_image:
        yield "Guide image", "the image itself"
    yield "Request", call.request_id
    yield "Recording", call.id


def _size(shape: tuple[int, ...]) -> str:
    height, width, *channels = shape
    return f"{width}×{height}, {'colour' if channels and channels[0] > 1 else 'grey'}"


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
