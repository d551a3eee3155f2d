"""Holds by activation: what is on record, and what becomes of them where a switch fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.errors import CodedError, StoreError
from controller.model.package import PackageRef
from controller.model.rollout import Hold
from controller.station.commands.activating import Activate
from controller.station.port import Caller
from controller.store.active import ActiveMappings
from tests.builders import audit_records
from tests.reconciler.fakes import Rig
from tests.reconciler.test_loop import running
from tests.station.test_local import local_station

MIA = Caller("mia")


@pytest.mark.parametrize("decided_since", [False, True])
async def test_a_hold_whose_switch_fails_is_withdrawn_on_record_unless_somebody_decided_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decided_since: bool
) -> None:
    rig = Rig(tmp_path / "store")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        rig.packages.add_zip("screw", version)
    rollouts = rig.store.rollouts
    former = Hold("A01", PackageRef("screw", "1.0.0"), "ann", "2026-01-01T00:00:00Z", "before")
    newer = Hold("A01", PackageRef("screw", "1.0.0"), "bob", "2026-01-01T00:00:01Z", "since")

    def refuse(_: object, mappings: Any, __: object) -> dict[str, Exception]:
        if decided_since:
            rollouts.write_holds([newer])
        return {pid: StoreError("the disk is full") for pid in mappings}

    async with running(rig) as daemon:
        asked = local_station(daemon, tmp_path)
        rig.packages.install(rig.store.layout.zips / "screw-1.1.0.zip")
        rollouts.write_holds([former])
        monkeypatch.setattr(ActiveMappings, "write_all", refuse)
        with pytest.raises(CodedError, match="the disk is full"):
            await asked.execute(Activate("screw", "1.1.0", ("A01",), "trial", hold=True), MIA)
        monkeypatch.undo()

        assert rollouts.read_holds() == {"A01": newer if decided_since else former}
    told = [
        (each["before"]["version"], each["after"]["version"], each["reason"])
        for each in audit_records(rig.store.audit)
        if (each["action"], each["outcome"]) == ("hold", "succeeded")
    ]
    made = ("1.0.0", "1.1.0", "trial")
    withdrawn = ("1.1.0", "1.0.0", "withdrawn: the switch failed")
    assert told == ([made] if decided_since else [made, withdrawn])
