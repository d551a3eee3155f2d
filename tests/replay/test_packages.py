"""Replays of real packages without a station: what differs, what a call is repeated with, and that nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from controller.errors import ControllerError, PackageError
from controller.host.clock import utc_now
from controller.images.formats import Picture
from controller.images.shared_folder import memory_folder
from controller.model.package import PackageRef
from controller.model.recording import RecordedPicture, RecordingFilter
from controller.recordings.export import export
from controller.recordings.keeping import keeper
from controller.recordings.source import Pictures
from controller.recordings.stored import StoreRecordings
from controller.replay.asked import Asked, replay_packages
from controller.replay.document import ReplayDocument
from controller.replay.workshop import workshop
from controller.store.layout import StoreLayout
from examples.packing.algorithms import Algorithm
from tests.replay.parts import LOOK, MISSES_ONE_IN_TEN, SEES, SHAPE, call, export_file, inspector, part, record
from tests.waiting import HANGS, eventually

pytestmark = pytest.mark.real
PARTS = range(1, 61)
"""Sixty parts: 20 of them scratched, and of these the 30th and the 60th are those that the bad version lets pass."""
PVCTL = Path(sys.executable).with_name("pvctl")
JUDGE = Path(__file__).parents[2] / "examples" / "pipeline" / "judge"
TELLS = Algorithm(
    body="lot, camera = session.context.get('lot'), (image_meta['camera_id'], image_meta['pixel_format'])\n"
    "told = pid, lot, user_params.get('threshold'), step_index, camera\n"
    "return {'status': 'OK', 'message': repr((*told, self.before)), 'data': {'result_status': 'NG'}}",
)
"""For 0.0.x: answers with what it was asked, and what `pre_execute` was asked before."""
GUIDED = Algorithm(
    body=f"{LOOK}\nguide = None if guide_image is None else [int(each) for each in guide_image[0, 0]]\n"
    "way = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)\n"
    "said = (guide, [int(each) for each in image[0, 0]], params.get('lot'), step_desc, *way)\n"
    "return {'status': 'OK', 'message': repr(said), 'data': {'result_status': 'NG'}}"
)


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zips")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give temporary folders a place that is this test's own, also those of commands."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setenv("TMPDIR", str(place))
    return place


def replay(recordings: Path, *packages: Path, **asked: Any) -> ReplayDocument:
    return replay_packages(Asked(recordings=recordings, **asked), packages, utc_now, lambda _: None)


def matrix(document: ReplayDocument) -> dict[tuple[str, str], int]:
    return {(cell["before"], cell["after"]): cell["pictures"] for cell in document["matrix"]}


def test_a_version_that_lets_one_scratched_part_in_ten_pass_is_found_and_nothing_is_left(
    zips: Path, tmp_path: Path, place: Path
) -> None:
    recordings = export_file(tmp_path, PARTS)

    document = replay(recordings, inspector(zips, "1.0.0", SEES), inspector(zips, "2.0.0", MISSES_ONE_IN_TEN), jobs=2)

    assert matrix(document) == {("OK", "OK"): 40, ("NG", "NG"): 18, ("NG", "OK"): 2}
    assert document["newly_ok"]["pictures"] == 2
    assert not document["within_limits"]
    assert {row["request_id"] for row in document["differing"]} == {"r30", "r60"}
    assert (document["baseline"], document["package"]) == ("inspector@1.0.0", "inspector@2.0.0")
    assert all(row["recorded"] is not None for row in document["pictures"])
    assert document["latency_ms"]["p95"] is not None
    assert (document["memory_bytes"] or 0) > 1 << 20
    assert list(place.iterdir()) == []


def test_a_legacy_package_gets_pre_and_execute_with_the_recorded_session(zips: Path, tmp_path: Path) -> None:
    arguments = {
        "session": {"id": "s1", "context": {"lot": 7}}, "params": {"threshold": 0.25}, "step_index": 2,
        "camera_id": "left", "timeout": 0.001, "phase": "execute",
    }  # fmt: skip
    source = TELLS.source("0.0", "InspectorAlgorithm", ("A01", "A02")).replace(
        '        return {"status": "OK", "message": "ready"}',
        "        self.before = session.context.get('lot'), session.id, user_params\n"
        '        return {"status": "OK", "message": "ready"}',
    )
    lot = {"index": 2, "name": "lot", "params": [{"key": "threshold", "type": "float", "min": 0.2}]}
    zip_path = inspector(zips, "0.9.0", source, "0.0", steps=[{"index": 1, "name": "side", "params": []}, lot])
    record(tmp_path / "recorded", [4], arguments={**arguments, "params": {"threshold": 0.1}})

    mono = RecordedPicture(SHAPE, conversion={"pixel_format": "Mono12", "bits": 12, "conversion": "shift"})
    document = replay(export_file(tmp_path, [3], arguments=arguments, image=mono), zip_path)

    row, refused = document["pictures"]
    assert (refused["outcome"], refused["after"]) == ("dropped", None)
    assert "threshold must be" in refused["refused"]
    assert (document["compared"], document["dropped"], document["refused"], document["errors"]["of"]) == (1, 1, 1, 1)
    assert row["after"] is not None
    assert row["after"]["message"] == repr(("A01", 7, 0.25, 2, ("left", "Mono12"), (7, "s1", {"threshold": 0.25})))
    assert matrix(document) == {("NG", "NG"): 1}


def test_guides_and_arguments_are_repeated_as_they_were_recorded(zips: Path, tmp_path: Path) -> None:
    guide = Picture(SHAPE, memoryview(bytes([9, 8, 7] * (SHAPE[0] * SHAPE[1]))))
    arguments = {"guide_info": {"lot": "B7"}, "step_desc": "top"}
    layout = StoreLayout.at(tmp_path / "recorded")
    with keeper(layout) as found:
        bgr = RecordedPicture(SHAPE, "BGR")
        found.add(call(3, guide_is_image=False, guide=bgr, arguments=arguments), Pictures(part(3), guide))
        found.add(call(6, guide_is_image=True, arguments=arguments), Pictures(part(6), None))
        found.add(call(9, guide_is_image=False, arguments=arguments), Pictures(part(9), None))
        found.add(call(12, guide_is_image=False, guide=bgr, swapped=True, arguments=arguments),
                  Pictures(part(12), guide))  # fmt: skip
        found.add(call(15, package=PackageRef("other", "1.0.0"), arguments=arguments), Pictures(part(15), None))
        found.add(call(18, pid="B09", arguments=arguments), Pictures(part(18), None))
    recordings = tmp_path / "recordings.zip"
    with recordings.open("wb") as out:
        export(StoreRecordings(layout), RecordingFilter(), out)

    document = replay(recordings, inspector(zips, "3.0.0", GUIDED))

    said = [(row["after"] or {"message": ""})["message"] for row in document["pictures"]]
    a_little = (10, os.SCHED_BATCH)
    assert said == [
        repr(([7, 8, 9], [3, 255, 0], "B7", "top", *a_little)),
        repr(([6, 255, 0], [6, 255, 0], "B7", "top", *a_little)),
        repr((None, [9, 255, 0], "B7", "top", *a_little)),
        repr(([12, 255, 0], [7, 8, 9], "B7", "top", *a_little)),
    ], "the last with both in the other order; none of other packages and PIDs"


def test_a_file_without_calls_of_the_package_says_whose_it_has(zips: Path, tmp_path: Path) -> None:
    recordings = export_file(tmp_path, [3, 6], package=PackageRef("other", "1.0.0"))
    with pytest.raises(ControllerError, match=r"no call .* package inspector at A01, A02; it has 2 × other@1\.0\.0 of"):
        replay(recordings, inspector(zips, "1.0.0", SEES))


def test_in_an_empty_folder_the_command_needs_no_station(zips: Path, tmp_path: Path, place: Path) -> None:
    recordings, empty = export_file(tmp_path, range(1, 13)), tmp_path / "empty"
    empty.mkdir()
    words = [str(PVCTL), "replay", "--package", str(inspector(zips, "1.0.0", SEES)), "--recordings", str(recordings)]
    path = os.pathsep.join((str(PVCTL.parent), os.environ["PATH"]))

    good = subprocess.run(
        [str(JUDGE), words[3], str(recordings)], cwd=empty, capture_output=True, text=True, check=False, timeout=HANGS,
        env={**os.environ, "PATH": path},
    )  # fmt: skip
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"no zip")
    refused = subprocess.run(
        [*words[:3], str(bad), *words[4:]], cwd=empty, capture_output=True, text=True, check=False, timeout=HANGS
    )  # fmt: skip

    assert good.returncode == 0, good.stderr
    assert "inspector@1.0.0 is within the limits" in good.stdout
    assert refused.returncode == 4
    assert "2001 invalid_zip" in refused.stderr
    assert sorted(each.name for each in empty.iterdir()) == ["replay.html", "replay.xml"]
    assert list(place.iterdir()) == []
    with pytest.raises(PackageError, match=r"bad\.zip"):
        replay(recordings, bad)


def test_a_command_that_is_killed_leaves_no_process_and_the_next_one_no_file(
    zips: Path, tmp_path: Path, place: Path
) -> None:
    slow = inspector(zips, "1.5.0", Algorithm(body=f"{LOOK}\nif number > 3: time.sleep(613)\nreturn ok()"))
    words = [str(PVCTL), "replay", "--package", str(slow), "--recordings", str(export_file(tmp_path, range(1, 13)))]
    command = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: any(place.glob("pvctl-replay-*/0/run/*.json")), "a process")
    (folder,) = place.iterdir()
    mine = [each for each in psutil.process_iter() if _belongs(each, str(folder))]
    assert len(mine) >= 3, "a worker, a shim and an adapter"

    command.kill()
    command.wait(HANGS)

    assert psutil.wait_procs(mine, HANGS)[1] == []
    images = memory_folder(folder / "0" / "run" / "images")
    assert images.is_dir()
    with workshop() as another:
        assert list(place.iterdir()) == [another], "what was left is gone"
        assert not images.exists()


def _belongs(process: psutil.Process, place: str) -> bool:
    try:
        return process.pid != os.getpid() and any(
            place in each for each in (*process.cmdline(), *process.environ().values())
        )
    except psutil.Error:
        return False
