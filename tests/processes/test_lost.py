"""Processes whose store lost its `run` folder: found by their token, and never taken for somebody else's."""

from __future__ import annotations

import shutil

import pytest

from controller.processes.census import end_all
from controller.processes.lost import lost_shims
from controller.store.layout import StoreLayout
from tests.processes.conftest import KEY, call, process_of, runner_of, running
from tests.processes.test_process import ask, gone, opened

pytestmark = pytest.mark.real


@pytest.mark.parametrize("by", ["down", "start"])
async def test_what_runs_is_found_after_its_folder_was_removed(layout, make_spec, by):
    runner = runner_of(layout)
    await runner.open()
    await runner.start(make_spec())
    await call(runner, ask("grandchild"))
    before = running(layout)
    shutil.rmtree(layout.run)
    assert runner.make_folder()
    assert (await call(runner, ask(n=3))).data["given"]["n"] == 3, "who is attached goes on"
    await runner.close()
    assert [(each.key, each.shim.os_pid in before) for each in lost_shims(layout.run)] == [(KEY, True)]
    if by == "down":
        assert [each.key for each in end_all(layout)] == [KEY]
    else:
        async with opened(layout) as again:
            assert await again.observe() == {}
    assert list(lost_shims(layout.run)) == []
    assert [each for each in before if not gone(each)] == []


async def test_the_processes_of_a_store_that_was_moved_are_not_those_of_its_successor(layout, make_spec, tmp_path):
    async with opened(layout, make_spec()) as runner:
        moved = StoreLayout.at(tmp_path / "moved")
        layout.root.rename(moved.root)
        layout.run.mkdir(parents=True)
        assert list(lost_shims(layout.run)) == []
        assert end_all(layout) == ()
        assert process_of(runner).state == "ready"
        shutil.rmtree(layout.root)
        moved.root.rename(layout.root)
        assert (await call(runner, ask())).status == "OK"
