"""One tile for each PID, and the banner above them all: pure rows, the same in every language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from controller.model.status_document import DeploymentRow, PidRow, StatusDocument
from controller.page.snapshot import JsonRow, Snapshot
from controller.page.texts import epoch_of

Mark = Literal["canary", "held", "pinned"]
Verdict = Literal["OK", "NG", "ERROR", "FAILED", "none"]
BannerState = Literal["cut", "rolled-back", "degraded", "refused", "paused", "moving", "converged", "waiting"]

_STALE = 30.0
"""Seconds after which a daemon that makes a pass every ten is said to be behind; `pvctl status` says it too."""
_FRAMED = 30.0
"""Seconds for which tiles keep room for a picture after the last one at all."""
_MOST_DEFECTS = 20
_LONGEST = 160


@dataclass(frozen=True, slots=True)
class Defect:
    """A rectangle in pixels of the picture."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The picture of a part: its size in pixels, the part's request, and what was found in it."""

    request_id: str
    width: int
    height: int
    defects: tuple[Defect, ...] = ()

    @property
    def letter(self) -> float:
        """The height of a letter that can be read when the picture is as wide as a tile, in pixels of the picture."""
        return round(max(self.width, self.height) / 16, 1)


@dataclass(frozen=True, slots=True)
class Tile:
    """What is shown of one PID. `goes_to`: the version that it is on its way to, where that is another one."""

    pid: str
    verdict: Verdict
    at: str = ""
    message: str = ""
    package: str = ""
    version: str = ""
    judged_by: str = ""
    """The version that gave the verdict, where another one answers now."""
    deployment: str = ""
    ready: bool = True
    marks: tuple[Mark, ...] = ()
    goes_to: str = ""
    samples: int = 0
    error_rate: float | None = None
    p95_ms: float | None = None
    picture: Picture | None = None
    framed: bool = False
    """Whether there is room for a picture without one: pictures come and go with the parts, tiles do not jump."""

    @property
    def trouble(self) -> bool:
        """Whether somebody has to look: it cannot answer, or its last part got no verdict."""
        return not self.ready or not self.version or self.verdict in {"ERROR", "FAILED"}

    @property
    def moving(self) -> bool:
        """Whether a rollout has to do with it now."""
        return bool(self.goes_to) or "canary" in self.marks


@dataclass(frozen=True, slots=True)
class Banner:
    """The state of the line in one word, and what to say about it.

    `deployments` are those that the word is about, `sentence` the station's own words about the first of them.
    """

    state: BannerState
    deployments: tuple[str, ...] = ()
    version: str = ""
    sentence: str = ""
    since: float | None = None
    unready: tuple[str, ...] = ()
    """PIDs that cannot be answered."""
    refused: int = 0
    """Errors of a revision that was refused."""
    notices: tuple[str, ...] = ()
    revision: str = ""
    counts: tuple[tuple[Verdict, int], ...] = ()
    pids: int = 0


def tiles(snapshot: Snapshot) -> tuple[Tile, ...]:
    """Return the tiles in the order of the status document."""
    if snapshot.status is None:
        return ()
    rolling = {each["name"]: each for each in snapshot.status["deployments"]}
    found = (
        _tile(row, rolling.get(row["deployment"] or ""), snapshot.parts.get(row["pid"]))
        for row in snapshot.status["pids"]
    )
    framed = snapshot.as_of - snapshot.pictured < _FRAMED
    return tuple(replace(each, framed=True) if framed and each.at and not each.picture else each for each in found)


def _tile(row: PidRow, deployment: DeploymentRow | None, part: JsonRow | None) -> Tile:
    active, health = row["active"], row["health"]
    here, target = active["version"] if active else "", row["target_version"] or ""
    judged = str(part["version"]) if part else ""
    return Tile(
        pid=row["pid"],
        verdict=_verdict(part),
        at=str(part["at"]) if part else "",
        message=str(part.get("message") or "")[:_LONGEST] if part else "",
        package=active["name"] if active else "",
        version=here,
        judged_by=judged if judged != here else "",
        deployment=row["deployment"] or "",
        ready=row["ready"],
        marks=tuple(_marks(row, deployment)),
        goes_to=target if target != here and not row["held"] else "",
        samples=health["samples"],
        error_rate=health["error_rate"],
        p95_ms=health["latency_p95_ms"],
        picture=picture_of(part),
    )


