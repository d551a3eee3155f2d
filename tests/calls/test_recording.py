"""What of calls is recorded: by a real writer, of real processes, from the picture that the algorithm had."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from controller.calls import recording
from controller.calls.aftermath import Ended, Follower
from controller.calls.recording import Recorder
from controller.calls.request import DetectionRequest
from controller.client.arguments import CallArguments
from controller.errors import CallError, Code
from controller.images import npy
from controller.images.formats import ImageRef
from controller.model.comparison import Answer, Difference
from controller.model.input import PictureInput
from controller.model.package import PackageRef
from controller.model.recording import RecordedCall, RecordingFilter
from controller.recordings import writing
from controller.recordings.stored import StoreRecordings
from controller.store.layout import StoreLayout
from tests import builders
from tests.calls.stations import Station, station
from tests.processes.conftest import KEY
from tests.waiting import until

ALL = RecordingFilter()
NO_REF = PackageRef("", "")


def picture(number: int, shape: tuple[int, ...] = (30, 40, 3)) -> np.ndarray:
    return np.full(shape, number, np.uint8)


def configure(recorder: Recorder, *pids: str, **wanted: Any) -> None:
    document = builders.deployment(KEY.deployment, "1.0.0", *(pids or ("A01",)), recording=wanted)
    recorder.configure(builders.revision(document).deployments)


@contextlib.asynccontextmanager
async def recording_station(
    layout: StoreLayout, spec: Any, *others: Follower, **wanted: Any
) -> AsyncIterator[tuple[Station, Recorder]]:
    """A station that records A01, and whose writer is there."""
    recorder = Recorder(layout)
    async with station(layout, spec) as opened:
        opened.plane.follow(recorder, *others)
        configure(recorder, **wanted)
        try:
            await until(lambda: recorder.writer.there, "the writer")
            yield opened, recorder
        finally:
            await recorder.close()


def asked(number: int, do: str = "judge", *, timeout: float | None = None, **given: Any) -> DetectionRequest:
    arguments = CallArguments(guide_info=[{"do": do, **given}], timeout=timeout)
    return DetectionRequest("A01", picture(number), arguments=arguments)


async def make(opened: Station, request: DetectionRequest) -> Any:
    try:
        return await opened.plane.execute(request)
    except CallError as error:
        return error


async def settled(recorder: Recorder, count: int) -> None:
    await until(lambda: recorder.writer.kept + sum(recorder.writer.dropped.values()) >= count, f"{count} recordings")


def recorded(layout: StoreLayout, **wanted: Any) -> list[RecordedCall]:
    return list(StoreRecordings(layout).calls(RecordingFilter(**wanted)))


def pixels(layout: StoreLayout, call: RecordedCall) -> np.ndarray:
    found = StoreRecordings(layout).pictures(call)
    assert found is not None
    return np.frombuffer(found.image.pixels, np.uint8).reshape(found.image.shape)


async def test_ng_is_recorded_with_what_was_asked_and_said_and_ok_is_not(layout, make_spec):
    async with recording_station(layout, make_spec(), only=["NG", "ERROR"]) as (opened, recorder):
        await make(opened, asked(1, verdict="OK"))
        answer = await make(opened, asked(2, verdict="NG", message="scratch"))
        await settled(recorder, 1)

    (call,) = recorded(layout)
    assert (call.pid, call.deployment, call.package, call.verdict) == ("A01", KEY.deployment, KEY.ref, "NG")
    assert (call.request_id, call.latency_ms, call.message) == (answer.request_id, answer.latency_ms, "scratch")
    assert call.data == answer.data
    assert call.arguments["guide_info"] == [{"do": "judge", "verdict": "NG", "message": "scratch"}]
    assert call.kinds == ("NG",)
    assert call.digest == make_spec().digest
    assert call.guide_is_image
    assert (pixels(layout, call) == picture(2)).all()


async def test_failures_of_the_version_are_recorded_and_mistakes_of_callers_are_not(layout, make_spec):
    only = {"only": ["ERROR", "sample"], "sample": "100%"}
    async with recording_station(layout, make_spec(call_timeout=1.0), **only) as (opened, recorder):
        opened.restarts[KEY] = make_spec(call_timeout=1.0)
        await make(opened, asked(1, "error", message="boom", code="1009"))
        await make(opened, asked(2, "", status="ERROR", message="no light"))
        early = await make(opened, asked(3, "sleep", seconds=0.3, timeout=0.05))
        refused = await make(opened, DetectionRequest("A01", b"no picture"))
        await settled(recorder, 2)
        await make(opened, asked(5, "crash"))
        late = await make(opened, asked(6, "hang"))
        await settled(recorder, 4)

    calls = recorded(layout)
    assert [call.verdict for call in reversed(calls)] == ["FAILED", "ERROR", "FAILED", "FAILED"]
    assert [call.error and call.error["code"] for call in reversed(calls)] == [1009, None, 1006, 1005]
    assert [int(pixels(layout, call)[0, 0, 0]) for call in reversed(calls)] == [1, 2, 5, 6]
    assert {early.code, late.code} == {Code.timeout}
    assert refused.code is Code.image_load_failed


async def test_a_guide_of_its_own_is_recorded_beside(layout, make_spec):
    async with recording_station(layout, make_spec(), only=["NG"]) as (opened, recorder):
        opened.serve("A01", input=PictureInput(swap=True, depth="scale"))
        for number in range(3):
            request = asked(number, verdict="NG")
            await opened.plane.execute(
                DetectionRequest("A01", picture(number).astype(np.uint16), picture(99, (8, 8)), request.arguments)
            )  # fmt: skip
        await settled(recorder, 3)

    for call in recorded(layout):
        found = StoreRecordings(layout).pictures(call)
        assert found is not None
        assert found.guide is not None
        assert (found.guide.shape, set(found.guide.pixels)) == ((8, 8), {99})
        assert not call.guide_is_image
        assert call.swapped, "a replay hands both over the same way round"
        assert call.image.conversion == found.image.conversion != None, "and says of them what was said"  # noqa: E711
        assert (call.guide and call.guide.conversion, found.guide.conversion) == (None, None)
    assert len({path.stat().st_ino for path in (layout.recordings / "A01").glob("*.guide")}) == 1


async def test_a_share_of_all_calls_is_recorded_and_the_same_ones_each_time(layout, make_spec, monkeypatch):
    chances = {f"r{number}": recording._chance(ended_of(f"r{number}")) / 2**32 for number in range(2000)}

    assert 0.27 < sum(chance < 0.3 for chance in chances.values()) / 2000 < 0.33
    assert all(recording._chance(ended_of(key)) / 2**32 == chance for key, chance in chances.items())
    monkeypatch.setattr(recording, "_chance", lambda _: 0.3 * 2**32)
    async with recording_station(layout, make_spec(), only=["sample"], sample="30%") as (opened, recorder):
        await make(opened, asked(1, verdict="NG"))
        await asyncio.sleep(0)  # the call is heard of after its answer
        monkeypatch.setattr(recording, "_chance", lambda _: 0.3 * 2**32 - 1)
        await make(opened, asked(2, verdict="OK"))
        await settled(recorder, 1)
    assert [(call.verdict, call.kinds) for call in recorded(layout)] == [("OK", ("sample",))]


def ended_of(request_id: str) -> Ended:
    from controller.client.answers import Detection

    answer = Detection(request_id, "A01", "p", "1", "OK", "", {}, 1.0)
    return Ended(asked(1), KEY.deployment, KEY.ref, answer, None, None, 1.0)


class Comparer:
    """Compares every call with a version that says something else, some time after the answer."""

    def __init__(self) -> None:
        self.held: list[Ended] = []

    def wants(self, pid: str, ref: PackageRef) -> bool:
        return bool(pid and ref)

    def hear(self, call: Ended) -> None:
        assert call.image is not None
        call.image.hold()
        self.held.append(call)

    def release(self) -> None:
        for call in self.held:
            assert call.image is not None
            call.image.release()
        self.held.clear()


async def test_a_disagreement_is_recorded_and_added_to_what_is_recorded_already(layout, make_spec):
    comparer = Comparer()
    async with recording_station(layout, make_spec(), comparer, only=["NG", "disagreement"]) as (opened, recorder):
        await make(opened, asked(1, verdict="OK"))
        await make(opened, asked(2, verdict="NG"))
        await make(opened, asked(3, verdict="OK"))
        await until(lambda: len(comparer.held) == 3)
        first, second, third = comparer.held
        assert recorder.disagreed(third, Answer("OK"), Difference()) == ""
        ids = [
            recorder.disagreed(first, Answer("NG"), Difference(newly_ng=True)),
            recorder.disagreed(second, Answer("ERROR"), Difference()),
        ]
        comparer.release()
        await settled(recorder, 2)

    found = {call.id: call.kinds for call in recorded(layout, kinds=frozenset({"disagreement"}))}
    assert found == dict(zip(ids, [("disagreement",), ("NG", "disagreement")], strict=True))
    assert len(recorded(layout)) == 2


@pytest.mark.parametrize("why", ["changed", "writer_gone"])
async def test_a_disagreement_names_no_recording_that_was_dropped_meanwhile(layout, make_spec, why):
    comparer = Comparer()
    differs = Answer("OK"), Difference(newly_ok=True)
    async with recording_station(layout, make_spec(), comparer, only=["NG", "disagreement"]) as (opened, recorder):
        os_pid = writer_of(layout)
        os.kill(os_pid, signal.SIGSTOP)
        await make(opened, asked(1, verdict="NG"))
        await until(lambda: len(comparer.held) == 1)
        (call,) = comparer.held
        assert call.image is not None
        first = recorder.disagreed(call, *differs)
        assert first
        if why == "changed":
            os.utime(call.image.image.path, (1, 1))
            os.kill(os_pid, signal.SIGCONT)
        else:
            os.kill(os_pid, signal.SIGKILL)
        await settled(recorder, 1)
        again = recorder.disagreed(call, *differs)
        comparer.release()
        await settled(recorder, 2)

    assert again != first, "it is offered once more, under an id of its own, or it is not recorded"
    assert recorder.writer.dropped == {why: 2}
    assert recorded(layout) == []


class Shared:
    """A host application's file in `run/images`, which it writes over in place."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "host.npy"
        self.ref = ImageRef("host")

    def write(self, number: int) -> None:
        with self._path.open("r+b" if self._path.exists() else "w+b") as file:
            file.write(npy.write_header((30, 40, 3)) + bytes([number]) * 3600)


