"""Rules, alerts and the example configuration, by promtool; alerts on what was recorded of a bad canary."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.prometheus.recording import RECORDING, ROOT
from tests.system import program, requires
from tests.waiting import HANGS

pytestmark = requires("promtool")
DEPLOY = ROOT / "deploy" / "prometheus"
REFUSALS = DEPLOY / "tests" / "gateway.yml"


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [program("promtool") or "", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANGS)


def test_rules_alerts_and_the_example_are_valid() -> None:
    checked = promtool("check", "rules", DEPLOY / "rules.yml", DEPLOY / "alerts.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    configured = promtool("check", "config", "--syntax-only", DEPLOY / "prometheus.yml")
    assert configured.returncode == 0, configured.stdout + configured.stderr


def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    dashboard: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "procvision.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    queries += [each["expr"] for each in dashboard["annotations"]["list"] if "expr" in each]
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    checked = promtool("check", "rules", "--lint=none", path)

    assert (checked.returncode, f"{len(queries)} rules found" in checked.stdout) == (0, True), checked.stdout
    variables = {each["name"] for each in dashboard["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard["panels"]))) <= variables


def test_an_alert_fires_while_the_gateway_goes_on_refusing() -> None:
    done = promtool("test", "rules", REFUSALS)

    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_before_and_after_the_rollback_of_the_recorded_canary() -> None:
    tests: dict[str, Any] = yaml.safe_load(RECORDING.read_text())["tests"][0]
    fires = {
        (each["alertname"], int(each["eval_time"].rstrip("s"))) for each in tests["alert_rule_test"]
        if each["exp_alerts"]
    }  # fmt: skip
    warned = max(at for name, at in fires if name == "ProcvisionVersionOnItsWayToRollback")
    assert warned < min(at for name, at in fires if name == "ProcvisionRolledBack")

    done = promtool("test", "rules", RECORDING)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("recorded", "broken", "by", "says"),
    [
        (RECORDING, ">= 0.5 < 1", ">= 2", "OnItsWayToRollback"),
        (RECORDING, 'end="rolled_back"', 'end="promoted"', "RolledBack"),
        (REFUSALS, "refusals_total[5m])) > 0.1", "refusals_total[5m])) > 0.2", "GatewayRefuses"),
        (REFUSALS, "refusals_total[5m])) > 0.1", "refusals_total[5m])) > 0", "GatewayRefuses"),
    ],
)
def test_an_alert_that_fires_otherwise_is_noticed(
    tmp_path: Path, recorded: Path, broken: str, by: str, says: str
) -> None:
    shutil.copytree(DEPLOY, tmp_path / "prometheus")
    alerts = tmp_path / "prometheus" / "alerts.yml"
    text = alerts.read_text()
    assert broken in text
    alerts.write_text(text.replace(broken, by))

    done = promtool("test", "rules", tmp_path / "prometheus" / "tests" / recorded.name)

    assert (done.returncode, bool(re.search(says, done.stdout + done.stderr))) == (1, True)
