"""No file of a store grows for ever."""

from __future__ import annotations

import os
from pathlib import Path

from controller.model.observed import HistoryEntry
from controller.model.package import PackageRef
from controller.model.rollout import MOST_QUARANTINED, Quarantine, RolloutRecord
from controller.store.history import LARGEST, PidHistory
from controller.store.layout import StoreLayout
from controller.store.process_logs import KEPT, prune


def entry(number: int) -> HistoryEntry:
    return HistoryEntry("2026-01-01T00:00:00Z", "screw", f"1.{number}.0", "line", "r", "root", "a reason " * 20)


def test_a_long_history_keeps_its_newer_half(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path)
    layout.history.mkdir()
    history, written, largest = PidHistory(layout), 0, 0
    line = len(layout.pid_history("A01").name) + 400
    while written < 2 * LARGEST // line:
        history.append("A01", entry(written))
        written += 1
        largest = max(largest, layout.pid_history("A01").stat().st_size)

    kept = [each.version for each in history.read("A01")]
    assert largest < LARGEST + 1000
    assert kept == [f"1.{number}.0" for number in range(written - len(kept), written)]
    assert len(kept) > 200


def test_of_very_many_quarantined_artefacts_the_newest_stay() -> None:
    record = RolloutRecord()
    for number in range(MOST_QUARANTINED + 5):
        record = record.with_quarantine(
            Quarantine(PackageRef("screw", f"1.{number}.0"), "sha256:a", "now", "it failed")
        )

    assert len(record.quarantine) == MOST_QUARANTINED
    assert record.quarantined(PackageRef("screw", f"1.{MOST_QUARANTINED + 4}.0"), None) is not None


def test_of_removed_versions_the_newest_logs_stay_and_of_installed_ones_all(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path)
    names = [f"1.{number}.0-rc.1-0.log{generation}" for number in range(10) for generation in ("", ".1")]
    names += ["2.0.0-0.log", "2.0.0-1.log"]
    for age, name in enumerate(names):
        path = layout.logs / "algorithms" / "line" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (age, age))

    prune(layout, {"2.0.0", "1.0.0-rc.1"})

    left = sorted(path.name for path in (layout.logs / "algorithms" / "line").iterdir())
    assert left == sorted([*names[:2], *names[20 - KEPT :]])
