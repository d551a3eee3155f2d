"""What differs between two revisions, field by field, in the operator's own words and units.

Only to explain: whether anything changed is `==`, which is a thousand times cheaper than the report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from controller.model.desired import Deployment, Revision

_ADDED = {"dictionary_item_added", "iterable_item_added"}
_REMOVED = {"dictionary_item_removed", "iterable_item_removed"}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `deployment` None: the station's policy. `path` empty: the deployment as a whole.

    `before` and `after` are values as they stand in YAML (`10m`, `5%`); None where there was or is nothing.
    """

    deployment: str | None
    path: str
    before: Any
    after: Any
    kind: Literal["added", "removed", "changed"]

    def __str__(self) -> str:
        where = " ".join(filter(None, (self.deployment or "StationPolicy", self.path)))
        match self.kind:
            case "added":
                return f"{where}: added {_text(self.after)}"
            case "removed":
                return f"{where}: removed {_text(self.before)}"
            case _:
                return f"{where}: {_text(self.before)} → {_text(self.after)}"


def describe_changes(before: Revision | None, after: Revision) -> tuple[Change, ...]:
    """Return what `after` changes against `before` (None: nothing was there), deployments by name, the policy last."""
    old = before.by_name if before else {}
    new = after.by_name
    changes: list[Change] = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            changes.append(Change(name, "", None, _summary(new[name]), "added"))
        elif name not in new:
            changes.append(Change(name, "", _summary(old[name]), None, "removed"))
        elif old[name] != new[name]:
            changes += _deployment(old[name], new[name])
    if before and before.policy != after.policy:
        changes += _fields(None, _document(before.policy), _document(after.policy), "spec")
    return tuple(changes)


def _deployment(before: Deployment, after: Deployment) -> Iterator[Change]:
    old, new = _document(before), _document(after)
    pids = list(_pids(before.name, old["spec"].pop("pids"), new["spec"].pop("pids")))
    yield from _fields(before.name, old, new)
    yield from pids


def _pids(deployment: str, before: list[str], after: list[str]) -> Iterator[Change]:
    for pid in before:
        if pid not in after:
            yield Change(deployment, "spec.pids", pid, None, "removed")
    for pid in after:
        if pid not in before:
            yield Change(deployment, "spec.pids", None, pid, "added")
    stayed = [pid for pid in before if pid in after]
    if stayed != [pid for pid in after if pid in before]:
        yield Change(deployment, "spec.pids", before, after, "changed")


def _fields(deployment: str | None, before: Any, after: Any, prefix: str = "") -> list[Change]:
    from deepdiff import DeepDiff  # noqa: PLC0415 - 116 ms and 16 MB that only an explanation is worth

    changes = []
    for kind, levels in DeepDiff(before, after, view="tree", threshold_to_diff_deeper=0).items():
        for level in levels:
            path = _path(level.path(output_format="list"), prefix)
            if kind in _ADDED:
                changes.append(Change(deployment, path, None, level.t2, "added"))
            elif kind in _REMOVED:
                changes.append(Change(deployment, path, level.t1, None, "removed"))
            else:
                changes.append(_changed(deployment, path, level.t1, level.t2))
    return sorted(changes, key=lambda change: change.path)


def _changed(deployment: str | None, path: str, before: Any, after: Any) -> Change:
    if before is None:
        return Change(deployment, path, None, after, "added")
    if after is None:
        return Change(deployment, path, before, None, "removed")
    return Change(deployment, path, before, after, "changed")


def _document(part: Any) -> Any:
    return part.model_dump(mode="json", by_alias=True)


def _path(steps: list[str | int], prefix: str) -> str:
    text = prefix
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _summary(deployment: Deployment) -> str:
    return f"{deployment.spec.ref} on {', '.join(deployment.spec.pids)}"


def _text(value: Any) -> str:
    """Return a value in YAML's flow style, without what is null."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_text(item)}" for key, item in value.items() if item is not None) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
