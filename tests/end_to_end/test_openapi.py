"""Every operation of docs/openapi.json, asked for by a client that knows nothing else, on a real station."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from controller.model.recorded import RecordingFilter
from controller.recordings.export import export
from controller.recordings.keeping import keeper
from controller.recordings.stored import StoreRecordings
from controller.store.layout import StoreLayout
from examples.packing import Algorithm, build_package
from tests.end_to_end.api_client import ApiClient
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.recorded import picture, pictures, recorded
from tests.waiting import eventually

pytestmark = pytest.mark.real

GOOD = Algorithm(body="return ok()")
CANARY = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}}
NOTHING: dict[str, Any] = {}


class Walk:
    """One station, walked through in the order of `STEPS`, each of which exercises operations."""

    def __init__(self, daemon: Daemon, parts: Path, image: bytes) -> None:
        self.daemon = daemon
        self.station = daemon.station
        self.api = ApiClient(daemon.station.store / "run")
        self.parts = parts
        self.image = image

    def desire(self, version: str) -> None:
        self.station.desire("cell", "cell", version, ["A01", "A02"], strategy=CANARY)

    def deployment(self) -> Any:
        rows = self.api("get_status").json["deployments"]
        return next(row for row in rows if row["name"] == "cell")

    def until_phase(self, *phases: str) -> None:
        eventually(lambda: self.deployment()["phase"] in phases, f"{phases}")

    def until_on(self, version: str, *pids: str) -> None:
        def mapped() -> bool:
            rows = self.api("list_active", pid=list(pids)).json["active"]
            return {row["pid"]: row["version"] for row in rows} == dict.fromkeys(pids, version)

        eventually(mapped, f"{pids} on {version}")


def looks(walk: Walk) -> None:
    api = walk.api
    assert api("get_openapi_json").json == api.document
    api("get_healthz")
    api("get_readiness")
    assert api("get_status").json["converged"]
    api("get_desired_tree")
    api("list_packages", state="installed", name="cell")
    api("get_series", name="cell")
    if "get_metrics" in api.operations:
        assert b"procvision" in api("get_metrics").body


def packages(walk: Walk) -> None:
    api = walk.api
    first = walk.parts / "spare-1.0.0.zip"
    if "validate" in api.operations:
        api("validate", first.read_bytes(), media_type="application/zip", name=first.name)
    key = {"Idempotency-Key": "walk-1"}
    begun = api("install", first.read_bytes(), media_type="application/zip", expect=202, name=first.name, headers=key)
    name = begun.json["id"]
    assert api("follow_operation", id=name).lines[-1]["outcome"]["version"] == "1.0.0"
    assert api("get_operation", id=name).json["state"] == "succeeded"
    assert [row["id"] for row in api("list_operations", kind="install").json] == [name]
    again = api("install", first.read_bytes(), media_type="application/zip", expect=202, name=first.name, headers=key)
    assert (again.body, again.headers["idempotency-replayed"]) == (begun.body, "true")
    (walk.parts / "spare-1.1.0.zip").rename(walk.station.zips / "spare-1.1.0.zip")
    lines = {"Accept": "application/x-ndjson"}
    told = api("install", {"zip": "spare-1.1.0.zip"}, headers=lines).lines
    assert told[-1]["outcome"]["version"] == "1.1.0"
    api("activate", {"name": "spare", "version": "1.0.0", "pid": ["S01"]})
    api("activate", {"name": "spare", "version": "1.0.0", "pid": ["A01"]}, expect=409)
    switched = api("switch", {"name": "spare", "version": "1.1.0", "pid": ["S01"]}).json
    assert [row["outcome"] for row in switched["pids"]] == ["switched"]
    walk.until_on("1.1.0", "S01")
    api("uninstall", expect=409, name="spare", version="1.1.0")
    api("uninstall", name="spare", version="1.0.0", force="true")


def detections(walk: Walk) -> None:
    api = walk.api
    body = b'--x\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n' + walk.image + b"\r\n--x--\r\n"
    form = "multipart/form-data; boundary=x"
    found = api("detect_pid", body, media_type=form, pid="A01").json
    api("detect_package", body, media_type=form, name="cell", version="1.0.0")
    api("detect_pid", body, media_type=form, expect=404, pid="Z99")
    assert api("give_feedback", {"truth": "NG"}, request_id=found["request_id"]).json["counted"] == "escape"

    def seen() -> Any:  # pictures are made where somebody looks at the parts
        api("detect_pid", body, media_type=form, pid="A01")
        return [row for row in api("get_last_parts").json if row["pid"] == "A01" and row["picture"]]

    (part,) = eventually(seen, "a part with its picture")
    picture = api("get_picture", pid="A01", request_id=part["request_id"])
    api("get_picture", pid="A01", expect=304, headers={"If-None-Match": picture.headers["etag"]})


def rollout(walk: Walk) -> None:
    api, cell = walk.api, {"name": "cell"}
    walk.desire("1.1.0")
    told = api("reconcile", {"timeout": 60}, headers={"Accept": "application/json"}).json
    assert told["exit"] == 3
    walk.until_phase("Paused")
    api("pause", {"reason": "a walk"}, **cell)
    api("resume_deployment", **cell)
    api("promote", {"full": True}, **cell)
    walk.until_on("1.1.0", "A01", "A02")
    walk.until_phase("Healthy")
    api("abort", {"reason": "a walk"}, **cell)
    walk.until_on("1.0.0", "A01", "A02")
    walk.until_phase("Degraded")
    api("retry", **cell)
    walk.until_phase("Paused")
    api("promote", {"full": True}, **cell)
    walk.until_on("1.1.0", "A01", "A02")
    walk.until_phase("Healthy")
    api("rollback_pid", {"reason": "a walk"}, pid="A02")
    walk.until_on("1.0.0", "A02")
    api("resume_pid", pid="A02")
    walk.until_on("1.1.0", "A02")
    api("rollback_deployment", {"to": "1.0.0", "reason": "a walk"}, **cell)
    walk.until_on("1.0.0", "A01", "A02")
    api("resume_deployment", **cell)
    api("restart", **cell)


def records(walk: Walk) -> None:
    api, cell = walk.api, {"name": "cell"}
    assert api("get_identity").json["access"] == "admin"
    api("preview_plan")
    assert api("get_revisions").json["in_force"]["id"]
    assert [row["name"] for row in api("list_deployments").json] == ["cell"]
    assert api("get_deployment", **cell).json["steps"]
    api("get_deployment", expect=404, name="another")
    assert "A01" in [row["pid"] for row in api("list_pids").json]
    api("get_pid", pid="A01")
    api("get_pid", expect=404, pid="Z99")
    api("get_history_pid", pid="A01")
    api("get_history_deployment", **cell)
    api("get_history_subject", subject="A01")
    first = api("read_audit", limit=2).json
    assert len(first["rows"]) == 2
    assert api("read_audit", limit=2, before=first["next_before"]).json["rows"] != first["rows"]
    api("verify_audit")
    assert api("read_logs_subject", subject="cell", version="1.0.0").status == 200
    assert b"started" in api("read_logs_deployment", lines=1000, **cell).body
    assert b"started" in api("read_logs_controller", lines=1000).body


def recordings(walk: Walk) -> None:
    """Recorded calls that another station exported."""
    api, elsewhere = walk.api, StoreLayout.at(walk.parts / "elsewhere")
    with keeper(elsewhere) as kept:
        for number in range(3):
            guide = picture(9) if number else None
            kept.add(recorded(number, guide=guide), pictures(number, guide))
    exported = BytesIO()
    export(StoreRecordings(elsewhere), RecordingFilter(), exported)
    taken = api("import_recordings", exported.getvalue(), media_type="application/zip").json
    assert taken == {"imported": 3, "already_there": 0, "damaged": 0, "beyond": 0}
    page = api("list_recordings", pid="A01", verdict=["NG", "OK"], limit=2).json
    one = {"recording": page["rows"][0]["id"]}
    assert api("list_recordings", before=page["next_before"]).json["next_before"] is None
    assert api("get_recording", **one).json["arguments"] == {"step_index": 1}
    api("get_recording", expect=404, recording="20270115080000000-ffffffffff")
    assert api("show_recording_page", **one).body.startswith(b"<!DOCTYPE html>")
    assert api("show_recording_picture", guide="true", **one).body.startswith(b"\x89PNG")
    assert api("export_recordings", last=2).body.startswith(b"PK")
    api("export_recordings", expect=404, pid="Z99")
    told = api("replay_recorded", {"last": 2}, headers={"Accept": "application/json"}, name="cell").json
    assert [(each["before"], each["after"], each["pictures"]) for each in told["matrix"]] == [("NG", "OK", 2)]
    api("delete_recordings", {}, expect=400)
    assert api("delete_recordings", {"all": True}).json["deleted"] == 3


def tokens(walk: Walk) -> None:
    api = walk.api
    assert api("create_token", {"name": "kiosk", "role": "viewer"}).json["token"]
    assert [row["name"] for row in api("list_tokens").json["tokens"]] == ["kiosk"]
    api("revoke_token", name="kiosk")


def events(walk: Walk) -> None:
    first = walk.api("follow_events", enough=b"\n\n")
    assert b"retry: " in first.body


def kills(walk: Walk) -> None:
    """The first answer also after the daemon was killed and started again."""
    api, key = walk.api, {"Idempotency-Key": "walk-2"}
    asked: dict[str, Any] = {"name": "spare", "version": "1.1.0", "pid": ["S01"]}
    first = api("activate", asked, headers=key)
    walk.daemon.kill()
    walk.daemon.start()
    again = api("activate", asked, headers=key)
    assert (again.body, again.headers["idempotency-replayed"]) == (first.body, "true")
    api("activate", {**asked, "reason": "another"}, headers=key, expect=422)


def down(walk: Walk) -> None:
    walk.api("down")
    assert walk.daemon.wait() == 0


STEPS: tuple[Callable[[Walk], None], ...] = (
    looks, packages, detections, rollout, records, recordings, tokens, events, kills, down,
)  # fmt: skip


@pytest.fixture
def walk(station: Station, bright: Path, tmp_path: Path) -> Iterator[Walk]:
    daemon, parts = Daemon(station), tmp_path / "deliveries"
    for version in ("1.0.0", "1.1.0"):
        build_package(station.zips, name="cell", version=version, source=GOOD, supported_pids=("A01", "A02"))
        built = build_package(parts, name="spare", version=version, source=GOOD, supported_pids=("S01", "A01"))
        built.rename(parts / f"spare-{version}.zip")
    started = Walk(daemon, parts, bright.read_bytes())
    started.desire("1.0.0")
    daemon.start()
    daemon.until(lambda status: status["converged"], "convergence")
    yield started
    daemon.leave_nothing()


def test_a_client_that_knows_only_the_document_finds_every_operation_as_it_says(walk: Walk) -> None:
    for step in STEPS:
        step(walk)
    left_out = walk.api.operations.keys() - walk.api.exercised
    assert not left_out, f"these operations have no exercise here: {sorted(left_out)}"
