"""Stations on real packages, and pictures of parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.station import Station


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """Yield a station, and leave nothing of it running."""
    station = Station(tmp_path)
    yield station
    station.pvctl("down")
    assert station.wait_until_gone() == []


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    return _picture(tmp_path / "bright.png", 200)


@pytest.fixture
def dark(tmp_path: Path) -> Path:
    return _picture(tmp_path / "dark.png", 30)


def _picture(path: Path, level: int) -> Path:
    Image.fromarray(np.full((48, 64, 3), level, np.uint8)).save(path)
    return path
