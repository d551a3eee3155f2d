"""The real background check: `pvctl package validate` with the least priority, and nothing left when it is ended."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from controller.errors import Code
from controller.model.package import Verdict
from controller.packages.background import BackgroundCheck
from controller.packages.install import Installer
from controller.store.layout import StoreLayout
from examples.packing import SETUP_HANGS, SETUP_RAISES, build_package
from tests.packages.conftest import marked, snapshot
from tests.roomy import room
from tests.waiting import until


@pytest.fixture(autouse=True)
def on_a_machine_with_room() -> Iterator[None]:
    with room():
        yield


@pytest.fixture
def check(layout: StoreLayout) -> BackgroundCheck:
    command = (
        sys.executable,
        "-P",
        "-m",
        "controller",
        "--store",
        str(layout.root),
        "-o",
        "json",
        "package",
        "validate",
    )
    return BackgroundCheck(command, layout.staging)


async def test_a_zip_gets_the_verdict_of_a_full_check_and_nothing_stays(
    tmp_path: Path, installer: Installer, layout: StoreLayout, check: BackgroundCheck
) -> None:
    before = snapshot(layout.root)
    raises = build_package(tmp_path, name="no-camera", source=SETUP_RAISES)
    verdict = await check.check(raises)
    assert verdict is not None
    assert (verdict.code, verdict.digest) == (Code.install_failed, installer.survey(raises)[1])
    assert "no such camera: cam-7" in verdict.reason
    assert snapshot(layout.root) == before


async def test_a_check_has_the_least_priority_and_leaves_nothing_when_it_is_cancelled(
    tmp_path: Path, layout: StoreLayout, check: BackgroundCheck
) -> None:
    before = snapshot(layout.root)
    working = asyncio.create_task(check.check(build_package(tmp_path, name="hangs", source=SETUP_HANGS)))
    [algorithm] = await until(lambda: marked(layout, "sleep"), "the proof's own child")
    process = psutil.Process(algorithm)
    assert process.nice() == 19
    assert os.sched_getscheduler(algorithm) == os.SCHED_IDLE
    assert process.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE

    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert marked(layout) == []
    assert snapshot(layout.root) == before


async def test_what_the_command_says_of_the_zip_is_the_verdict(good_zip: Path, layout: StoreLayout) -> None:
    valid = '[{"digest": "sha256:ab", "error": null}]'
    assert await BackgroundCheck(["echo", valid, "#"], layout.staging).check(good_zip) is None, "a path behind it"
    said = BackgroundCheck(["sh", "-c", f"echo '{valid}'"], layout.staging)
    assert await said.check(good_zip) == Verdict("sha256:ab", None, "")


async def test_what_is_about_this_machine_is_no_verdict(good_zip: Path, layout: StoreLayout) -> None:
    for command in (["sh", "-c", "exit 1"], ["sh", "-c", "kill -9 $$"], ["sh", "-c", "echo nothing"]):
        assert await BackgroundCheck(command, layout.staging).check(good_zip) is None
    ended = '[{"digest": "d", "error": {"code": 2005, "message": "", "details": {"exit_status": -9}}}]'
    assert await BackgroundCheck(["sh", "-c", f"echo '{ended}'; exit 4"], layout.staging).check(good_zip) is None
    with pytest.raises(OSError, match="nowhere"):
        await BackgroundCheck(["/nowhere/pvctl"], layout.staging).check(good_zip)


async def test_a_check_that_could_fill_the_disk_is_not_begun(good_zip: Path, layout: StoreLayout) -> None:
    layout.staging.mkdir(parents=True, exist_ok=True)
    large = good_zip.with_name("large.zip")
    with large.open("wb") as file:  # a hole: nothing of it is on the disk
        file.truncate(shutil.disk_usage(layout.staging).free // 5)
    check = BackgroundCheck(["touch", str(layout.staging / "begun")], layout.staging)
    with pytest.raises(OSError, match="too little of the disk would be left"):
        await check.check(large)
    assert not list(layout.staging.iterdir())
