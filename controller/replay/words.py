"""A replay in words, as its table and its page have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.model.comparison import Said
from controller.model.units import format_size

if TYPE_CHECKING:
    from controller.replay.document import AnswerRow, Quantiles, ReplayDocument, Share

_SAID: tuple[Said, ...] = ("OK", "NG", "ERROR", "TIMEOUT")
_SHARES = (("newly_ok", "newly OK"), ("newly_ng", "newly NG"), ("errors", "errors"))


def matrix(replay: ReplayDocument) -> list[tuple[str, dict[str, int]]]:
    """Return a row for each thing that was said before: how many pictures came to what now. Empty ones are left out."""
    found = {(cell["before"], cell["after"]): cell["pictures"] for cell in replay["matrix"]}
    columns = [after for after in _SAID if after in {"OK", "NG"} or any(key[1] == after for key in found)]
    return [
        (before, {after: found.get((before, after), 0) for after in columns})
        for before in _SAID
        if before in {"OK", "NG"} or any(key[0] == before for key in found)
    ]


def limits(replay: ReplayDocument) -> list[tuple[str, str, str, str, str]]:
    """Return a row for each limit: its name, pictures of how many, share with interval, limit, and whether it holds."""
    rows = []
    for key, name in _SHARES:
        share: Share = replay[key]  # type: ignore[literal-required]
        low, high = share["interval"]
        interval = f"({_percent(low)} – {_percent(high)})"
        rows.append((
            name, f"{share['pictures']} of {share['of']}", f"{_percent(share['share'])} {interval}",
            _percent(share["limit"]), "within" if share["within"] else "beyond",
        ))  # fmt: skip
    return rows


def said(answer: AnswerRow | None) -> str:
    """Return what was said of a picture, in a word."""
    return answer["said"] if answer else "nothing"


def verdict(replay: ReplayDocument) -> str:
    """Return what the replay came to, in a sentence."""
    if replay["failure"]:
        return f"{replay['package']} failed: {replay['failure']}"
    state = "within" if replay["within_limits"] else "beyond"
    return f"{replay['package']} is {state} the limits"


def facts(replay: ReplayDocument) -> list[tuple[str, str]]:
    """Return what else is known, as pairs of words."""
    memory = replay["memory_bytes"]
    counted = f"{replay['compared']} of {replay['wanted']} compared"
    for name, words in (("excused", "without a verdict before"), ("dropped", "not compared")):
        if number := replay[name]:  # type: ignore[literal-required]
            counted += f", {number} {words}"
    if replay["refused"]:
        counted += f" ({replay['refused']} because of arguments that a version does not take: {_refusal(replay)})"
    return [
        ("Compared with", replay["baseline"]),
        ("Pictures", counted),
        ("Latency before", _latency(replay["recorded_latency_ms"])),
        ("Latency now", f"{_latency(replay['latency_ms'])}, beside the line"),
        ("Memory", "unknown" if memory is None else f"{format_size(round(memory / 2**20) * 2**20)} at most"),
        *([("Failed", replay["failure"])] if replay["failure"] else []),
    ]


def _refusal(replay: ReplayDocument) -> str:
    """Return how a version refused recorded arguments, the first time."""
    return next(row["refused"] for row in replay["pictures"] if row["refused"])


def _latency(found: Quantiles) -> str:
    if found["p50"] is None or found["p95"] is None:
        return "unknown"
    return f"p50 {found['p50']:.1f} ms, p95 {found['p95']:.1f} ms"


def _percent(share: float) -> str:
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + " %"
