"""The remote station, against a real server in a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from controller.calls.request import DetectionRequest
from controller.client.addresses import Address
from controller.client.answers import NotReached
from controller.client.arguments import CallArguments
from controller.errors import CallError, Code, CodedError, PackageError
from controller.station.commands.detecting import Detect
from controller.station.commands.events import Feed
from controller.station.commands.operator import Message, Promote, Resume, Rollback
from controller.station.commands.packages import Install, PackageState, Uninstall
from controller.station.commands.parts import GetLastParts, GetPicture, NoPicture, PictureFile
from controller.station.commands.reconciling import Down, Ended, Reconcile
from controller.station.commands.recordings import (
    DeleteRecordings,
    ExportRecordings,
    GetRecording,
    ImportedRecordings,
    ImportRecordings,
    ListRecordings,
    ShowRecording,
)
from controller.station.commands.records import ReadLogs
from controller.station.commands.status import GetStatus
from controller.station.port import Caller, Command, Report, Result, finish, silent
from controller.station.remote import RemoteStation
from tests.client.conftest import StationProcess, station
from tests.station.fake import PART, RECORDED, STATUS

__all__ = ["station"]
MIA = Caller("mia")


class Remote:
    """A remote station that is asked and waited for."""

    def __init__(self, root: Path) -> None:
        self._station = RemoteStation(Address.of(root, None, None))

    def __call__(self, command: Command[Result], report: Report = silent) -> Result:
        return finish(self._station.execute(command, MIA, report))


@pytest.fixture
def remote(station: StationProcess) -> Remote:
    station.start()
    station.wait_until_up()
    return Remote(station.layout.root)


def test_status_operators_commands_and_down(remote: Remote) -> None:
    assert remote(GetStatus()) == STATUS
    assert remote(Promote("screws", full=True)) == Message("promote screws: will be done")
    assert remote(Rollback("A01", reason="scratches")) == Message("rollback A01: will be done")
    assert remote(Resume("screws")) == Message("resume screws: will be done")
    assert remote(Down()) == Ended(("screws/screw-check@1.0.0-0",))


def test_the_last_parts_and_their_pictures(remote: Remote) -> None:
    assert remote(GetLastParts()) == [PART]
    assert remote(GetPicture("A01", "r-1")) == PictureFile("r-1", b"\xff\xd8\xff a picture")
    for query, gone in ((GetPicture("A01", "r-0"), True), (GetPicture("A02"), False)):
        with pytest.raises(NoPicture) as caught:
            remote(query)
        assert (caught.value.gone, str(caught.value).count("another part is there now; see")) == (gone, 1)


def test_reconcile_reports_its_progress(remote: Remote) -> None:
    heard: list[str] = []
    outcome = remote(Reconcile(wait=True, timeout=30), heard.append)
    assert heard == ["install screw-check@1.0.0", "start screw-check@1.0.0"]
    assert (outcome.exit, outcome.status) == (3, STATUS)


def test_a_zip_goes_over_the_socket_and_comes_back_as_a_result(remote: Remote, tmp_path: Path) -> None:
    good, bad, empty = tmp_path / "good.zip", tmp_path / "bad.zip", tmp_path / "empty.zip"
    good.write_bytes(b"x" * (1 << 20))
    bad.write_bytes(b"x")
    empty.touch()
    heard: list[str] = []
    assert remote(Install(good), heard.append) == PackageState("screw-check", "1.0.0", "sha256:ab")
    assert heard == ["good.zip: installed"]
    with pytest.raises(PackageError) as caught:
        remote(Install(bad))
    assert caught.value.code == Code.manifest_missing
    assert remote(Install(empty)).name == "screw-check"
    assert remote(Uninstall("screw-check", "1.0.0")).version == "1.0.0"


def test_refusals_are_errors(remote: Remote) -> None:
    with pytest.raises(CallError) as caught:
        remote(Reconcile(timeout=-1))
    assert caught.value.code == Code.invalid_params
    with pytest.raises(CallError, match="has written a log"):
        remote(ReadLogs("screws"))


def test_detection_through_the_daemon(station: StationProcess, remote: Remote, tmp_path: Path) -> None:
    np.save(tmp_path / "part.npy", np.ones((2, 2), np.uint8))
    detection = remote(
        Detect(DetectionRequest("A01", tmp_path / "part.npy", arguments=CallArguments(step_desc="left")))
    )
    assert detection.to_document()["data"] == {"shape": [2, 2], "sum": 4, "by_reference": True}
    assert station.calls()[-1] == "left"


def test_no_daemon_is_said_at_once(tmp_path: Path) -> None:
    remote = Remote(tmp_path / "store")
    for command in (Detect(DetectionRequest("A01", np.ones((2, 2), np.uint8))), GetStatus(), Promote("screws")):
        with pytest.raises(NotReached):
            remote(command)


def test_recorded_calls_are_told_shown_taken_away_and_brought_in(remote: Remote, tmp_path: Path) -> None:
    page = remote(ListRecordings(pid=("A01",), limit=1))
    assert (page.rows, page.next_before) == ((RECORDED,), RECORDED.id)
    assert remote(GetRecording(RECORDED.id)).arguments == {"step_index": 1}
    for command, content in (
        (ShowRecording(RECORDED.id), b"page"), (ShowRecording(RECORDED.id, "picture", guide=True), b"picture guide"),
        (ExportRecordings(pid=("A01", "A02")), b"PK exported"),
    ):  # fmt: skip
        feed = remote(command)
        assert finish(read(feed)) == content
    with pytest.raises(CallError, match="there is no recorded call x"):
        remote(ShowRecording("x"))
    file = tmp_path / "x.zip"
    file.write_bytes(b"PK exported")
    assert remote(ImportRecordings(file)) == ImportedRecordings(2, 1, 0, 0)
    with pytest.raises(CodedError, match=r"cannot read .*nowhere.zip") as refused:
        remote(ImportRecordings(tmp_path / "nowhere.zip"))
    assert refused.value.code == Code.invalid_params
    assert remote(DeleteRecordings(all=True)).deleted == 3


async def read(feed: Feed[bytes]) -> bytes:
    try:
        return b"".join([piece async for piece in feed])
    finally:
        await feed.aclose()
