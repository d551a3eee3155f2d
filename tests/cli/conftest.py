"""Command lines in this process, on a station that is a fake."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from controller.cli.app import run
from controller.cli.settings import Settings
from controller.station.port import Command
from tests.cli.fakes import FakeProduct
from tests.station.fake import FakeStation


@dataclass(frozen=True)
class Said:
    """What a command line ended with."""

    code: int
    out: str
    err: str


class Pvctl:
    """Runs command lines. `product` is what the last one was given, `settings` are its options."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self.product = FakeProduct()
        self.settings: Settings | None = None

    @property
    def asked(self) -> list[Command[Any]]:
        """The commands that the last command line asked the station for."""
        return self.product.fake.asked

    def __call__(self, *words: str, station: FakeStation | None = None) -> Said:
        self.product = FakeProduct(station)

        def product_for(settings: Settings) -> FakeProduct:
            self.settings = settings
            return self.product

        code = run(words, product_for)
        out, err = self._capture.readouterr()
        assert "Traceback" not in err
        return Said(code, out, err)


@pytest.fixture
def pvctl(capsys: pytest.CaptureFixture[str]) -> Pvctl:
    return Pvctl(capsys)
