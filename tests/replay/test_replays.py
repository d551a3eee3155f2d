"""The replay of a rollout on a real store: its journal, a kill in the middle, its end, and that nothing is left."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from controller.calls import own_time
from controller.calls.detection import smoke
from controller.errors import ControllerError, StoreError
from controller.host.clock import utc_now
from controller.host.priority import Thread
from controller.images import slots
from controller.images.shared_folder import open_folder
from controller.model.actions import Replay
from controller.model.comparison import Agreement
from controller.model.desired import Deployment
from controller.model.input import PictureInput
from controller.model.objects import ProcessKey
from controller.model.package import PackageRef
from controller.model.recording import RecordingFilter
from controller.model.replay import ReplayKey, ReplayReport
from controller.packages.install import Installer
from controller.processes import records
from controller.processes.launch import Launcher
from controller.processes.spec import ProcessSpec
from controller.reconciler.apply import process_spec
from controller.recordings.source import Pictures
from controller.recordings.stored import StoreRecordings
from controller.replay import journal
from controller.replay.replays import RolloutReplays, beside_the_line
from controller.replay.stand import Stand, _swapped
from controller.store.layout import StoreLayout
from controller.store.store import Store
from examples.packing.algorithms import NEVER_READY, Algorithm
from tests.builders import deployment
from tests.host_limits import on_small_disk
from tests.replay.parts import LOOK, MISSES_ONE_IN_TEN, NEW, OLD, call, inspector, part, record
from tests.waiting import HANGS, until

pytestmark = pytest.mark.real
VERSIONS = {
    "2.0.0": MISSES_ONE_IN_TEN,
    "2.1.0": Algorithm(
        body=f"{LOOK}\nif number == 7: os._exit(3)\nif number == 8: raise ValueError('no focus')\nreturn ok()"
    ),
    "2.2.0": Algorithm(body=f"{LOOK}\ntime.sleep(613 if number == 5 else 0.1)\nreturn bad if scratched else ok()"),
    "2.3.0": NEVER_READY,
    "2.4.0": Algorithm(body=f"{LOOK}\nself.kept = bytearray(300 << 20)\ntime.sleep(1)\nreturn ok()"),
    "2.5.0": Algorithm(body="os._exit(3)"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with every version installed."""
    root = tmp_path_factory.mktemp("replays")
    store = Store.at(StoreLayout.at(root / "store"), utc_now)
    store.create_folders()
    for version, algorithm in VERSIONS.items():
        Installer.of(store, utc_now).install(inspector(root / "zips", version, algorithm))
    return store


@pytest.fixture
def layout(store: Store) -> Iterator[StoreLayout]:
    yield store.layout
    assert list(records.scan(store.layout.run)) == [], "a process was left"
    assert not list(store.layout.staging.iterdir()), "a worker was left"


class Bench:
    """Replays of one deployment."""

    def __init__(self, store: Store, version: str, **spec: object) -> None:
        self.layout = store.layout
        ref = PackageRef("inspector", version)
        document = deployment("line", version, "A01", "A02", package="inspector", **spec)
        self.deployment = Deployment.model_validate(document)
        installed = Installer.of(store, utc_now).installations()[ref]
        self.spec: ProcessSpec = process_spec(
            ProcessKey("line", "inspector", version), self.deployment, installed, store
        )
        self.key = ReplayKey("line", ref, installed.receipt.digest, "2026-01-01T00:00:00Z", 0)
        self.replays = RolloutReplays(store.layout)

    def action(self, **other: object) -> Replay:
        return replace(Replay(self.key, ("A01", "A02"), 500, None, "step 1"), **other)

    async def run(self, memory_max: int | None = None, **other: object) -> ReplayReport:
        await asyncio.wait_for(self.replays.run(self.action(**other), self.spec, memory_max), HANGS)
        return self.report

    @property
    def report(self) -> ReplayReport:
        return self.replays.reports()["line"]