def _verdict(part: JsonRow | None) -> Verdict:
    match part["verdict"] if part else "none":
        case "OK" | "NG" | "ERROR" | "none" as known:
            return known
    return "FAILED"


def _marks(row: PidRow, deployment: DeploymentRow | None) -> Iterator[Mark]:
    if row["active"] and deployment and is_under_way(deployment):
        version = row["active"]["version"]
        if version == deployment["target_version"] != deployment["stable_version"]:
            yield "canary"
    if row["held"]:
        yield "held"
    if row["pinned"]:
        yield "pinned"


def is_under_way(row: DeploymentRow) -> bool:
    """Whether a rollout is at one of its steps."""
    return row["current_step_index"] is not None


def picture_of(part: JsonRow | None) -> Picture | None:
    """Return the picture of a part, where there is one and what was said about it can be drawn."""
    shown = part.get("picture") if part else None
    if part is None or not shown or shown["width"] <= 0 or shown["height"] <= 0:
        return None
    defects = (part.get("defects") or ())[:_MOST_DEFECTS]
    return Picture(
        str(part["request_id"]), int(shown["width"]), int(shown["height"]),
        tuple(
            Defect(each["x"], each["y"], each["width"], each["height"], str(each.get("label") or "")[:24])
            for each in defects
        ),
    )  # fmt: skip


def banner(snapshot: Snapshot) -> Banner:
    """Return the state of the line; of several, the one that needs somebody most."""
    document = snapshot.status
    if document is None:
        return Banner("cut" if snapshot.cut_since is not None else "waiting", since=snapshot.cut_since)
    state, about, since = _state(document, snapshot)
    verdicts = Counter(_verdict(snapshot.parts.get(row["pid"])) for row in document["pids"])
    first = about[0] if about else None
    order: tuple[Verdict, ...] = ("OK", "NG", "ERROR", "FAILED", "none")
    return Banner(
        state,
        tuple(each["name"] for each in about),
        f"{first['package']} {first['target_version']}" if first else "",
        first["message"] if first else "",
        since,
        tuple(row["pid"] for row in document["pids"] if not row["ready"]),
        len(document["revision"]["errors"]),
        tuple(_notices(document)),
        _short(document["revision"]["id"]),
        tuple((each, verdicts[each]) for each in order if verdicts[each]),
        len(document["pids"]),
    )


def _state(document: StatusDocument, snapshot: Snapshot) -> tuple[BannerState, tuple[DeploymentRow, ...], float | None]:
    daemon = document.get("daemon")
    if snapshot.cut_since is not None:
        return "cut", (), snapshot.cut_since
    if daemon is not None and (not daemon["alive"] or daemon["age_s"] > _STALE):
        return "cut", (), round(snapshot.as_of, -1)
    degraded = tuple(each for each in document["deployments"] if each["phase"] == "Degraded")
    back = tuple(each for each in degraded if each["quarantined"])
    if back:
        return "rolled-back", back, _moment(back[0])
    if degraded or any(not row["ready"] for row in document["pids"]):
        return "degraded", degraded, _moment(degraded[0]) if degraded else None
    if document["revision"]["errors"]:
        return "refused", (), None
    return *_calm_state(document), None


def _calm_state(document: StatusDocument) -> tuple[BannerState, tuple[DeploymentRow, ...]]:
    phases: tuple[tuple[BannerState, str], ...] = (("moving", "Progressing"), ("paused", "Paused"))
    for state, phase in phases:
        about = tuple(each for each in document["deployments"] if each["phase"] == phase)
        if about:
            return state, about
    return "converged" if document["converged"] else "moving", ()


def _moment(row: DeploymentRow) -> float | None:
    """Return since when a deployment is degraded."""
    times = (each["last_transition_time"] for each in row["conditions"] if each["type"] == "Degraded")
    return next((epoch_of(each) for each in times), None)


def _notices(document: StatusDocument) -> Iterator[str]:
    host = document.get("host")
    for each in host["conditions"] if host else ():
        if each["status"]:
            yield f"{each['type']}: {each['message']}"


def _short(revision: str) -> str:
    """Return the beginning of a commit's name, as git shows it; anything else as it is."""
    commit, dash, state = revision.partition("-")
    return f"{commit[:12]}{dash}{state}" if len(commit) == 40 else revision
