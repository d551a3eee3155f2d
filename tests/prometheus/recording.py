"""Records what a scraper sees of a bad canary: a real daemon, real packages, a scrape every five seconds.

A fifth of what the new version is asked fails, against a limit of 5 %. What is recorded becomes the promtool test
deploy/prometheus/tests/bad-canary.yml, with the alerts that have to fire before and after the rollback.

usage: python -m tests.prometheus.recording
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from prometheus_client import parser

from controller.client import Client
from controller.errors import CallError
from examples.packing import Algorithm, build_package
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station

ROOT = Path(__file__).resolve().parents[2]
RECORDING = ROOT / "deploy" / "prometheus" / "tests" / "bad-canary.yml"
EVERY = 5
"""Seconds between two scrapes."""
_AFTER = 6
"""Scrapes after the rollback."""
_PIDS = ("A01", "A02", "A03", "A04")
_GOOD = Algorithm(body="return ok()")
_BAD = Algorithm(
    setup="self.calls = 0",
    body="self.calls += 1\nif self.calls % 5 == 0: raise ValueError('no edge found')\nreturn ok()",
)
_RECORDED = (
    "procvision_calls_total", "procvision_call_duration_seconds", "procvision_evidence", "procvision_deployment",
    "procvision_rollouts", "procvision_quarantines", "procvision_switches", "procvision_pids", "procvision_converged",
    "procvision_revision_valid", "procvision_breakers_open", "procvision_audit_head_sequence",
)  # fmt: skip
Samples = dict[str, float]
"""The values of one scrape, by series."""

_HEAD = """\
# Recorded by `python -m tests.prometheus.recording` from a real daemon: a canary of which a fifth of the calls fails,
# with a limit of 5 %, scraped every 5 s. Run by `promtool test rules` (tests/prometheus/test_rules.py).
"""


def samples(text: str) -> Samples:
    """Return every sample of a scrape in the text format, by its series as PromQL writes it."""
    found = {}
    for family in parser.text_string_to_metric_families(text):
        for each in family.samples:
            labels = {"job": "procvision", "instance": "station-1", **each.labels}
            words = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
            found[f"{each.name}{{{words}}}"] = each.value
    return found


def record(root: Path) -> list[Samples]:
    """Return the scrapes of a canary from its start until a while after its rollback."""
    station = Station(root)
    daemon = Daemon(station)
    build_package(station.zips, name="screw-check", version="1.0.0", source=_GOOD, supported_pids=_PIDS)
    station.desire("screws", "screw-check", "1.0.0", _PIDS)
    over = threading.Event()
    callers = [threading.Thread(target=_call, args=(station.store, pid, over)) for pid in _PIDS]
    try:
        daemon.start()
        daemon.until(lambda status: status["converged"], "convergence")
        for caller in callers:
            caller.start()
        build_package(station.zips, name="screw-check", version="1.1.0", source=_BAD, supported_pids=_PIDS)
        canary = {"order": ["A04"], "steps": [{"setWeight": 25}, {"pause": {"duration": "10m"}}]}
        health = {"errorRate": {"max": "5%", "minSamples": 50}}
        station.desire("screws", "screw-check", "1.1.0", _PIDS, strategy={"canary": canary}, health=health)
        return list(_scrapes(station))
    finally:
        over.set()
        for caller in callers:
            caller.join()
        station.pvctl("down", expect=None)
        daemon.leave_nothing()


def _call(store: Path, pid: str, over: threading.Event) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    with Client(store=store) as client:
        while not over.wait(0.7):
            with suppress(CallError):  # it is counted, which is what is recorded
                client.execute(pid, image)


def _scrapes(station: Station) -> Iterator[Samples]:
    due, left = time.monotonic(), -1
    while left:
        found = samples(station.pvctl("metrics").stdout)
        yield {series: value for series, value in found.items() if series.startswith(_RECORDED)}
        ended = sum(value for series, value in found.items() if series.startswith("procvision_rollouts_total"))
        left = left - 1 if left > 0 else _AFTER if ended else -1
        due += EVERY
        time.sleep(max(0.0, due - time.monotonic()))


def document(scrapes: list[Samples]) -> dict[str, Any]:
    """Return the promtool test: the recorded series, and which alerts fire when."""
    values: dict[str, list[str]] = defaultdict(lambda: ["_"] * len(scrapes))
    for number, scrape in enumerate(scrapes):
        for series, value in scrape.items():
            values[series][number] = f"{value:.9g}"
    progress = [_highest(scrape, "procvision_evidence_progress_ratio{") for scrape in scrapes]
    ended = [_highest(scrape, 'procvision_rollouts_total{deployment="screws",end="rolled_back"') for scrape in scrapes]
    after = ended.index(1.0)
    before = max(number for number in range(after) if 0.5 <= progress[number] < 1)
    version = {"deployment": "screws", "package": "screw-check", "version": "1.1.0"}
    place = {"job": "procvision", "instance": "station-1"}
    return {
        "rule_files": ["../rules.yml", "../alerts.yml"],
        "evaluation_interval": f"{EVERY}s",
        "tests": [{
            "name": "a bad canary",
            "interval": f"{EVERY}s",
            "input_series": [{"series": series, "values": " ".join(each)} for series, each in sorted(values.items())],
            "alert_rule_test": [
                _alert(0, "ProcvisionVersionOnItsWayToRollback"),
                _alert(before, "ProcvisionVersionOnItsWayToRollback", {**place, **version}, progress[before]),
                _alert(before, "ProcvisionRolledBack"),
                _alert(after, "ProcvisionRolledBack", {**place, "deployment": "screws"}),
                _alert(len(scrapes) - 1, "ProcvisionVersionOnItsWayToRollback"),
                _alert(len(scrapes) - 1, "ProcvisionRolledBack", {**place, "deployment": "screws"}),
                *(_alert(len(scrapes) - 1, name) for name in ("ProcvisionDown", "ProcvisionPidsNotAnswered")),
            ],
        }],
    }  # fmt: skip


def _highest(scrape: Samples, start: str) -> float:
    return max((value for series, value in scrape.items() if series.startswith(start)), default=0.0)


def _alert(scrape: int, name: str, labels: dict[str, str] | None = None, value: float = 0.0) -> dict[str, Any]:
    """Return the expectation that an alert fires at a scrape, with its words; without labels, that it does not."""
    expected: dict[str, Any] = {"eval_time": f"{scrape * EVERY}s", "alertname": name, "exp_alerts": []}
    if labels is not None:
        rule = _rules()[name]
        words = {key: _filled(text, labels, value) for key, text in rule["annotations"].items()}
        expected["exp_alerts"] = [{"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": words}]
    return expected


def _rules() -> dict[str, Any]:
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def _filled(text: str, labels: dict[str, str], value: float) -> str:
    for name, each in labels.items():
        text = text.replace(f"{{{{ $labels.{name} }}}}", each)
    return text.replace("{{ $value | humanizePercentage }}", f"{100 * value:.4g}%")


def main() -> None:
    """Record anew."""
    with tempfile.TemporaryDirectory() as folder:
        scrapes = record(Path(folder) / "station")
    RECORDING.write_text(_HEAD + yaml.safe_dump(document(scrapes), sort_keys=False, width=1000))


if __name__ == "__main__":
    main()
