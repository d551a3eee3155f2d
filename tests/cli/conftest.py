"""Command lines in this process, on a station that is a fake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from controller.cli.app import run
from controller.cli.settings import Settings
from tests.cli.fakes import FakeStation


@dataclass(frozen=True)
class Said:
    """What a command line ended with."""

    code: int
    out: str
    err: str


class Pvctl:
    """Runs command lines. `asked` holds what the fake station was asked for, `settings` what it was made with."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self.asked = FakeStation.asked
        self.settings = FakeStation.settings

    def __call__(self, *words: str, station: Callable[[Settings], Any] = FakeStation) -> Said:
        self.asked.clear()
        self.settings.clear()
        code = run(words, station)
        out, err = self._capture.readouterr()
        assert "Traceback" not in err
        return Said(code, out, err)


@pytest.fixture
def pvctl(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Pvctl:
    for name in ("DESIRED", "STORE", "OUTPUT", "LOG_LEVEL"):
        monkeypatch.delenv(f"PVCTL_{name}", raising=False)
    return Pvctl(capsys)
