"""Which form of an answer a request asks for: `Accept` and `Prefer`."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request

from controller.http.failures import Refused


def accepted(request: Request, offered: Sequence[str]) -> str:
    """Return the media type of the answer: the one that the caller likes best, of equal ones the first that is offered.

    Raises Refused (406): the caller takes none of them.
    """
    likes = [_like(each) for each in ",".join(request.headers.getlist("accept")).split(",") if each.strip()]
    if not likes:
        return offered[0]
    liked = {each: max((_weight(like, each) for like in likes), default=(0, 0.0))[1] for each in offered}
    best = max(offered, key=lambda each: liked[each])
    if not liked[best]:
        raise Refused(406, "none of the media types in Accept is offered", next_step=f"accept {' or '.join(offered)}")
    return best


def wants_no_waiting(request: Request) -> bool:
    """Whether `Prefer: respond-async` is among the request's headers."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(each.partition(";")[0].strip().lower() == "respond-async" for each in preferences)


def _like(text: str) -> tuple[str, float]:
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    weight = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = min(max(float(value), 0.0), 1.0)
            except ValueError:
                weight = 0.0
    return kind, weight


def _weight(like: tuple[str, float], offered: str) -> tuple[int, float]:
    """Return how exactly a part of Accept means a media type, and how much it likes it."""
    kind, weight = like
    group = f"{offered.partition('/')[0]}/*"
    exactness = {offered: 3, group: 2, "*/*": 1}.get(kind, 0)
    return exactness, weight if exactness else 0.0
