"""Installing and uninstalling by hand: the zip is kept, the same one can come again, another never takes its name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from controller.errors import PackageError, StoreError
from controller.model.package import PackageRef
from controller.reconciler.apply import Applier
from controller.reconciler.observe import Observer
from controller.station.packages import PackageOperations, at_once
from controller.station.port import Caller
from tests.builders import deployment, revision
from tests.reconciler.fakes import Rig

REF = PackageRef("screw", "1.0.0")
MIA = Caller("mia")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "store")


@pytest.fixture
def delivered(rig: Rig, tmp_path: Path) -> Path:
    """A zip that lies outside the store."""
    return Path(shutil.move(rig.packages.add_zip("screw", "1.0.0"), tmp_path / "screw-1.0.0.zip"))


def operations(rig: Rig) -> PackageOperations:
    observer = Observer(rig.store, rig.packages, rig.processes.observe)
    applier = Applier(
        rig.store, rig.packages, rig.processes, actor="controller", now=rig.now,
        notify=rig.notes.append,
    )  # fmt: skip
    return PackageOperations(rig.store, rig.packages, observer, applier, at_once)


async def test_a_zip_can_be_installed_again_after_an_uninstall_that_kept_it(rig: Rig, delivered: Path) -> None:
    acts = operations(rig)
    await acts.install(delivered, MIA)
    await acts.uninstall(REF, MIA)

    installed = await acts.install(delivered, MIA)

    assert (installed.name, installed.version) == ("screw", "1.0.0")
    assert [path.name for path in rig.store.layout.zips.iterdir()] == [delivered.name]
    assert [each["outcome"] for each in rig.store.audit.read()] == ["started", "succeeded"] * 3
    assert {each["actor"] for each in rig.store.audit.read()} == {"mia"}


async def test_another_zip_of_the_same_file_name_is_refused_before_anything_is_installed(
    rig: Rig, delivered: Path
) -> None:
    (rig.store.layout.zips / delivered.name).write_text("another zip")

    with pytest.raises(StoreError, match="exists already and is another file"):
        await operations(rig).install(delivered, MIA)

    assert rig.packages.installations() == {}
    assert list(rig.store.audit.read()) == []


async def test_what_is_needed_is_not_uninstalled(rig: Rig) -> None:
    rig.packages.add_zip("screw", "1.0.0")
    await rig.reconcile(revision(deployment("line", "1.0.0", "A01")))

    with pytest.raises(PackageError, match="it answers PID A01"):
        await operations(rig).uninstall(REF, MIA)
    assert REF in rig.packages.installations()


async def test_a_pids_way_back_is_not_uninstalled(rig: Rig) -> None:
    for version in ("1.0.0", "1.1.0"):
        rig.packages.add_zip("screw", version)
        await rig.reconcile(revision(deployment("line", version, "A01", rollbackWindow="0s"), id_=version))
    assert [key.version for key in rig.processes.running] == ["1.1.0"]

    with pytest.raises(PackageError, match="it is the way back of PID A01"):
        await operations(rig).uninstall(REF, MIA)
    assert REF in rig.packages.installations()
