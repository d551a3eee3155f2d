"""Replays of real packages without a station: what differs, crashes, hangs, and that nothing is left of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.host.clock import utc_now
from controller.replay import workshop
from controller.replay.asked import Asked, replay_packages
from controller.replay.document import ReplayDocument
from tests.replay.parts import MISSES_ONE_IN_TEN, SEES, export_file, inspector

pytestmark = pytest.mark.real
PARTS = range(1, 61)
"""Sixty parts: 20 of them scratched, and of these the 30th and the 60th are those that the bad version lets pass."""


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zips")


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    return export_file(tmp_path, PARTS)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give workshops a place that is this test's own, and see that nothing is left in it."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(workshop.tempfile, "tempdir", str(place))
    return place


def replay(recordings: Path, *packages: Path, **asked: Any) -> ReplayDocument:
    return replay_packages(Asked(recordings=recordings, **asked), packages, utc_now, lambda _: None)


def matrix(document: ReplayDocument) -> dict[tuple[str, str], int]:
    return {(cell["before"], cell["after"]): cell["pictures"] for cell in document["matrix"]}


def test_a_version_that_lets_one_scratched_part_in_ten_pass_is_found_and_nothing_is_left(
    zips: Path, recordings: Path, temporary: Path
) -> None:
    document = replay(recordings, inspector(zips, "1.0.0", SEES), inspector(zips, "2.0.0", MISSES_ONE_IN_TEN))

    assert matrix(document) == {("OK", "OK"): 40, ("NG", "NG"): 18, ("NG", "OK"): 2}
    assert document["newly_ok"]["pictures"] == 2
    assert not document["newly_ok"]["within"]
    assert not document["within_limits"]
    assert [row["request_id"] for row in document["differing"]] == ["r30", "r60"]
    assert (document["baseline"], document["package"]) == ("inspector@1.0.0", "inspector@2.0.0")
    assert document["latency_ms"]["p95"] is not None
    assert (document["memory_bytes"] or 0) > 1 << 20
    assert list(temporary.iterdir()) == []