async def test_a_host_application_that_writes_over_its_file_spoils_no_recording(layout, make_spec):
    async with recording_station(layout, make_spec(), only=["NG"]) as (opened, recorder):
        shared = Shared(layout.images)
        arguments = CallArguments(guide_info=[{"do": "judge", "verdict": "NG"}])
        ids = {}
        for number in range(1, 41):
            shared.write(number)
            answer = await opened.plane.execute(DetectionRequest("A01", shared.ref, arguments=arguments))
            ids[answer.request_id] = number
            if number % 2:  # half of them have the time to be read
                await settled(recorder, number)
        await settled(recorder, 40)

    calls = recorded(layout)
    assert len(calls) >= 20
    assert recorder.writer.kept == len(calls)
    assert {(pixels(layout, call) == ids[call.request_id]).all() for call in calls} == {True}
    assert [path.name for path in layout.images.iterdir() if ".leased-" in path.name] == []


async def test_what_cannot_be_written_in_time_is_dropped_and_counted_and_no_call_waits(layout, make_spec):
    async with recording_station(layout, make_spec(), only=["NG"]) as (opened, recorder):
        await make(opened, asked(1, verdict="NG"))
        await settled(recorder, 1)
        os_pid = writer_of(layout)
        os.kill(os_pid, signal.SIGSTOP)
        try:
            for number in range(2, 82):
                answer = await make(opened, asked(number, verdict="NG"))
                assert answer.data["result_status"] == "NG"
            await until(lambda: recorder.writer.dropped["behind"] + recorder.writer.dropped["not_leased"] >= 60)
        finally:
            os.kill(os_pid, signal.SIGCONT)
        await settled(recorder, 81)
        await make(opened, asked(200, verdict="NG"))
        await settled(recorder, 82)

    calls = recorded(layout)
    assert len(calls) == recorder.writer.kept == 82 - sum(recorder.writer.dropped.values())
    assert set(recorder.writer.dropped) == {"behind"}
    assert (pixels(layout, calls[0]) == 200).all()