@pytest.fixture(autouse=True)
def forgotten(store: Store) -> Iterator[None]:
    yield
    store.layout.replay("line").unlink(missing_ok=True)
    StoreRecordings(store.layout).delete(RecordingFilter())


async def test_it_is_exact_durable_and_not_done_twice(store: Store, layout: StoreLayout) -> None:
    record(layout.root, range(1, 31))
    record(layout.root, range(31, 41), package=NEW)
    bench = Bench(store, "2.0.0")

    report = await bench.run()

    assert report.done
    assert report.wanted == 30, "what the target itself has answered is not shown to it"
    assert report.agreement == Agreement(ok_ok=20, ng_ng=9, ng_ok=1, newly_ok=1)
    assert [(each.request_id, each.before.said, each.after.said) for each in report.differing] == [("r30", "NG", "OK")]
    assert report.memory_bytes is not None
    assert RolloutReplays(layout).reports() == {"line": report}, "the next controller knows it"

    lines = layout.replay("line").read_bytes()
    await bench.run()
    assert layout.replay("line").read_bytes() == lines

    record(layout.root, range(41, 51))
    bench.key = replace(bench.key, again=1)
    assert (await bench.run()).wanted == 40, "begun anew, it shows what is recorded by then"
    assert RolloutReplays(layout).reports()["line"].key == bench.key


async def test_only_what_the_version_said_that_is_to_be_replaced_is_compared_with(
    store: Store, layout: StoreLayout
) -> None:
    """A canary that was rolled back for overkill has recorded false NGs: the fix would count as newly OK on each."""
    overkill, other = PackageRef("inspector", "1.1.0"), PackageRef("other", "1.0.0")
    record(layout.root, range(1, 7))
    record(layout.root, range(7, 13), package=overkill, verdict="NG")
    record(layout.root, range(13, 19), package=other)
    bench = Bench(store, "2.0.0")

    report = await bench.run(answered_by=(("A01", OLD), ("A02", other)))
    assert report.agreement == Agreement(ok_ok=4, ng_ng=2), "of A01 what 1.0.0 said, and A02 has nothing"

    bench.key = replace(bench.key, again=1)
    report = await bench.run(quarantined=(overkill,))
    assert report.agreement == Agreement(ok_ok=4, ng_ng=2), "without such a version: the package, no quarantine"


async def test_the_newest_pictures_are_meant_and_one_without_a_verdict_is_excused(
    store: Store, layout: StoreLayout
) -> None:
    record(layout.root, range(1, 31))
    record(layout.root, [31], verdict="FAILED", error={"code": 1005, "message": "late"})

    report = await Bench(store, "2.0.0").run(last=6)

    assert report.wanted == 6
    assert report.agreement == Agreement(ok_ok=3, ng_ng=1, ng_ok=1, newly_ok=1, excused=1)


async def test_pictures_that_go_meanwhile_are_dropped_and_without_any_it_is_done(
    store: Store, layout: StoreLayout
) -> None:
    source = record(layout.root, range(1, 4))
    source.pictures(source.calls(RecordingFilter())[0])
    (layout.recordings / "A01").joinpath(f"{source.calls(RecordingFilter())[0].id}.call").unlink()
    bench = Bench(store, "2.0.0")
    damaged = (layout.recordings / "A01") / f"{source.calls(RecordingFilter())[0].id}.call"
    damaged.write_bytes(damaged.read_bytes()[:-10] + b"x" * 10)

    assert (await bench.run()).agreement == Agreement(ok_ok=1, dropped=1)

    source.delete(RecordingFilter())
    layout.replay("line").unlink()
    report = await Bench(store, "2.0.0").run()
    assert (report.wanted, report.done) == (0, True)


