"""Versions come and go for ever, and what is counted does not grow with them."""

from __future__ import annotations

from controller.model.package import PackageRef
from tests.builders import deployment, revision
from tests.simulator.history import History, run

PIDS = ["A01", "A02"]
VERSIONS = [f"2.{minor}.0" for minor in range(12)]


class Parade(History):
    """One version after the other is desired, called and promoted; `kept` notes how many counts were held meanwhile."""

    kept: list[int]

    async def run(self) -> None:
        world, self.kept = self.world, []
        world.concluded = 1.0
        for version in VERSIONS:
            world.packages.deliver(PackageRef("screw", version))
            self.revisions += 1
            world.bare.revision.write(revision(deployment("line", version, *PIDS), id_=f"r{self.revisions}"))
            await self._live()
            world.take_again()
            for _ in range(8):
                world.call(10)
                await self._pass(5.0)
            answering = {pid: getattr(world.bare.active.read(pid), "version", None) for pid in PIDS}
            assert answering == dict.fromkeys(PIDS, version)
            self.kept.append(len(world.tally_store.tallies))


def test_after_many_versions_only_what_may_be_asked_for_is_counted() -> None:
    parade = Parade(0)

    run(parade)

    present, before = (PackageRef("screw", version) for version in (VERSIONS[-1], VERSIONS[-2]))
    assert parade.world.tally_store.tallies.keys() == {(pid, ref) for pid in PIDS for ref in (before, present)}
    assert max(parade.kept) <= 3 * len(PIDS)
    assert parade.world.tallies == parade.world.tally_store.tallies