def writer_of(layout: StoreLayout) -> int:
    (found,) = (
        each.pid
        for each in psutil.Process().children()
        if each.cmdline()[-2:] == ["controller.recordings.writer", str(layout.root)]
    )
    return found


async def test_a_writer_that_is_killed_is_started_again_and_every_lease_comes_back(layout, make_spec, monkeypatch):
    monkeypatch.setattr(writing, "_BACK_OFF", 0.1)
    async with recording_station(layout, make_spec(), only=["NG"]) as (opened, recorder):
        for life in range(3):
            before = recorder.writer.kept + sum(recorder.writer.dropped.values())
            os_pid = writer_of(layout)
            for number in range(3):
                await make(opened, asked(number, verdict="NG"))
                if number == life:
                    os.kill(os_pid, signal.SIGKILL)
            await settled(recorder, before + 3)
            await until(lambda: recorder.writer.there, "the writer")
        leased = [slot.leased for slots in opened.process().slots._slots.values() for slot in slots]
        await make(opened, asked(100, verdict="NG"))
        await until(lambda: any((pixels(layout, call) == 100).all() for call in recorded(layout)))
        assert set(leased) == {0}

    assert {path.suffix for path in (layout.recordings / "A01").iterdir()} == {".call"}
    assert sum(recorder.writer.dropped.values()) == recorder.writer.dropped["writer_gone"]