async def test_crashes_and_exceptions_are_errors_of_their_pictures_and_the_others_go_on(
    store: Store, layout: StoreLayout
) -> None:
    record(layout.root, range(1, 13))

    report = await Bench(store, "2.1.0").run()

    assert report.agreement == Agreement(ok_ok=6, ng_ok=4, newly_ok=4, errors=2)
    said = {each.request_id: each.after.message for each in report.differing}
    assert "exit status 3" in said["r7"]
    assert "no focus" in said["r8"]
    assert report.failure == ""


async def test_no_answer_in_time_is_a_timeout_and_a_kill_in_the_middle_repeats_little(
    store: Store, layout: StoreLayout
) -> None:
    record(layout.root, range(1, 25))
    bench = Bench(store, "2.2.0", timeouts={"call": "1500ms"})
    running = asyncio.create_task(bench.run())
    await until(lambda: "line" in bench.replays.reports() and bench.report.shown >= 10)
    worker = next(each for each in psutil.Process().children() if "controller.replay" in each.cmdline())
    worker.kill()
    with pytest.raises(StoreError, match="exit status -9"):
        await running
    assert "the worker" in bench.report.problem
    kept = journal.read(layout.replay("line"))
    assert kept is not None
    assert len(kept.shown) >= 10

    report = await Bench(store, "2.2.0", timeouts={"call": "1500ms"}).run()

    after = journal.read(layout.replay("line"))
    assert after is not None
    assert after.shown[: len(kept.shown)] == kept.shown, "it went on where it was"
    assert (report.done, report.problem) == (True, "")
    assert report.agreement == Agreement(ok_ok=15, ng_ng=8, timeouts=1)


async def test_it_is_ended_when_nobody_wants_it_and_the_next_goes_on_where_it_was(
    store: Store, layout: StoreLayout
) -> None:
    record(layout.root, range(6, 30))
    bench = Bench(store, "2.2.0")
    running = asyncio.create_task(bench.run())
    await until(lambda: "line" in bench.replays.reports() and bench.report.shown >= 5)

    bench.replays.keep((), ("line",))
    report = await running

    assert not report.done
    assert list(records.scan(layout.run)) == []
    again = RolloutReplays(layout)
    assert again.reports()["line"].shown >= 5
    again.keep((), ())
    assert again.reports() == {}
    assert not layout.replay("line").exists()


FULL = """
import asyncio, json, sys
from dataclasses import replace
from controller.errors import StoreError
from controller.host.clock import utc_now
from controller.replay import journal
from controller.replay.replays import RolloutReplays
from controller.store.layout import StoreLayout
from controller.store.store import Store
from tests.host_limits import filled
from tests.replay.parts import record
from tests.replay.test_replays import Bench
from tests.waiting import until

async def main(installed, disk):
    bench, layout, said = Bench(Store.at(StoreLayout.at(installed), utc_now), "2.2.0"), StoreLayout.at(disk), []
    layout.run.mkdir(parents=True)
    record(layout.root, range(6, 30))
    bench.layout, bench.replays = layout, RolloutReplays(layout)
    bench.spec = replace(bench.spec, log_path=str(layout.process_log("line", "2.2.0", 0)))

    async def run():
        try:
            await bench.run()
        except StoreError as error:
            assert "check the disk" in bench.report.problem == str(error)
            said.append(str(error).partition(": ")[2].partition(";")[0])

    with filled(layout.root):
        await run()
    running = asyncio.create_task(run())
    await until(lambda: running.done() or bench.report.shown >= 3)
    with filled(layout.root):
        await running
    told, kept = bench.report.shown, journal.read(layout.replay("line")).shown
    with filled(layout.root, inodes=True):
        await run()
    await run()
    after = journal.read(layout.replay("line")).shown
    print(json.dumps({
        "said": said, "told": told == len(kept), "goes on": after[: len(kept)] == kept,
        "done": bench.report.done and not bench.report.problem, "shown": len(after),
        "left": [path.name for path in layout.replays.iterdir()],
    }))

asyncio.run(main(*sys.argv[1:]))
"""


