"""Which rows of the status are told to have changed, and when nothing is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from controller.model.status import (
    DeploymentStatus,
    HostStatus,
    PidHealth,
    PidStatus,
    ProcessStatus,
    RevisionStatus,
    Status,
)
from controller.reconciler.loop import Loop
from controller.station.status_events import StatusEvents

DEPLOYMENT = DeploymentStatus("line", "Healthy", "g", "line", "1.0.0", "1.0.0")
PIDS = tuple(PidStatus(pid, "line", None, "1.0.0", False, False, True) for pid in ("A01", "A02"))
PROCESS = ProcessStatus("line", "line", "1.0.0", 0, 5, "ready", "", 1000, 1.0, 0, "t")
STATUS = Status(RevisionStatus("r1", "desired", True), True, (DEPLOYMENT,), PIDS, (PROCESS,))


def test_each_change_is_told_once_with_the_names_of_its_rows() -> None:
    told: list[Any] = []
    loop = SimpleNamespace(outcome=None, refusal=None, failing="")
    events = StatusEvents(cast(Loop, loop), lambda kind, document: told.append((kind, document)))

    def after(status: Status, **more: Any) -> Any:
        vars(loop).update(more, outcome=SimpleNamespace(status=status))
        told.clear()
        events.look()
        return told[0][1] if told else None

    first = after(STATUS)
    assert (first["revision"], first["valid"], first["converged"]) == ("r1", True, True)
    assert (first["deployments"], first["pids"]) == (["line"], ["A01", "A02"])
    assert first["processes"] == ["line/line@1.0.0-0"]
    assert after(STATUS) is None

    uses_more = replace(STATUS, processes=(replace(PROCESS, rss_bytes=9, cpu_percent=9.0),), host=HostStatus(1, 2, 3))
    assert after(uses_more) is None, "what is used at the moment is no change"
    changed = replace(STATUS, pids=(PIDS[0], replace(PIDS[1], health=PidHealth(5))), converged=False)
    found = after(changed)
    assert (found["pids"], found["deployments"], found["converged"]) == (["A02"], [], False)
    assert after(replace(changed, pids=PIDS[:1]))["pids"] == ["A02"], "a row that is gone"

    assert after(STATUS, failing="the disk is full")["converged"] is False
    assert after(STATUS, failing="")["converged"] is True
    refused = {"revision": {"errors": ["desired/a.yaml:1:1: no"]}}
    assert after(STATUS, refusal=refused)["valid"] is False
    assert after(STATUS, refusal=refused) is None
