"""What an operator can do, what it would do to which PIDs, and the typed command that does it.

What would happen is reckoned from what the page knows; the station decides, and its answer is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from controller.model.status_document import DeploymentRow, PidRow
from controller.page.snapshot import JsonRow, Snapshot
from controller.page.tiles import is_under_way
from controller.station.commands.operator import (
    Abort,
    OperatorCommand,
    Pause,
    Promote,
    Restart,
    Resume,
    Retry,
    Rollback,
)

LONGEST_REASON = 300


class Move(NamedTuple):
    """A PID and the versions that it goes from and to; `after` empty: to the version that it had before."""

    pid: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What an act would do. `moves`: PIDs that change their version at once, or as soon as they may.

    `stays`: PIDs of the deployment that do not. `versions`: those that a rollback may name.
    """

    verb: str
    subject: str
    kind: str
    moves: tuple[Move, ...]
    stays: tuple[str, ...] = ()
    package: str = ""
    version: str = ""
    versions: tuple[str, ...] = ()
    processes: int = 0

    @property
    def ways(self) -> tuple[tuple[tuple[str, str], tuple[str, ...]], ...]:
        """The moves by the versions that they go from and to."""
        found: dict[tuple[str, str], list[str]] = {}
        for each in self.moves:
            found.setdefault((each.before, each.after), []).append(each.pid)
        return tuple((way, tuple(pids)) for way, pids in found.items())


class UnknownSubject(LookupError):
    """There is no such deployment or PID."""


_COMMANDS: Mapping[str, Callable[[str, str, Mapping[str, str]], OperatorCommand]] = {
    "promote": lambda name, _, form: Promote(name, full="full" in form, reason=form["reason"]),
    "pause": lambda name, _, form: Pause(name, form["reason"]),
    "abort": lambda name, _, form: Abort(name, form["reason"]),
    "retry": lambda name, _, form: Retry(name, form["reason"]),
    "restart": lambda name, _, form: Restart(name, form["reason"]),
    "resume": lambda name, kind, form: Resume(name, "pid" if kind == "pid" else "any", form["reason"]),
    "rollback": lambda name, kind, form: Rollback(
        name, "pid" if kind == "pid" else "any", form.get("to") or None, "emergency" in form, form["reason"]
    ),
}
VERBS = tuple(_COMMANDS)
ON_PIDS = ("rollback", "resume")
"""Verbs that there are for a single PID too."""


def command(verb: str, subject: str, kind: str, form: Mapping[str, str]) -> OperatorCommand:
    """Return the command for a confirmed form. Raises KeyError: there is no such verb."""
    return _COMMANDS[verb](subject, kind, form)


def preview(snapshot: Snapshot, verb: str, subject: str, kind: str, history: Sequence[tuple[str, str]] = ()) -> Preview:
    """Return what an act would do. `history`: what PIDs had, as (PID, version), oldest first.

    Raises UnknownSubject.
    """
    document = snapshot.status
    pids = document["pids"] if document else []
    if kind == "pid":
        mine = [each for each in pids if each["pid"] == subject]
        name = mine[0]["deployment"] if mine else None
    else:
        mine, name = [each for each in pids if each["deployment"] == subject], subject
    row = next((each for each in (document["deployments"] if document else ()) if each["name"] == name), None)
    if not mine and row is None:
        raise UnknownSubject(subject)
    act = _Act(verb, row, mine, snapshot.details.get(name or "", {}), history)
    moves = act.moves()
    moved = {each.pid for each in moves}
    processes = document["processes"] if document else []
    return Preview(
        verb, subject, kind, moves, tuple(each["pid"] for each in mine if each["pid"] not in moved),
        row["package"] if row else "", row["target_version"] if row else "",
        tuple(dict.fromkeys(version for _, version in reversed(history))) if verb == "rollback" else (),
        sum(each["deployment"] == name for each in processes),
    )  # fmt: skip


class _Act(NamedTuple):
    verb: str
    row: DeploymentRow | None
    pids: Sequence[PidRow]
    detail: JsonRow
    history: Sequence[tuple[str, str]]

    def moves(self) -> tuple[Move, ...]:
        found: Mapping[str, Callable[[], list[Move]]] = {
            "promote": lambda: self._forward(self._next_step()),
            "retry": lambda: self._forward(self._step_pids(0)),
            "resume": self._resumed,
            "abort": self._back,
            "rollback": self._back,
        }
        return tuple(found[self.verb]()) if self.verb in found else ()

    def _forward(self, pids: Sequence[str] | None) -> list[Move]:
        target = self.row["target_version"] if self.row else ""
        free = (each for each in self.pids if not (each["pinned"] or each["held"]))
        chosen = (each for each in free if pids is None or each["pid"] in pids)
        return [Move(each["pid"], _version(each), target) for each in chosen if _version(each) != target]

    def _next_step(self) -> Sequence[str] | None:
        """The PIDs of the next weight after the present step; None: all of them."""
        now = (self.row["current_step_index"] if self.row else None) or 0
        ahead = [each for each in self.detail.get("steps") or () if each["index"] > now and each.get("set_weight")]
        return list(ahead[0].get("pids") or ()) if ahead else None

    def _step_pids(self, index: int) -> Sequence[str] | None:
        steps: Sequence[Mapping[str, Any]] = self.detail.get("steps") or ()
        return list(steps[index].get("pids") or ()) if len(steps) > index else None

    def _resumed(self) -> list[Move]:
        held = (each for each in self.pids if each["held"])
        return [Move(each["pid"], _version(each), self._after_hold(each)) for each in held]

    def _after_hold(self, row: PidRow) -> str:
        return (self.row["target_version"] if self.row else "") or row["target_version"] or ""

    def _back(self) -> list[Move]:
        row = self.row
        left = row["target_version"] if row and (is_under_way(row) or row.get("rollback_to")) else None
        back = (row.get("rollback_to") or row["stable_version"] or "") if row else ""
        moves = []
        for each in self.pids:
            here = _version(each)
            if not here or each["pinned"] or (left and here != left and len(self.pids) > 1):
                continue
            after = back if back and back != here else self._before(each["pid"], here)
            moves.append(Move(each["pid"], here, after))
        return moves

    def _before(self, pid: str, here: str) -> str:
        versions = [version for owner, version in self.history if owner == pid and version != here]
        return versions[-1] if versions else ""


def _version(row: PidRow) -> str:
    return row["active"]["version"] if row["active"] else ""
