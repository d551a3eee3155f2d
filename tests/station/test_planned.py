"""A reconcile that was given a plan does that and nothing else: in a daemon, on fakes over a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import CodedError
from controller.station.commands.reconciling import PlannedChanges, PreviewPlan, Reconcile
from controller.station.planned import promised
from controller.station.port import Caller
from tests.builders import deployment, revision
from tests.reconciler.fakes import Rig
from tests.reconciler.test_loop import running
from tests.station.test_local import local_station
from tests.waiting import HANGS

MIA = Caller("mia")


async def test_a_daemon_refuses_what_was_not_planned_and_takes_what_is_done_already(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "store")
    for version in ("1.0.0", "1.1.0"):
        rig.packages.add_zip("screw", version)
    async with running(rig) as daemon:
        asked = local_station(daemon, tmp_path)
        await daemon.loop.wait_idle(HANGS)
        present = promised(await asked.execute(PreviewPlan(), MIA))
        done = PlannedChanges(present.revision, present.generations, ("switch A01 nothing → screw@1.0.0",))

        assert (await asked.execute(Reconcile(timeout=HANGS, plan=done), MIA)).exit == 0
        stale = PlannedChanges("r0", {**present.generations, "gone": "g1"}, present.changes)
        with pytest.raises(CodedError, match="deployment gone is not as it was planned") as refused:
            await asked.execute(Reconcile(timeout=HANGS, plan=stale), MIA)
        assert refused.value.details == {"deployments": ["gone"], "changes": []}

        rig.store.layout.mapping("A01").unlink()
        with pytest.raises(CodedError, match=r"it would also switch A01 nothing → screw@1\.0\.0"):
            await asked.execute(Reconcile(timeout=HANGS, plan=present), MIA)


def test_a_plan_of_another_time_is_compared_by_its_deployments() -> None:
    one = revision(deployment("line", "1.0.0", "A01"), id_="r1")
    again = revision(deployment("line", "1.0.0", "A01"), id_="r2")
    other = revision(deployment("line", "1.0.0", "A02"), id_="r1")
    generation = [each.by_name["line"].generation for each in (one, again, other)]
    assert generation[0] == generation[1] != generation[2]
