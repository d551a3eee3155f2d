"""A station whose plans are carried out at once, for tests that follow a rollout pass by pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller.model.actions import Deactivate, Install, Plan, Preheat, Retire, SaveRollout, Switch
from controller.model.comparison import Agreement
from controller.model.desired import Revision
from controller.model.objects import ObjectRef, ProcessKey
from controller.model.observed import HELD_BY, ActiveMapping, Failure, Observed, RecentCalls
from controller.model.package import PackageRef
from controller.model.replay import ReplayReport
from controller.model.rollout import Instant, Rollout, RolloutRecord
from controller.model.tally import Tally
from controller.planning.plan import plan
from controller.rollouts.machine import promote
from controller.rollouts.pictures import replay_key
from tests.builders import active, deployment, installation, past, process, running, sketch, zipped

A, B, C, OLDER = (PackageRef("screw", version) for version in ("1.0.0", "1.1.0", "1.2.0", "0.9.0"))
PIDS = ("A01", "A02", "A03", "A04")
LIMITS = {"errorRate": {"minSamples": 10}, "timeoutRate": {"minSamples": 10}}


def line_of(ref: PackageRef = B, *, name: str = "line", pids: tuple[str, ...] = PIDS, **spec: Any) -> dict[str, Any]:
    return deployment(name, ref.version, *pids, package=ref.name, **{"health": LIMITS, **spec})


class Line:
    """A station whose plans are carried out at once, and whose clock goes by hand."""

    def __init__(self, *installed: PackageRef, zips: tuple[PackageRef, ...] = (), pids: tuple[str, ...] = PIDS) -> None:
        self.seconds = 0.0
        self.boot = "boot"
        self.all_pids = (*pids, "A09", "B01", "B02")
        self.observed = Observed(zips=zipped(*zips, pids=self.all_pids))
        for ref in installed:
            self.install(ref)
        self.notes: list[str] = []
        self.tallies: dict[tuple[str, PackageRef], Tally] = {}
        self.plan = Plan()

    def install(self, ref: PackageRef, digest: str = "") -> None:
        self.see(installed={**self.observed.installed, ref: installation(ref, self.all_pids, digest)})

    def see(self, **changed: Any) -> None:
        self.observed = replace(self.observed, **changed)

    def serving(self, ref: PackageRef, *pids: str, name: str = "line", held: bool = False) -> None:
        """Let PIDs be on a version since long."""
        known = self.observed.history
        self.see(
            active={**self.observed.active, **active(ref, *pids)},
            history={**known, **{pid: (*known.get(pid, ()), *past(ref, name, held=held)) for pid in pids}},
        )
        self.ready(ref, name)

    def ready(self, ref: PackageRef, name: str = "line", replica: int = 0, *, shadow: bool = False) -> None:
        digest = self.observed.installed[ref].receipt.digest
        ready = process(ref, name=name, replica=replica, digest=digest, shadow=shadow)
        self.see(processes={**self.observed.processes, **running(ready)})

    def fail(
        self, ref: PackageRef, name: str = "line", attempts: int = 2, *, shadow: bool = False, **kind: Any
    ) -> None:
        """Let a version's process fail, for the second time unless told, and be gone."""
        key = ProcessKey(name, ref.name, ref.version, shadow=shadow)
        failure = Failure(
            ObjectRef("process", key), "it does not start", None, attempts, self.seconds + 1e6, at=self.seconds, **kind
        )
        self.see(
            failures={**self.observed.failures, failure.object: failure},
            processes={other: each for other, each in self.observed.processes.items() if other != key},
        )

    def calls(self, pid: str, number: int, errors: int = 0) -> None:
        mapping = self.observed.active[pid]
        assert isinstance(mapping, ActiveMapping)
        more = Tally(number, errors=errors, verdicts_ok=number - errors, latency=sketch([0.01] * number))
        at = (pid, mapping.ref)
        self.tallies[at] = self.tallies.get(at, Tally()) + more
        self.see(tallies=dict(self.tallies), recent=RecentCalls({300.0: dict(self.tallies)}))

    def replayed(self, wanted: int, done: bool = True, **report: Any) -> None:
        """Let the replay of the present step come to something."""
        key = replay_key(self.rollout)
        assert key is not None, self.rollout.state
        self.see(replays={"line": ReplayReport(key, wanted, done=done, **report)})

    def shadowed(self, pid: str, counts: Agreement, ref: PackageRef = B) -> None:
        """Let the shadow answer more pictures of a PID."""
        at = (pid, ref)
        self.see(shadows={**self.observed.shadows, at: self.observed.shadows.get(at, Agreement()) + counts})

    def now(self) -> Instant:
        return Instant(self.boot, self.seconds)

    def go(self, wanted: Revision, seconds: float = 0.0) -> Plan:
        """Make passes until nothing is left to do now."""
        self.seconds += seconds
        for _ in range(12):
            if not self.step(wanted):
                return self.plan
        raise AssertionError(f"no rest: {self.plan.actions}")

    def step(self, wanted: Revision) -> int:
        """Make one pass; return how many actions it carried out."""
        self.plan = plan(wanted, self.observed, self.now())
        self.see(records={**self.observed.records, **self.plan.records})
        pending = {action.object for action in self.plan.actions}
        ready = [action for action in self.plan.actions if not pending.intersection(action.depends_on)]
        for action in ready:
            self._perform(action)
        return len(ready)

    def _perform(self, action: Any) -> None:
        match action:
            case SaveRollout(deployment=name, record=record, reason=reason):
                self.notes.append(reason)
                self.see(records={**self.observed.records, name: record})
            case Install(package=package):
                self.install(package)
            case Preheat(process=key):
                self.ready(key.ref, key.deployment, key.replica, shadow=key.shadow)
            case Retire(process=key):
                self.see(processes={other: each for other, each in self.observed.processes.items() if other != key})
            case Switch(pid=pid, target=ref, deployment=name, reason=reason):
                self.serving(ref, pid, name=name, held=reason.startswith(HELD_BY))
            case Deactivate(pid=pid):
                self.see(active={other: each for other, each in self.observed.active.items() if other != pid})

    @property
    def active(self) -> dict[str, str]:
        return {pid: mapping.ref.version for pid, mapping in sorted(self.observed.active.items())}  # type: ignore[union-attr]

    @property
    def on(self) -> str:
        """The versions of the four PIDs, such as `A A A B`."""
        letters = {"0.9.0": "o", "1.0.0": "A", "1.1.0": "B", "1.2.0": "C"}
        return " ".join(letters[self.active[pid]] if pid in self.active else "-" for pid in PIDS)

    @property
    def record(self) -> RolloutRecord:
        return self.observed.records.get("line", RolloutRecord())

    @property
    def rollout(self) -> Rollout:
        assert self.record.rollout is not None
        return self.record.rollout

    def promote(self) -> None:
        record = self.record.with_rollout(promote(self.rollout, self.now(), full=False))
        self.see(records={**self.observed.records, "line": record})
