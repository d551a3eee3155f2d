"""The invariants of design section 5, checked at every write of the controller. A breach is an AssertionError."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from controller.model.actions import Deactivate, Plan, Switch
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.observed import ActiveMapping, Observed
from controller.model.package import PackageRef
from controller.model.rollout import BY_PICTURES, Hold, Rollout, RolloutRecord
from controller.rollouts.cohorts import cohort
from controller.rollouts.transitions import TRANSITIONS

ENDS = {"reverted", "stopped", "completed"}


class Watch:
    """Is told of everything a controller does, and objects to what it must not do."""

    def __init__(self) -> None:
        self.plan = Plan()
        self.observed = Observed()
        self.transitions: Counter[tuple[str, Any]] = Counter()
        self.reverts: Counter[tuple[str, Any]] = Counter()
        self.visited: set[tuple[str, str]] = set()
        self.starts: dict[ProcessKey, deque[float]] = {}
        self.lives: deque[float] = deque()
        self.allowed_to_forgive = False
        self.moves = 0
        self.rollbacks = 0

    # --- what happens

    def planned(self, world: Any, observed: Observed, plan: Plan) -> None:
        self.observed, self.plan = observed, plan

    def recovered(self, world: Any) -> None:
        """After a start, whatever was begun has an outcome on record."""
        self.lives.append(world.booted_at + world.seconds)
        last = {each["object"]: each for each in world.bare.audit.read_tail() if each["object"].startswith("pid/")}
        open_ends = [each for each in last.values() if each["outcome"] == "started" and each["action"] == "switch"]
        assert not open_ends, f"7: switches without an outcome: {open_ends}"

    def before(self, world: Any, part: str, act: str, arguments: tuple[Any, ...]) -> None:
        if (part, act) == ("active", "write"):
            self._switch(world, *arguments[:2])
        elif (part, act) == ("active", "remove"):
            self._deactivate(world, arguments[0])
        elif (part, act) == ("rollouts", "write"):
            self._save_rollout(world, *arguments)
        elif (part, act) == ("rollouts", "write_holds"):
            self._hold(world, {hold.pid: hold for hold in arguments[0]})

    def after(self, world: Any, part: str, act: str, arguments: tuple[Any, ...]) -> None:
        if part == "active":
            self.moves += 1

    def started(self, world: Any, key: ProcessKey) -> None:
        """12: starts per window are bounded, whatever fails."""
        now = world.booted_at + world.seconds
        starts = self.starts.setdefault(key, deque())
        starts.append(now)
        while starts[0] < now - 60:
            starts.popleft()
        lives = sum(at >= now - 60 for at in self.lives)
        assert len(starts) <= 8 + 8 * lives, f"12: {key} was started {len(starts)} times in a minute"
        self._asked_for(world, key)

    def _asked_for(self, world: Any, key: ProcessKey) -> None:
        """9: a shadow runs for a shadow step; before the first weight no process of the line runs the target."""
        rollout = world.bare.rollouts.memory().records.get(key.deployment, RolloutRecord()).rollout
        if key.shadow:
            assert rollout is not None, f"{key} is started without a rollout"
            assert (rollout.state, rollout.target) == ("shadowing", key.ref), f"{key} is started while {rollout.state}"
        elif rollout is not None and rollout.state in BY_PICTURES and rollout.target == key.ref and not rollout.weight:
            active = {getattr(each, "ref", None) for each in world.bare.active.read_all().values()}
            wanted = set(self.plan.targets.values()) | {hold.package for hold in self.observed.holds.values()}
            assert key.ref in active | wanted, f"9: {key} is started although no PID is to have it yet"

    # --- what must hold

    def _switch(self, world: Any, pid: str, mapping: ActiveMapping) -> None:
        ref, revision = mapping.ref, world.desired.revision
        action = next((each for each in self.plan.actions if each.object == ObjectRef("pid", pid)), None)
        assert isinstance(action, Switch), f"{pid} moves without a plan for it"
        assert action.target == ref
        assert ref in world.packages.installations(), f"1: {pid} → {ref}, which is not installed"
        assert pid in (world.packages.installations()[ref].receipt.supported_pids or ()), f"1: {ref} for {pid}"
        deployment = revision.by_name[action.deployment]
        assert not deployment.spec.suspend, f"{pid} moves although {deployment.name} is suspended"
        self._on_record(world, pid, action.reason)
        record = world.bare.rollouts.memory().records.get(deployment.name, RolloutRecord())
        hold = self.observed.holds.get(pid)
        self._ready(world, action, record.rollout, emergency=hold is not None and hold.emergency)
        if hold is not None:
            assert ref == hold.package, f"5: {pid} is held on {hold.package} and moves to {ref}"
        elif pid in deployment.spec.pinned:
            assert ref == deployment.spec.pinned_ref(pid), f"5: {pid} is pinned and moves to {ref}"
        else:
            self._by_itself(world, action, record)

    def _on_record(self, world: Any, pid: str, reason: str) -> None:
        records = [each for each in world.bare.audit.read_tail() if each["object"] == f"pid/{pid}"]
        assert records, f"7: {pid} changes without an audit record"
        last = records[-1]
        assert last["outcome"] == "started", f"7: {pid} changes without an audit record"
        assert last["actor"], "7: without an actor"
        assert last["revision"], "7: without a revision"
        assert last["reason"] == reason, f"7: with another reason: {last}"

    def _ready(self, world: Any, action: Switch, rollout: Rollout | None, *, emergency: bool) -> None:
        """4: an unready version never becomes active; in an emergency, one that was active there before may."""
        keys = (key for key, process in world.running.items() if process.serves)
        own = [key for key in keys if (key.deployment, key.ref) == (action.deployment, action.target)]
        if own:
            called = set(own) <= world.smoked or self._was_active(world, action.target)
            assert called, f"4: {action.pid} → {action.target}, which took no smoke call before its first switch"
            return
        emergency = emergency or (rollout is not None and rollout.state == "reverting" and rollout.emergency)
        known = any(entry.ref == action.target for entry in world.bare.history.read(action.pid))
        assert emergency, f"4: {action.pid} → {action.target}, which is not ready"
        assert known, f"4: {action.pid} → {action.target}, which was never ready there"

    @staticmethod
    def _was_active(world: Any, ref: PackageRef) -> bool:
        return any(entry.ref == ref for pid in world.pids for entry in world.bare.history.read(pid))

    def _by_itself(self, world: Any, action: Switch, record: RolloutRecord) -> None:
        pid, ref, rollout = action.pid, action.target, record.rollout
        history = world.bare.history.read(pid)
        repaired = bool(history) and history[-1].ref == ref
        digest = world.packages.installations()[ref].receipt.digest
        assert repaired or not record.quarantined(ref, digest), f"4: {pid} → {ref}, which is in quarantine"
        if rollout is not None and rollout.under_way and ref == rollout.target and not repaired:
            new = pid in rollout.strategy.sequence and rollout.stable.get(pid, ref) == ref
            takes = cohort(rollout.strategy.sequence, rollout.weight)
            assert new or pid in takes, f"9: {pid} → {ref} at {rollout.weight} %, which takes {takes}"
        if rollout is None and history and history[-1].deployment == action.deployment and history[-1].ref:
            known = {entry.ref for entry in history}
            assert ref in known, f"9: {pid} → {ref}, which is new there, without a rollout"

    def _hold(self, world: Any, holds: dict[str, Hold]) -> None:
        """5: no hold is put on a pinned PID; a deployment that is rolled back moves PIDs of one version only."""
        before, by_pid = world.bare.rollouts.read_holds(), world.desired.revision.by_pid
        fresh = [hold for pid, hold in holds.items() if hold != before.get(pid) and pid in by_pid]
        moves: dict[str, set[PackageRef | None]] = {}
        for hold in fresh:
            if (known := before.get(hold.pid)) is not None and known.package == hold.package:
                continue  # it only has another reason, or stands for itself now
            assert hold.pid not in by_pid[hold.pid].spec.pinned, f"5: {hold.pid} is pinned and is to be held"
            present = getattr(world.bare.active.read(hold.pid), "ref", None)
            if hold.deployment and present not in {None, hold.package}:
                moves.setdefault(hold.deployment, set()).add(present)
        assert all(len(left) == 1 for left in moves.values()), f"a rollback leaves several versions: {moves}"
        self.rollbacks += len(moves)

    def _deactivate(self, world: Any, pid: str) -> None:
        assert pid not in world.desired.revision.by_pid, f"{pid} is desired and loses its version"
        action = next((each for each in self.plan.actions if each.object == ObjectRef("pid", pid)), None)
        assert isinstance(action, Deactivate)
        self._on_record(world, pid, action.reason)

    def _save_rollout(self, world: Any, deployment: str, after: RolloutRecord) -> None:
        before = world.bare.rollouts.memory().records.get(deployment, RolloutRecord())
        lost = set(before.quarantine) - set(after.quarantine)
        assert not lost or self.allowed_to_forgive, f"4: {lost} is forgiven by nobody"
        old, new = before.rollout, after.rollout
        if new is None or (old is not None and old.began == new.began and old.state == new.state):
            return
        rollout = (deployment, (new.target, new.began))
        if old is not None and old.began == new.began:
            self.visited.add((old.state, new.state))
            assert old.state not in ENDS, f"a rollout goes on after {old.state}"
            self.reverts[rollout] += new.state == "reverting"
            if new.state in {"reverting", "stopped"} and "never became ready" in new.reason:
                troubles = [count for key, count in world.troubles.items() if key.ref == new.target]
                assert max(troubles, default=0) > 1, f"{new.target} did not get a second start"
            assert new.state not in {"reverting", "stopped"} or after.quarantined(new.target, new.digest)
        self.transitions[rollout] += 1
        assert self.reverts[rollout] <= 1, f"{rollout} was rolled back twice"
        bound = 3 * len(new.strategy.steps) + 6
        assert self.transitions[rollout] <= bound, f"12: {self.transitions[rollout]} transitions of {rollout}"

    def at_rest(self, world: Any) -> None:
        """10: what a fixed point looks like. Every PID has what the plan wants it to have."""
        active = {pid: getattr(each, "ref", each) for pid, each in world.bare.active.read_all().items()}
        for pid, target in self.plan.targets.items():
            blocked = any(
                each.object in {ObjectRef("pid", pid), ObjectRef("package", target)} for each in self.plan.blocked
            )
            assert blocked or active.get(pid) == target, f"10: {pid} has {active.get(pid)}, not {target}"
        strangers = set(active) - set(world.desired.revision.by_pid)
        managed = {pid for pid in strangers if (known := world.bare.history.read(pid)) and known[-1].deployment}
        assert not managed, f"10: {managed} are not desired and still active"


def reachable() -> set[tuple[str, str]]:
    """Return every change of state that the table allows, several at a time counted by their ends."""
    following: dict[str, set[str]] = {}
    for (state, _), after in TRANSITIONS.items():
        following.setdefault(state, set()).add(after)
    return {(state, after) for state, afters in following.items() for after in afters}


__all__ = ["PackageRef", "Watch", "reachable"]
