"""Recorded calls of a real store through the station's commands, by real jobs: beside an event loop and without one."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import pytest
from PIL import Image

from controller.errors import Code, CodedError, NotFound
from controller.host.clock import utc_now
from controller.images.formats import Picture
from controller.model.recording import RecordedPicture
from controller.recordings.keeping import keeper
from controller.recordings.source import Pictures
from controller.station import recordings
from controller.station.commands.recordings import (
    DeletedRecordings,
    DeleteRecordings,
    ExportRecordings,
    GetRecording,
    ImportedRecordings,
    ImportRecordings,
    ListRecordings,
    RecordingDocument,
    RecordingPage,
    ShowRecording,
)
from controller.station.port import Caller, Command, finish, silent
from controller.store.layout import StoreLayout
from controller.store.store import Store
from tests.builders import audit_records
from tests.recorded import picture, pictures, recorded

ANN = Caller("ann", worker="bob")
Ask = Callable[[Store, Command[Any]], Awaitable[Any]]


def empty_store(path: Path) -> Store:
    store = Store.at(StoreLayout.at(path), utc_now)
    store.create_folders()
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with 12 calls: A01 and A02 in turn; every third has a guide, the last two are OK by 1.1.0."""
    store = empty_store(tmp_path / "store")
    guide = picture(99)
    with keeper(store.layout) as kept:
        for number in range(12):
            own = guide if number % 3 == 0 else None
            later: dict[str, Any] = {"verdict": "OK", "kinds": ("sample",)} if number > 9 else {}
            call = recorded(number, pid=f"A0{number % 2 + 1}", guide=own, **later)
            kept.add(call, pictures(number, own))
    return store


