"""A plan in a line, and its changes as lines that can be compared with those of another plan. Pure."""

from __future__ import annotations

from collections import Counter

from controller.model.actions import (
    Action,
    Deactivate,
    Install,
    Plan,
    Preheat,
    RemovePackage,
    RemoveZip,
    Replay,
    Retire,
    Switch,
)

_WORDS: tuple[tuple[type[Action], str], ...] = (
    (Install, "install"), (Preheat, "start"), (Switch, "switch"), (Deactivate, "deactivate"), (Retire, "stop"),
    (Replay, "replay"), (RemovePackage, "remove"), (RemoveZip, "remove"),
)  # fmt: skip


def counts(plan: Plan) -> dict[str, int]:
    """Return how many things a plan does of each kind (`install`, `start`, `switch` …), and how many are blocked."""
    found = Counter(word for action in plan.actions for kind, word in _WORDS if isinstance(action, kind))
    return {**{word: found[word] for _, word in _WORDS}, "blocked": len(plan.blocked)}


def summary(plan: Plan) -> str:
    """Return a plan in a line, such as `Plan: 1 to install, 4 to switch, 0 to remove`."""
    found = counts(plan)
    blocked = found.pop("blocked")
    always = {"install", "switch", "remove"}
    told = [f"{number} to {word}" for word, number in found.items() if number or word in always]
    return f"Plan: {', '.join(told)}" + (f"; {blocked} blocked" if blocked else "")


def change_lines(plan: Plan) -> tuple[str, ...]:
    """Return what a plan changes in what is installed and in what answers, one sorted line for each change.

    Not the starts and stops of processes, which follow from these or repair what crashed.
    """
    return tuple(sorted(line for action in plan.actions if (line := _line(action))))


def _line(action: Action) -> str:
    match action:
        case Install():
            return f"install {action.package} {action.digest}"
        case Switch():
            return f"switch {action.pid} {action.before or 'nothing'} → {action.target}"
        case Deactivate():
            return f"deactivate {action.pid}"
        case RemovePackage():
            return f"remove {action.package}"
        case RemoveZip():
            return f"remove {action.zip_name}"
        case _:
            return ""
