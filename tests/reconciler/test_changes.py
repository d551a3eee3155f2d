"""The change report: field by field, in the operator's units, and nothing where nothing changed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from controller.model.desired import Revision
from controller.reconciler.changes import Change, describe_changes
from tests.builders import deployment, revision


def lines(before: Revision | None, after: Revision) -> list[str]:
    return [str(change) for change in describe_changes(before, after)]


def test_equal_revisions_differ_in_nothing_and_deepdiff_is_not_loaded() -> None:
    assert describe_changes(revision(deployment()), revision(deployment())) == ()
    script = (
        "import sys\nfrom controller.model.desired import Revision\n"
        "from controller.reconciler.changes import describe_changes\n"
        "r = Revision(id='x', source='s', loaded_at='t')\nassert describe_changes(r, r) == ()\n"
        "assert 'deepdiff' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_new_and_removed_deployments_are_one_line_each() -> None:
    old, new = revision(deployment("a")), revision(deployment("b", "1.0.0", "B01"))
    assert lines(old, new) == ["a: removed screw@1.0.0 on A01, A02", "b: added screw@1.0.0 on B01"]
    assert describe_changes(None, new) == (Change("b", "", None, "screw@1.0.0 on B01", "added"),)


def test_fields_are_told_in_the_operators_units() -> None:
    old = revision(deployment(timeouts={"call": "90s"}, health={"memory": {"max": "2GiB"}}, pinned={"A01": "0.9"}))
    new = revision(
        deployment(
            version="1.1.0", timeouts={"call": "10m"}, suspend=True,
            health={"errorRate": {"max": "0.1"}, "latencyP95": {"max": "800ms"}}, pinned={"A02": "0.8"},
        )
    )  # fmt: skip
    assert lines(old, new) == [
        "screw spec.health.errorRate.max: 5% → 10%",
        "screw spec.health.latencyP95: added {max: 800ms, window: 5m, minSamples: 50}",
        "screw spec.health.memory: removed {max: 2GiB}",
        "screw spec.package.version: 1.0.0 → 1.1.0",
        "screw spec.pinned.A01: removed 0.9",
        "screw spec.pinned.A02: added 0.8",
        "screw spec.suspend: false → true",
        "screw spec.timeouts.call: 1m30s → 10m",
    ]
    assert describe_changes(old, new)[3] == Change("screw", "spec.package.version", "1.0.0", "1.1.0", "changed")


def test_pids_are_told_one_by_one_and_their_order_too() -> None:
    old = revision(deployment("screw", "1.0.0", "A01", "A02", "A03"))
    assert lines(old, revision(deployment("screw", "1.0.0", "A02", "A03", "A04"))) == [
        "screw spec.pids: removed A01",
        "screw spec.pids: added A04",
    ]
    turned = revision(deployment("screw", "1.0.0", "A03", "A02", "A01"))
    assert lines(old, turned) == ["screw spec.pids: [A01, A02, A03] → [A03, A02, A01]"]


def test_steps_are_told_by_their_place() -> None:
    def stepped(*steps: dict[str, Any]) -> Revision:
        return revision(deployment(strategy={"canary": {"steps": steps}}))

    old = stepped({"setWeight": 25}, {"pause": {"duration": "10m"}})
    new = stepped({"setWeight": 25}, {"pause": {"duration": "20m"}}, {"setWeight": 50})
    assert lines(old, new) == [
        "screw spec.strategy.canary.steps[1].pause.duration: 10m → 20m",
        "screw spec.strategy.canary.steps[2]: added {setWeight: 50}",
    ]


def test_the_policy_belongs_to_no_deployment() -> None:
    old = revision(deployment())
    new = revision(deployment(), retention={"zips": 5}, pythons=["/usr/bin/python3.10"])
    assert [change.deployment for change in describe_changes(old, new)] == [None, None]
    assert lines(old, new) == [
        "StationPolicy spec.pythons[0]: added /usr/bin/python3.10",
        "StationPolicy spec.retention.zips: added 5",
    ]
    assert lines(None, new) == ["screw: added screw@1.0.0 on A01, A02"]
