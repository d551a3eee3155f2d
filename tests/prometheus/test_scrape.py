"""A real Prometheus server scrapes a real daemon over the network; what dashboards and documents name is there."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.host.listening import bind
from tests.prometheus.conftest import CALLS, Watched
from tests.prometheus.recording import ROOT
from tests.system import program, requires
from tests.waiting import HANGS, eventually

pytestmark = pytest.mark.real
_NAMES = re.compile(r"\bprocvision_[a-z0-9_]+\b")


class Prometheus:
    """A server that was started, by its address."""

    def __init__(self, address: str) -> None:
        self._address = address

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the series that a query answers now."""
        words = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"{self._address}/api/v1/query?{words}", timeout=HANGS) as answer:  # noqa: S310 - http
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    @property
    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._address}/-/ready", timeout=HANGS) as answer:  # noqa: S310 - http
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def prometheus(folder: Path, watched: Watched) -> Iterator[Prometheus]:
    """Run a server that scrapes a station every second, on a free port of this machine, until the block ends."""
    (folder / "token").write_text(watched.token)
    configuration = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    (job,) = configuration["scrape_configs"]
    job |= {"scheme": "http", "scrape_interval": "1s", "scrape_timeout": "1s"}
    job["authorization"]["credentials_file"] = str(folder / "token")
    job["static_configs"] = [{"targets": [f"127.0.0.1:{watched.port}"]}]
    del job["tls_config"]
    configuration["rule_files"] = [str(ROOT / "deploy" / "prometheus" / each) for each in configuration["rule_files"]]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [program("prometheus") or "", f"--config.file={folder}/prometheus.yml",
             f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        found = Prometheus(f"http://127.0.0.1:{port}")
        eventually(lambda: server.poll() is None and found.ready, "a Prometheus server that is ready")
        yield found
    finally:
        server.terminate()
        server.wait(HANGS)


@requires("prometheus")
def test_a_prometheus_server_answers_the_error_rate_of_each_version(watched: Watched, prometheus_folder: Path) -> None:
    errors = 'sum by (version) (procvision_calls_total{outcome=~"error|failed"})'
    counted = f"{errors} / sum by (version) (procvision_calls_total)"
    with prometheus(prometheus_folder, watched) as server:
        right = {"1.0.0": 0.0, "1.1.0": pytest.approx(1 / 3)}
        eventually(lambda: _by_version(server.ask(counted)) == right, "a scrape of all calls")

        watched.call()  # between two scrapes, for a rate
        rate = "deployment_version:procvision_call_errors:ratio_rate1m"
        seen = eventually(lambda: _by_version(server.ask(rate)), "a rate")
        assert seen == {"1.1.0": pytest.approx(1 / 3, abs=0.1)}, "only that was called since"
        assert [each["value"][1] for each in server.ask("up")] == ["1"]
        p95 = server.ask("deployment_version:procvision_call_duration_seconds:p95_rate1m > 0")
        assert {each["metric"]["version"] for each in p95} == {"1.1.0"}


def _by_version(found: list[dict[str, Any]]) -> dict[str, float]:
    return {each["metric"]["version"]: float(each["value"][1]) for each in found}


def test_every_call_is_in_the_scrape_with_its_outcome(watched: Watched) -> None:
    line = 'procvision_calls_total{deployment="cells",outcome="ok",package="cell",pid="A01",version="1.0.0"}'
    told = eventually(lambda: re.search(rf"^{re.escape(line)} (\S+)$", watched.scrape(), re.MULTILINE), "the count")
    assert float(told[1]) == CALLS


@requires("promtool")
def test_promtool_finds_nothing_in_the_names_of_a_scrape(watched: Watched) -> None:
    command = [program("promtool") or "", "check", "metrics"]
    checked = subprocess.run(
        command, input=watched.scrape(), capture_output=True, text=True, check=False, timeout=HANGS
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def names_of(scrape: str) -> set[str]:
    """Return the names of a scrape's families, and of the series of its histograms."""
    families = dict(re.findall(r"^# TYPE (\S+) (\S+)$", scrape, re.MULTILINE))
    histograms = {name for name, kind in families.items() if kind == "histogram"}
    return {*families, *(f"{name}{suffix}" for name in histograms for suffix in ("_bucket", "_sum", "_count"))}


def test_what_the_dashboard_the_rules_and_the_documents_name_is_in_a_scrape(watched: Watched) -> None:
    there = names_of(watched.scrape())
    deploy = ROOT / "deploy"
    texts = [
        deploy / "grafana" / "procvision.json", *(deploy / "prometheus" / name for name in ("rules.yml", "alerts.yml")),
        ROOT / "docs" / "metrics.md",
    ]  # fmt: skip
    for path in texts:
        text = re.sub(r"deployment_version:\S*?:\w+", "", path.read_text(encoding="utf-8"))  # what the rules record
        named = set(_NAMES.findall(text))
        assert len(named) > 1, path
        assert named - there == set(), path
    documented = set(_NAMES.findall(texts[-1].read_text(encoding="utf-8")))
    assert {name for name in there if not re.search("_(bucket|sum|count)$", name)} <= documented, "docs/metrics.md"


def test_recorded_rates_that_the_dashboard_asks_for_are_recorded() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())["groups"][0]["rules"]
    recorded = {rule["record"] for rule in rules}
    asked = set(re.findall(r"deployment_version:[\w:]+", (ROOT / "deploy" / "grafana" / "procvision.json").read_text()))
    assert asked == recorded


def test_the_lines_of_a_deployment_have_every_call_by_version(watched: Watched) -> None:
    def lines() -> dict[str, Any]:
        status, found = watched.daemon.get("/v1/deployments/cells/series?seconds=7200")
        assert (status, found["interval_s"]) == (200, 10)
        return {each["version"]: each for each in found["versions"]}

    found = eventually(lambda: len(both := lines()) == 2 and both, "both versions")
    assert sum(point[1] for point in found["1.0.0"]["points"]) == CALLS
    assert (found["1.0.0"]["role"], found["1.1.0"]["role"]) == ("other", "stable"), "1.1.0 is promoted"

    def counted() -> bool:
        _, calls, errors, *_ = zip(*lines()["1.1.0"]["points"], strict=True)
        return sum(errors) * 3 == sum(calls) >= CALLS

    eventually(counted, "the last second's calls")
    assert watched.daemon.get("/v1/deployments/nobody/series")[0] == 404
