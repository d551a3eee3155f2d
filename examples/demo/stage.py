"""What every act of the demo has at hand: the station, pictures of parts, and a load of calls to put on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from examples.demo.load import Load
from examples.demo.station import Station, demand

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Stage:
    """The station, the pictures by what they show, and callers that one of the acts starts."""

    station: Station
    parts: dict[str, Path]
    load: Load

    def expect(self, pid: str, part: str, verdict: str, version: str, *options: str) -> None:
        """Run a detection and demand this verdict, from this version."""
        given = self.station.detect(pid, self.parts[part], *options)
        demand(given == (verdict, version), f"{pid} on {part}: {given}, where {(verdict, version)} was expected")

    def edit(self, before: str, after: str) -> None:
        """Replace a piece of the deployment that looks for scratches, as an operator does in git."""
        document = self.station.desired / "surface-scratch.yaml"
        text = document.read_text(encoding="utf-8")
        demand(before in text, f"{document.name} does not say {before!r}")
        document.write_text(text.replace(before, after), encoding="utf-8")
        print(f"  surface-scratch.yaml: {before!r} becomes {after!r}", flush=True)