async def test_bounds_hold_for_a_pid_that_is_not_recorded_any_more(layout, make_spec):
    async with recording_station(layout, make_spec(), only=["NG"], keep=3) as (opened, recorder):
        for number in range(6):
            await make(opened, asked(number, verdict="NG"))
            await settled(recorder, number + 1)
        assert [int(pixels(layout, call)[0, 0, 0]) for call in recorded(layout)] == [5, 4, 3]
        configure(recorder, only=[], keep=1)
        await until(lambda: len(recorded(layout)) == 1)
        await make(opened, asked(7, verdict="NG"))
    configured = Recorder(layout)
    configured.configure(())
    await until(lambda: configured.writer.total.calls == 1, "what there is")
    assert configured.trouble is None
    await configured.close()
    assert [int(pixels(layout, call)[0, 0, 0]) for call in recorded(layout)] == [5]


async def test_the_writer_gives_way_and_ends_with_its_daemon(layout):
    layout.recordings.mkdir(parents=True)
    recorder = Recorder(layout)
    recorder.configure(())
    await until(lambda: recorder.writer.there)
    writer = psutil.Process(writer_of(layout))
    await until(lambda: writer.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE)
    assert (writer.nice(), os.sched_getscheduler(writer.pid)) == (19, os.SCHED_BATCH)

    await recorder.close()
    assert not writer.is_running()


async def test_without_anything_to_record_there_is_no_writer(layout):
    recorder = Recorder(layout)
    recorder.configure(builders.revision(builders.deployment()).deployments)
    await asyncio.sleep(0)

    assert not recorder.wants("A01", NO_REF)
    assert psutil.Process().children() == []
    assert not layout.recordings.exists()
    await recorder.close()


class Keeps:
    """A follower who keeps the picture of a call, as a recorder does until its copy is made."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

    def wants(self, _pid: str, _ref: PackageRef) -> bool:
        return True

    def hear(self, call: Ended) -> None:
        assert call.image is not None
        call.image.hold()
        self.ended.set_result(call)


async def test_a_picture_is_still_there_for_who_keeps_it_where_the_process_ended_without_a_word_of_its_shim(
    layout: StoreLayout, make_spec: Any
) -> None:
    async with station(layout, make_spec()) as opened:
        keeps = Keeps()
        opened.plane.follow(keeps)
        calling = asyncio.create_task(opened.failure(do="hang"))
        await until(lambda: opened.process(KEY).state == "busy")
        os.kill(opened.process(KEY).record.shim.os_pid, signal.SIGKILL)
        await calling
        call = await keeps.ended
        assert call.image is not None
        await until(lambda: opened.process(KEY).state == "exited")
        assert opened.process(KEY).record.exit is None

        await opened.runner.stop(KEY, drain=0)

        call.image.image.require_unchanged()
        call.image.release()
        assert list(layout.images.glob("*.npy")) == []
