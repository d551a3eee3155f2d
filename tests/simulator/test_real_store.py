"""The same histories on a real store: files, fsync, locks and the hash chain of the audit, a few of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.errors import Code, PackageError
from controller.model.package import PackageRef, Receipt
from controller.store.layout import StoreLayout
from controller.store.store import Store
from tests.reconciler.fakes import FakePackages
from tests.simulator.history import History, run
from tests.simulator.invariants import Watch
from tests.simulator.world import PIDS, World


@dataclass
class DiskPackages(FakePackages):
    """Installs into a real folder, and fails as the world wants it."""

    world: Any = None

    def deliver(self, ref: PackageRef) -> None:
        self.add_zip(ref.name, ref.version, PIDS)

    def install(
        self,
        zip_path: Path,
        *,
        expect: PackageRef | None = None,
        expect_digest: str | None = None,
        progress: Callable[[str], None] = lambda step: None,
    ) -> Receipt:
        assert expect is not None
        self.world.tick(f"install {expect}")
        if self.world.nature(expect).install_fails:
            raise PackageError(Code.install_failed, f"{expect} does not import")
        return super().install(zip_path, expect=expect, expect_digest=expect_digest, progress=progress)


@pytest.mark.parametrize("seed", range(3))
def test_histories_hold_on_a_real_store(tmp_path: Path, seed: int) -> None:
    layout = StoreLayout.at(tmp_path / "store")
    packages = DiskPackages(layout)
    store = Store.at(layout, lambda: "2026-01-01T00:00:00Z")
    store.create_folders()
    world = World(seed, Watch(), store, packages)
    packages.world = world

    run(History(seed, world, by_hand=False))

    assert world.watch.moves, "nothing happened"
    assert store.audit.verify().broken_at is None
