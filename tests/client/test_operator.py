"""What the command line asks a running daemon for, against a real server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from controller.calls.request import DetectionRequest
from controller.client.answers import NotReached
from controller.client.arguments import CallArguments
from controller.client.operator import Operator, client_execute
from controller.errors import CallError, Code, ControllerError
from controller.store.layout import StoreLayout
from tests.client.conftest import StationProcess


@pytest.fixture
def operator(station: StationProcess) -> Operator:
    station.start()
    station.wait_until_up()
    return Operator(station.layout)


def test_status_verbs_and_down(operator: Operator) -> None:
    assert operator.status() == {"converged": True}
    assert operator.operate("pids", "A01", "rollback", {"reason": "scratches"}) == {"message": "rollback A01"}
    assert operator.down() == ("screw-check/screw-check@1.0.0-0",)


def test_reconcile_tells_its_progress(operator: Operator) -> None:
    heard: list[str] = []
    outcome = operator.reconcile(allow_empty=False, wait=True, timeout=30, notify=heard.append)
    assert heard == ["install screw-check@1.0.0", "start screw-check@1.0.0"]
    assert outcome == {"exit": 0, "status": {"converged": True}}


def test_refusals_are_errors(operator: Operator) -> None:
    with pytest.raises(CallError) as caught:
        operator.reconcile(allow_empty=False, wait=True, timeout=-1, notify=lambda _: None)
    assert caught.value.code == Code.invalid_params
    with pytest.raises(ControllerError, match="no verb 'dance'"):
        operator.operate("pids", "A01", "dance", {})


def test_detection_through_the_daemon(station: StationProcess, operator: Operator, tmp_path: Path) -> None:
    np.save(tmp_path / "part.npy", np.ones((2, 2), np.uint8))
    request = DetectionRequest("A01", tmp_path / "part.npy", arguments=CallArguments(step_desc="left"))
    detection = client_execute(station.layout, request)
    assert detection.to_document()["data"] == {"shape": [2, 2], "sum": 4, "by_reference": True}
    assert station.calls()[-1] == "left"


def test_no_daemon_is_said_at_once(tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path / "store")
    with pytest.raises(NotReached):
        client_execute(layout, DetectionRequest("A01", np.ones((2, 2), np.uint8)))
    with pytest.raises(NotReached):
        Operator(layout).status()