def test_on_a_full_disk_it_says_so_and_goes_on_where_it_was_when_there_is_room(
    layout: StoreLayout, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [sys.executable, "-c", FULL, str(layout.root), str(disk)]

    done = subprocess.run(
        on_small_disk(disk, command, size="2M", inodes=200), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found.pop("said")) == {"No space left on device"}
    assert found == {"told": True, "goes on": True, "done": True, "shown": 24, "left": ["line.jsonl"]}


async def test_what_the_machine_did_is_not_held_against_the_version(
    store: Store, layout: StoreLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(store, "2.2.0", timeouts={"call": "700ms"})
    launcher = Launcher(layout, sys.executable, smoke)
    open_folder(layout.images)
    bench_stand = Stand(layout, launcher, beside_the_line(layout, bench.spec), utc_now)
    hangs, quick = call(5), call(6)
    shown = Pictures(part(5), None)
    assert (await bench_stand.show(quick, Pictures(part(6), None))).said == "NG"  # type: ignore[union-attr]
    assert (await bench_stand.show(hangs, shown)).said == "TIMEOUT"  # type: ignore[union-attr]

    monkeypatch.setattr(own_time, "threads_of", lambda _: {"1": Thread(stands=True, ran=0.0)})
    assert await bench_stand.show(hangs, shown) is None, "its process had to wait for a processor"
    monkeypatch.undo()
    showing = asyncio.create_task(bench_stand.show(hangs, shown))
    await until(lambda: bench_stand._process is not None and bench_stand._process.state == "busy")
    (running,) = (each for each in records.scan(layout.run) if each.alive)
    os.kill(running.adapter.os_pid, signal.SIGKILL)
    assert await showing is None, "the system ended it"
    monkeypatch.setattr(own_time, "threads_of", lambda _: {"1": Thread(stands=True, ran=0.0)})
    with pytest.raises(ControllerError, match="3 times in sequence"):
        await bench_stand.show(hangs, shown)
    await bench_stand.close()


async def test_a_full_memory_folder_ends_the_attempt_instead_of_dropping_all_pictures(
    store: Store, layout: StoreLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_folder(layout.images)
    spec = beside_the_line(layout, Bench(store, "2.0.0").spec)
    stand = Stand(layout, Launcher(layout, sys.executable, smoke), spec, utc_now)
    shown = call(6), Pictures(part(6), None)
    assert (await stand.show(*shown)).said == "NG"  # type: ignore[union-attr]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(slots, "_write", full)
    assert [await stand.show(*shown) for _ in range(2)] == [None, None]
    with pytest.raises(ControllerError, match=r"No space left on device, 3 times in sequence"):
        await stand.show(*shown)
    monkeypatch.undo()
    assert (await stand.show(*shown)).said == "NG"  # type: ignore[union-attr]
    await stand.close()


@pytest.mark.parametrize(
    ("version", "memory_max", "words"),
    [
        ("2.3.0", None, "did not become ready"),
        ("2.4.0", 200 << 20, "of memory, more than"),
        ("2.5.0", None, "replaced"),
    ],
    ids=["never ready", "memory", "crash loop"],
)
async def test_a_version_that_fails_otherwise_has_failed(
    store: Store, layout: StoreLayout, version: str, memory_max: int | None, words: str
) -> None:
    record(layout.root, range(1, 40))
    bench = Bench(store, version, timeouts={"start": "100ms" if version == "2.3.0" else "30s"})

    report = await bench.run(memory_max)

    assert report.done
    assert words in report.failure


@pytest.mark.parametrize(
    ("recorded", "spec", "beside_the_line", "expected"),
    [
        (True, False, True, False),
        (False, True, True, True),
        (True, False, False, True),
        (False, True, False, False),
        (None, True, False, True),
    ],
)
def test_pictures_change_places_as_at_the_line_and_without_one_as_recorded(
    recorded: bool | None, spec: bool, beside_the_line: bool, expected: bool
) -> None:
    assert _swapped(PictureInput(swap=spec), call(1, swapped=recorded), beside_the_line) is expected
