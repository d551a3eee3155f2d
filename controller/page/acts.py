"""What an operator can do, what it would do to which PIDs, and the typed command that does it.

What would happen is reckoned from what the page knows; the station decides, and its answer is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from controller.model.status_document import DeploymentRow, PidRow
from controller.page.snapshot import JsonRow, Snapshot
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

    `stays`: PIDs of the deployment that do not. `versions`: those that a rollback may name; not the one that it leaves.
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
        act.earlier() if verb == "rollback" else (),
        sum(each["deployment"] == name for each in processes),
    )  # fmt: skip


class _Act(NamedTuple):
    verb: str
    row: DeploymentRow | None
    pids: Sequence[PidRow]
    detail: JsonRow
    history: Sequence[tuple[str, str]]

    def moves(self) -> tuple[Move, ...]:
        """Return the PIDs that change their version."""
        match self.verb:
            case "promote":
                return self._forward(self._next_step())
            case "retry":
                return self._forward(self._step_pids(0))
            case "resume":
                return self._resumed()
            case "abort" | "rollback":
                return self._back()
        return ()

    def _forward(self, pids: Collection[str] | None) -> tuple[Move, ...]:
        target = self.row["target_version"] if self.row else ""
        free = (each for each in self.pids if not (each["pinned"] or each["held"]))
        chosen = (each for each in free if pids is None or each["pid"] in pids)
        return tuple(Move(each["pid"], _version(each), target) for each in chosen if _version(each) != target)

    def _next_step(self) -> Collection[str] | None:
        """The PIDs of the next weight after the present step; None: all of them."""
        ahead = [each for each in self._steps if each["state"] == "ahead" and each["kind"] == "setWeight"]
        return list(ahead[0]["pids"]) if ahead else None

    def _step_pids(self, index: int) -> Collection[str] | None:
        return list(self._steps[index]["pids"]) if len(self._steps) > index else None

    @property
    def _steps(self) -> Sequence[JsonRow]:
        return self.detail.get("steps") or ()

    def _resumed(self) -> tuple[Move, ...]:
        held = (each for each in self.pids if each["held"] and not each["pinned"])
        moves = (Move(each["pid"], _version(each), self._desired(each["pid"])) for each in held)
        return tuple(each for each in moves if each.before != each.after)

    def _desired(self, pid: str) -> str:
        """The version that a PID gets when its hold ends: the stable one where the rollout has not come to it."""
        if self.row is None:
            return ""
        rollout, stable = self.detail.get("rollout"), self.row["stable_version"]
        if not (rollout and stable) or rollout["state"] in {"promoted", "completed"}:
            return self.row["target_version"]
        come = any(pid in each["pids"] for each in self._steps if each["state"] != "ahead")
        return self.row["target_version"] if come and rollout["state"] not in {"reverting", "reverted"} else stable

    def earlier(self) -> tuple[str, ...]:
        """Return the versions that PIDs had, but for the one that a rollback leaves: the latest first."""
        had = dict.fromkeys(version for _, version in reversed(self.history))
        return tuple(version for version in had if version != self._left())

    def _free(self) -> list[PidRow]:
        return [each for each in self.pids if each["active"] and not each["pinned"]]

    def _left(self) -> str:
        """The version that a rollback leaves: the one that is rolled out where a PID has it, else what most have."""
        versions = Counter(_version(each) for each in self._free())
        left = self.row["target_version"] if self.row else ""
        if left not in versions or len(self.pids) == 1:
            left = versions.most_common(1)[0][0] if versions else ""
        return left

    def _back(self) -> tuple[Move, ...]:
        """The PIDs that leave the version which is rolled out, or which most have; each goes back to its own."""
        free, left = self._free(), self._left()
        ways: Mapping[str, str] = (self.detail.get("rollout") or {}).get("back") or {}
        return tuple(
            Move(each["pid"], left, self._way_back(each["pid"], left, ways)) for each in free if _version(each) == left
        )

    def _way_back(self, pid: str, left: str, ways: Mapping[str, str]) -> str:
        way = ways.get(pid, "").rpartition("@")[2]
        before = [version for owner, version in self.history if owner == pid and version != left]
        return way if way not in {"", left} else before[-1] if before else ""


def _version(row: PidRow) -> str:
    return row["active"]["version"] if row["active"] else ""