@pytest.fixture(params=["daemon", "without"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Return what carries a command out, as a daemon does and as a command without one does."""
    known: dict[Path, Any] = {}

    async def in_daemon(store: Store, command: Command[Any]) -> Any:
        executors = known.setdefault(store.layout.root, recordings.executors(store))
        return await executors[type(command)](command, ANN, silent)

    async def without(store: Store, command: Command[Any]) -> Any:
        return recordings.execute(store, cast(Any, command), ANN)

    return in_daemon if request.param == "daemon" else without


async def content(feed: AsyncIterator[bytes]) -> bytes:
    try:
        return b"".join([piece async for piece in feed])
    finally:
        await cast(Any, feed).aclose()


async def test_pages_go_through_all_of_them_newest_first(store: Store, ask: Ask) -> None:
    found, query = [], ListRecordings(limit=5)
    while True:
        page: RecordingPage = await ask(store, query)
        found += page.rows
        if page.next_before is None:
            break
        query = ListRecordings(limit=5, before=page.next_before)

    assert [row.request_id for row in found] == [f"r{number}" for number in reversed(range(12))]
    assert (found[0].verdict, found[0].defects, found[0].shape, found[0].guide) == ("OK", 1, (24, 32, 3), False)
    assert found[2].guide


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"pid": ("A01",)}, 6), ({"pid": ("A01", "A02")}, 12), ({"pid": ("B01",)}, 0), ({"verdict": ("OK",)}, 2),
        ({"kind": ("sample",)}, 2), ({"kind": ("NG", "sample")}, 12), ({"version": ("1.0.0",)}, 12),
        ({"version": ("1.1.0",)}, 0), ({"deployment": "screw-check"}, 12), ({"deployment": "lid-check"}, 0),
        ({"since": "2027-01-15T08:00:09Z"}, 3), ({"until": "2027-01-15T08:00:02Z"}, 3),
        ({"id": ("20270115080004000-0000000004",)}, 1), ({"pid": ("A01",), "verdict": ("OK",)}, 1),
    ],
)  # fmt: skip
def test_filters(store: Store, query: dict[str, Any], count: int) -> None:
    page = recordings.looked_at(store, ListRecordings(**query))

    assert isinstance(page, RecordingPage)
    assert len(page.rows) == count


@pytest.mark.parametrize("make", [
    lambda: ListRecordings(since="yesterday"), lambda: ListRecordings(limit=0), lambda: ListRecordings(limit=1001),
    lambda: ExportRecordings(last=0), lambda: ExportRecordings(until="2027-13-01"), DeleteRecordings,
    lambda: DeleteRecordings(pid=("A01",), all=True),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(CodedError) as refused:
        make()
    assert refused.value.code == Code.invalid_params


async def test_one_call_with_all_that_was_said_its_page_and_its_pictures(store: Store, ask: Ask) -> None:
    one = "20270115080003000-0000000003"
    document: RecordingDocument = await ask(store, GetRecording(one))
    page = (await content(await ask(store, ShowRecording(one)))).decode()
    shown = [await content(await ask(store, ShowRecording(one, "picture", guide=guide))) for guide in (False, True)]

    assert (document.verdict, document.message, document.arguments) == ("NG", "scratch", {"step_index": 1})
    assert document.data["defect_rects"] == [{"x": 1, "y": 2, "width": 3, "height": 4}]
    assert document.guide_shape == (24, 32, 3)
    for words in (one, "NG", "scratch", "screw-check@1.0.0", "12.5 ms", "step_index", "2027-01-15T08:00:03"):
        assert words in page
    assert page.count("data:image/png;base64,") == 2
    assert '<rect x="1" y="2" width="3" height="4"/>' in page
    for file, original in zip(shown, (picture(3), picture(99)), strict=True):
        with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
            np.testing.assert_array_equal(
                np.asarray(image), np.frombuffer(original.pixels, np.uint8).reshape(24, 32, 3)
            )


async def test_what_is_not_there_is_said_before_any_byte(store: Store, ask: Ask) -> None:
    gone = "20270115080004000-0000000004"
    next(store.layout.recordings.rglob(f"{gone}.call")).write_bytes(b"PVCALL\n torn")
    for command, why in (
        (GetRecording("20270115080000000-ffffffffff"), "there is no recorded call"),
        (ShowRecording("20270115080000000-ffffffffff"), "there is no recorded call"),
        (ShowRecording("../../etc/passwd"), "there is no recorded call"),
        (ShowRecording("20270115080001000-0000000001", "picture", guide=True), "no guide picture of its own"),
        (ShowRecording(gone), "gone, or damaged"),
        (ExportRecordings(pid=("B01",)), "no recorded call is meant"),
    ):
        with pytest.raises(NotFound, match=why):
            await ask(store, command)


async def test_what_one_station_exports_another_imports_once_and_both_are_on_record(
    store: Store, ask: Ask, tmp_path: Path
) -> None:
    file, other = tmp_path / "screws.zip", empty_store(tmp_path / "other")
    file.write_bytes(await content(await ask(store, ExportRecordings(pid=("A01",), last=4))))

    assert await ask(other, ImportRecordings(file)) == ImportedRecordings(4, 0, 0, 0)
    assert await ask(other, ImportRecordings(file)) == ImportedRecordings(0, 4, 0, 0)
    there = recordings.looked_at(other, ListRecordings())
    assert isinstance(there, RecordingPage)
    assert [row.request_id for row in there.rows] == ["r10", "r8", "r6", "r4"]
    before, after = [await content(await ask(each, ShowRecording(there.rows[2].id))) for each in (store, other)]
    assert before == after

    rows = [(row["actor"], row["worker"], row["action"], row["outcome"], row["after"])
            for row in audit_records(store.audit)]  # fmt: skip
    asked = {"filter": {"pid": ["A01"], "last": 4}}
    assert rows == [
        ("ann", "bob", "recordings.export", "started", asked),
        ("ann", "bob", "recordings.export", "succeeded", {**asked, "came_to": {"calls": 4, "gone": 0}}),
    ]
    (_, first, *_) = audit_records(other.audit)
    assert (first["action"], first["after"]["came_to"]["imported"]) == ("recordings.import", 4)


async def test_what_is_no_export_is_refused_and_nothing_is_taken(store: Store, ask: Ask, tmp_path: Path) -> None:
    whole = await content(await ask(store, ExportRecordings()))
    other = empty_store(tmp_path / "other")
    for number, content_of in enumerate((b"", b"PK\x03\x04", whole[:-200], b"<!DOCTYPE html>")):
        file = tmp_path / f"{number}.zip"
        file.write_bytes(content_of)
        with pytest.raises(CodedError, match=rf"^{number}.zip is no export") as refused:
            await ask(other, ImportRecordings(file))
        assert refused.value.code == Code.invalid_params
    assert recordings.looked_at(other, ListRecordings()) == RecordingPage((), None)
    assert sum(row["outcome"].startswith("failed") for row in audit_records(other.audit)) == 4


async def test_deleting_says_how_many_and_is_on_record_with_ids_where_they_are_few(store: Store, ask: Ask) -> None:
    done: DeletedRecordings = await ask(store, DeleteRecordings(verdict=("OK",)))
    assert done.deleted == 2
    assert done.size > 0
    assert (await ask(store, DeleteRecordings(pid=("B01",)))).deleted == 0
    assert (await ask(store, DeleteRecordings(all=True))).deleted == 10
    assert recordings.looked_at(store, ListRecordings()) == RecordingPage((), None)
    assert list(store.layout.recordings.rglob("*.call")) == []

    ended = [row["after"] for row in audit_records(store.audit) if row["outcome"] == "succeeded"]
    assert ended[0]["filter"] == {"verdict": ["OK"]}
    assert ended[0]["came_to"]["ids"] == ["20270115080011000-000000000b", "20270115080010000-000000000a"]
    assert (ended[1]["came_to"]["deleted"], ended[2]["filter"]) == (0, "all")


async def test_who_leaves_in_the_middle_ends_the_job_and_the_record_says_so(tmp_path: Path) -> None:
    store = empty_store(tmp_path / "store")
    chance = os.urandom(3 * 1000 * 1000)
    with keeper(store.layout) as kept:  # more than the pipes between two processes hold
        for number in range(3):
            kept.add(recorded(number, image=RecordedPicture((1000, 1000, 3))), Pictures(_noise(chance), None))
    executors = recordings.executors(store)
    feed = await executors[ExportRecordings](ExportRecordings(), ANN, silent)
    assert await anext(feed)
    (job,) = [each for each in psutil.Process().children() if "controller.recordings.job" in each.cmdline()]
    await feed.aclose()
    await feed.aclose()

    assert not job.is_running()
    assert [row["outcome"] for row in audit_records(store.audit)] == [
        "started", "cut off: whoever asked for it left",
    ]  # fmt: skip


async def test_a_job_that_is_killed_cuts_its_file_off_and_few_are_made_at_once(tmp_path: Path) -> None:
    store = empty_store(tmp_path / "store")
    chance = os.urandom(3 * 1000 * 1000)
    with keeper(store.layout) as kept:
        for number in range(2):
            kept.add(recorded(number, image=RecordedPicture((1000, 1000, 3))), Pictures(_noise(chance), None))
    executors = recordings.executors(store)

    async def export() -> Any:
        return await executors[ExportRecordings](ExportRecordings(), ANN, silent)

    feeds = [await export() for _ in range(3)]
    with pytest.raises(CodedError) as refused:
        await export()
    assert refused.value.code == Code.busy
    for job in psutil.Process().children():
        if "controller.recordings.job" in job.cmdline():
            job.send_signal(signal.SIGKILL)
    for feed in feeds:
        with pytest.raises(Exception, match="the controller failed at this request"):
            await content(feed)
    assert await content(await export())
    assert sum(row["outcome"].startswith("failed") for row in audit_records(store.audit)) == 4  # the one refused, too


def _noise(pixels: bytes) -> Picture:
    return Picture((1000, 1000, 3), memoryview(pixels))


def test_without_a_daemon_nothing_needs_an_event_loop(store: Store) -> None:
    feed = recordings.execute(store, ShowRecording("20270115080003000-0000000003"), ANN)
    assert finish(content(cast(Any, feed))).startswith(b"<!DOCTYPE html>")
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
