"""Zips are judged before anybody wants them: which, when, and what is remembered of it. Here with a stand-in check;
`tests/packages/test_background.py` and `tests/end_to_end/test_arriving_zips.py` have the real one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from controller.errors import Code
from controller.model.package import PackageRecord, Verdict
from controller.planning.registry_rows import registry_rows
from controller.reconciler.background_checks import BackgroundChecks
from controller.reconciler.zips import ZipFolder
from tests.reconciler.fakes import Rig

SCREW_1, SCREW_2 = "sha256:screw@1.0.0", "sha256:screw@2.0.0"
BROKEN = Verdict(SCREW_2, int(Code.install_failed), "no such camera")


@dataclass
class FakeCheck:
    """Finds what it is told to, when it is told to go on; None is no verdict."""

    verdicts: dict[str, Verdict | None] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def check(self, zip_path: Path) -> Verdict | None:
        self.begun.append(zip_path.name)
        try:
            await self.go_on.wait()
            return self.verdicts[zip_path.name]
        finally:
            self.ended.append(zip_path.name)


class Arrivals:
    """The zips of a store, their checks, and a clock."""

    def __init__(self, root: Path) -> None:
        self.rig = Rig(root)
        for version in ("1.0.0", "2.0.0"):
            self.rig.packages.add_zip("screw", version)
        self.check = FakeCheck({"screw-1.0.0.zip": Verdict(SCREW_1, None, ""), "screw-2.0.0.zip": BROKEN})
        self.seconds, self.woken = 0.0, 0
        self.restart()

    def restart(self) -> None:
        """Begin a new life of the controller, on the same store."""
        self.zips = ZipFolder(self.rig.store.layout, self.rig.packages)
        self.checks = BackgroundChecks(self.zips, self.check, self._wake, lambda: self.seconds)

    def _wake(self) -> None:
        self.woken += 1

    async def pass_by(self, *, at_rest: bool = True) -> dict[str, PackageRecord]:
        """Do what a pass does of this; return the rows by version."""
        registry = self.rig.store.registry
        rows = registry_rows(self.zips.survey(registry.read() or (), registry.written_at()), {}, {})
        registry.write(rows)
        self.checks.consider(at_rest=at_rest)
        for _ in range(5):
            await asyncio.sleep(0)
        return {row.version: row for row in rows}


@pytest.fixture
def arrivals(tmp_path: Path) -> Arrivals:
    return Arrivals(tmp_path / "store")


async def test_zips_are_checked_one_after_the_other_and_a_restart_remembers(arrivals: Arrivals) -> None:
    rows = await arrivals.pass_by()
    assert {row.state for row in rows.values()} == {"discovered"}
    await arrivals.pass_by()
    assert arrivals.check.begun == ["screw-1.0.0.zip"]

    arrivals.check.go_on.set()
    for _ in range(2):
        await arrivals.pass_by()
    rows = await arrivals.pass_by()
    assert arrivals.check.begun == ["screw-1.0.0.zip", "screw-2.0.0.zip"]
    assert arrivals.woken == 2
    assert rows["1.0.0"].state == "validated"
    assert (rows["2.0.0"].state, rows["2.0.0"].error_code, rows["2.0.0"].reason) == ("invalid", 2005, "no such camera")

    arrivals.restart()
    again = await arrivals.pass_by()
    assert {version: row.state for version, row in again.items()} == {"1.0.0": "validated", "2.0.0": "invalid"}
    assert len(arrivals.check.begun) == 2

    zips = arrivals.rig.store.layout.zips
    (zips / "screw-1.0.0.zip").rename(zips / "another-name.zip")
    assert (await arrivals.pass_by())["1.0.0"].state == "validated", "one verdict for one content"
    assert len(arrivals.check.begun) == 2


async def test_a_check_gives_way_to_whatever_is_to_be_done_and_begins_again(arrivals: Arrivals) -> None:
    await arrivals.pass_by()
    for _ in range(2):
        await arrivals.pass_by(at_rest=False)
    assert arrivals.check.ended == arrivals.check.begun == ["screw-1.0.0.zip"]
    await arrivals.pass_by()
    assert arrivals.check.begun == ["screw-1.0.0.zip"] * 2

    await arrivals.checks.stop()
    assert arrivals.check.ended == arrivals.check.begun
    assert {row.state for row in (await arrivals.pass_by(at_rest=False)).values()} == {"discovered"}


async def test_what_came_to_no_verdict_is_tried_again_ever_later_and_holds_up_no_other(arrivals: Arrivals) -> None:
    arrivals.check.verdicts["screw-1.0.0.zip"] = None
    arrivals.check.go_on.set()
    for _ in range(4):
        await arrivals.pass_by()
    assert arrivals.check.begun == ["screw-1.0.0.zip", "screw-2.0.0.zip"]
    for due, begun in ((59.0, 2), (61.0, 3), (179.0, 3), (182.0, 4)):
        arrivals.seconds = due
        await arrivals.pass_by()
        assert len(arrivals.check.begun) == begun, due
    assert (await arrivals.pass_by())["1.0.0"].state == "discovered"


async def test_a_cheap_look_judges_a_zip_in_the_pass_that_finds_it_and_anew_when_pythons_change(
    arrivals: Arrivals,
) -> None:
    packages = arrivals.rig.packages
    packages.wrong["screw-2.0.0.zip"] = Verdict(SCREW_2, int(Code.incompatible_python), "it is packed for Windows")
    for _ in range(2):
        rows = await arrivals.pass_by(at_rest=False)
    assert (rows["2.0.0"].state, rows["2.0.0"].reason) == ("invalid", "it is packed for Windows")
    assert packages.judged == ["screw-1.0.0.zip", "screw-2.0.0.zip"]

    del packages.wrong["screw-2.0.0.zip"]
    arrivals.zips.look_again()
    assert (await arrivals.pass_by(at_rest=False))["2.0.0"].state == "discovered"

    packages.wrong["screw-2.0.0.zip"] = Verdict(SCREW_2, int(Code.incompatible_python), "it is packed for Windows")
    arrivals.restart()
    assert (await arrivals.pass_by(at_rest=False))["2.0.0"].state == "invalid"
    del packages.wrong["screw-2.0.0.zip"]
    arrivals.restart()
    assert (await arrivals.pass_by(at_rest=False))["2.0.0"].state == "discovered", "a Python may have come meanwhile"


async def test_a_zip_that_is_installed_is_not_read_again_by_a_restart_and_is_once_it_is_not(arrivals: Arrivals) -> None:
    registry, looks = arrivals.rig.store.registry, arrivals.rig.packages.judged
    await arrivals.pass_by()
    rows = registry.read() or ()
    registry.write(tuple(replace(row, state="installed", verdict=None) for row in rows))
    arrivals.restart()
    looks.clear()

    await arrivals.pass_by()
    assert looks == []
    await arrivals.pass_by()
    assert sorted(looks) == ["screw-1.0.0.zip", "screw-2.0.0.zip"]
