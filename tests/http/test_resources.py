"""The other resources: status, health, reconcile, verbs, down, OpenAPI, and what there is not."""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from controller.errors import Code, CodedError, DesiredStateError, PackageError, StoreBusy, StoreError
from controller.http.application import endpoints
from controller.http.openapi import document
from controller.http.request_body import BodyLimits
from controller.model.status import RevisionStatus, Status
from controller.station.commands.measuring import GetMetrics, GetSeries
from controller.station.commands.operator import Promote, Resume, Rollback
from controller.station.commands.packages import Uninstall
from controller.station.commands.reconciling import PlannedChanges, Readiness, Reconcile
from controller.station.port import AccessDenied
from tests.http.conftest import Reply, ServedStation
from tests.http.test_execute import npy
from tests.station.fake import PART, SERIES, STATUS, FakeStation, refusal
from tests.waiting import until


async def test_status_health_and_readiness(station: ServedStation) -> None:
    assert (await station.ask("GET", "/v1/status")).json == STATUS
    assert (await station.ask("GET", "/healthz")).json == {"alive": True}
    assert (await station.ask("GET", "/readyz")).json == {"ready": True, "reason": ""}
    station.fake.readiness = Readiness(False, "A01: no process of screw-check@1.0.0 is ready")
    reply = await station.ask("GET", "/readyz")
    assert (reply.status, reply.json["reason"]) == (503, "A01: no process of screw-check@1.0.0 is ready")
    assert (await station.ask("HEAD", "/healthz")).body == b""


async def test_the_last_parts_and_a_picture_of_one(station: ServedStation) -> None:
    assert (await station.ask("GET", "/v1/parts")).json == [PART]
    reply = await station.ask("GET", "/v1/pids/A01/picture?request_id=r-1")
    assert (reply.status, reply.body) == (200, b"\xff\xd8\xff a picture")
    assert (reply.headers["content-type"], reply.headers["etag"]) == ("image/jpeg", '"r-1"')
    assert reply.headers["cache-control"] == "private, no-cache"
    again = await station.ask("GET", "/v1/pids/A01/picture", **{"If-None-Match": '"r-0", W/"r-1"'})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", '"r-1"')
    assert (await station.ask("GET", "/v1/pids/A01/picture?request_id=r-0")).status == 410
    missing = await station.ask("GET", "/v1/pids/A02/picture")
    assert (missing.status, "another part is there now; see" in missing.error["message"]) == (404, True)


async def test_reconcile_tells_its_progress_and_then_its_outcome(station: ServedStation) -> None:
    reply = await station.ask("POST", "/v1/reconcile", b'{"wait": true, "timeout": 5}')
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in reply.body.splitlines()] == [
        {"progress": "install screw-check@1.0.0"},
        {"progress": "start screw-check@1.0.0"},
        {"outcome": {"exit": 3, "status": STATUS}},
    ]
    assert station.fake.asked == [Reconcile(wait=True, timeout=5)]


async def test_who_may_not_is_told_so_and_nobody_is_blamed(station: ServedStation) -> None:
    station.fake.failure = AccessDenied("mia may not do that")
    reply = await station.ask("POST", "/v1/deployments/screw-check/promote")
    assert (reply.status, reply.error["code"], reply.error["message"]) == (403, 3002, "mia may not do that")


async def test_reconcile_takes_what_was_planned(station: ServedStation) -> None:
    plan = {"revision": "r1", "generations": {"screws": "g1"}, "changes": ["deactivate B01"]}
    await station.ask("POST", "/v1/reconcile", json.dumps({"plan": plan}).encode())
    assert station.fake.asked == [Reconcile(plan=PlannedChanges("r1", {"screws": "g1"}, ("deactivate B01",)))]
    reply = await station.ask("POST", "/v1/reconcile", b'{"plan": {"revision": "r1", "chances": []}}')
    assert (reply.status, reply.error["code"]) == (400, 1003)


@pytest.mark.parametrize(
    ("failure", "code"), [(StoreError("disk"), 1000), (CodedError(Code.timeout, "late"), 1005), (KeyError("x"), 1000)]
)
async def test_reconcile_that_fails_says_so_in_its_last_line(
    station: ServedStation, failure: Exception, code: int
) -> None:
    station.fake.failure = failure
    lines = (await station.ask("POST", "/v1/reconcile")).body.splitlines()
    assert json.loads(lines[-1])["error"]["code"] == code


async def test_operators_commands_arrive_as_values_with_the_user_of_the_socket(station: ServedStation) -> None:
    reply = await station.ask("POST", "/v1/deployments/screw-check/promote", b'{"full": true}')
    assert (reply.status, reply.json) == (200, {"message": "promote screw-check: will be done"})
    await station.ask("POST", "/v1/pids/A01/rollback", b'{"reason": "scratches", "to": "1.0.0", "emergency": null}')
    await station.ask("POST", "/v1/pids/A01/resume")
    await station.ask("POST", "/v1/deployments/screw-check/resume")
    assert station.fake.asked == [
        Promote("screw-check", full=True),
        Rollback("A01", "pid", to="1.0.0", reason="scratches"),
        Resume("A01", "pid"),
        Resume("screw-check"),
    ]
    assert {caller.name for caller in station.fake.callers} == {getpass.getuser()}
    assert (await station.ask("POST", "/v1/down")).json == {"ended": ["screws/screw-check@1.0.0-0"]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"ful": true}', "did you mean 'full'"),
        (b'{"full": "yes"}', "full: Input should be a valid boolean"),
        (b'{"deployment": "other"}', "'deployment' is not known"),
    ],
)
async def test_arguments_that_a_command_does_not_take_are_refused(
    station: ServedStation, body: bytes, words: str
) -> None:
    reply = await station.ask("POST", "/v1/deployments/screw-check/promote", body)
    assert (reply.status, reply.error["code"]) == (400, 1003)
    assert words in reply.error["message"]
    assert station.fake.asked == []


async def test_a_package_is_installed_from_the_body_and_removed_by_its_name(station: ServedStation) -> None:
    content = os.urandom(3 << 20)
    target, lines = "/algorithms/install?name=screw-check-1.0.0.zip", {"Accept": "application/x-ndjson"}
    reply = await station.ask("POST", target, content, "application/zip", **lines)
    assert [json.loads(line) for line in reply.body.splitlines()] == [
        {"progress": "screw-check-1.0.0.zip: installed"},
        {"outcome": {"name": "screw-check", "version": "1.0.0", "digest": "sha256:ab"}},
    ]
    assert station.fake.installed == content
    await until(lambda: list(station.layout.staging.iterdir()) == [])  # an upload is gone when it was installed
    refused = await station.ask("POST", "/algorithms/install?name=bad.zip", b"x", "application/zip", **lines)
    assert json.loads(refused.body.splitlines()[-1])["error"]["code"] == 2002
    reply = await station.ask("DELETE", "/algorithms/screw-check/1.0.0")
    assert (reply.status, reply.json["version"]) == (200, "1.0.0")
    assert station.fake.asked[-1] == Uninstall("screw-check", "1.0.0")


@pytest.mark.parametrize(
    ("target", "kind", "status"),
    [
        ("?name=a.zip", "text/plain", 415),
        ("", "application/zip", 400),
        ("?name=..%2Fa.zip", "application/zip", 400),
        ("?name=.hidden.zip", "application/zip", 400),
        ("?name=a.tar", "application/zip", 400),
    ],
)
async def test_what_is_no_zip_by_kind_or_name_is_refused(
    station: ServedStation, target: str, kind: str, status: int
) -> None:
    reply = await station.ask("POST", f"/algorithms/install{target}", b"x", kind)
    assert (reply.status, reply.error["code"]) == (status, 1003)
    assert station.fake.asked == []
    assert not station.layout.staging.exists() or list(station.layout.staging.iterdir()) == []


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (PackageError(Code.activation_conflict, "no"), 409, 2006),
        (PackageError(Code.invalid_zip, "no"), 422, 2001),
        (PackageError(Code.install_failed, "no"), 422, 2005),
        (PackageError(Code.install_failed, "no", details={"fault": "ours"}), 500, 2005),
        (DesiredStateError(("a.yaml:3: no",)), 422, 1000),
        (StoreBusy("another works"), 409, 1000),
        (StoreError("disk"), 500, 1000),
        (refusal(), 500, 1000),
    ],
)
async def test_refused_verbs_have_their_status(
    station: ServedStation, failure: Exception, status: int, code: int
) -> None:
    station.fake.failure = failure
    reply = await station.ask("POST", "/v1/deployments/screw-check/promote")
    assert (reply.status, reply.error["code"]) == (status, code)


async def test_what_there_is_not_is_said_as_an_error(station: ServedStation) -> None:
    assert (await station.ask("GET", "/v2")).status == 404
    assert "openapi" in (await station.ask("GET", "/v1/pids/A01/")).error["message"]
    reply = await station.ask("GET", "/v1/pids/A01/execute")
    assert (reply.status, reply.headers["allow"], reply.error["code"]) == (405, "POST", 1000)
    reply = await station.ask("POST", "/v1/deployments/screw-check/dance")
    assert (reply.status, "promote" in reply.error["message"]) == (404, True)
    reply = await station.ask("POST", "/v1/pids/A01/resume", b"[1]")
    assert (reply.status, reply.error["code"]) == (400, 1003)
    reply = await station.ask("POST", "/v1/pids/A01/resume", b"{")
    assert (reply.status, reply.error["code"]) == (400, 1003)


def _schema(document: dict[str, Any], method: str, path: str, reply: Reply) -> dict[str, Any]:
    """The schema that the document promises for an answer, with its definitions."""
    answer = document["paths"][path][method.lower()]["responses"][str(reply.status)]
    if place := answer.get("$ref"):
        answer = document["components"]["responses"][place.rpartition("/")[2]]
    content = answer["content"]
    (promised,) = [each["schema"] for kind, each in content.items() if kind == reply.headers["content-type"]]
    return {**promised, "components": document["components"]}


async def test_openapi_document_is_valid_and_describes_the_answers(station: ServedStation) -> None:
    document = (await station.ask("GET", "/openapi.json")).json
    assert document["openapi"] == "3.1.0"
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    body, execute = b'{"image_ref": "x"}', "/v1/pids/{pid}/execute"
    asked = [
        ("POST", execute, "/v1/pids/A01/execute", body),
        ("POST", execute, "/v1/pids/A01/execute", b"{}"),
        ("POST", "/v1/packages/{name}/{version}/execute", "/v1/packages/a/1/execute", body),
        ("GET", "/healthz", "/healthz", None),
        ("GET", "/readyz", "/readyz", None),
        ("GET", "/openapi.json", "/openapi.json", None),
        ("POST", "/v1/down", "/v1/down", None),
        ("POST", "/v1/pids/{pid}/resume", "/v1/pids/A01/resume", None),
        ("DELETE", "/algorithms/{name}/{version}", "/algorithms/a/1", None),
    ]
    for method, path, target, sent in asked:
        reply = await station.ask(method, target, sent)
        jsonschema.validate(reply.json, _schema(document, method, path, reply))
    status = Status(RevisionStatus("r", "desired", True), True).to_document()
    reply = Reply(200, {"content-type": "application/json"}, b"")
    jsonschema.validate(json.loads(json.dumps(status)), _schema(document, "GET", "/v1/status", reply))
    forms = document["paths"][execute]["post"]["requestBody"]["content"]
    assert forms.keys() == {"multipart/form-data", "application/json"}


def test_the_openapi_document_that_is_kept_is_what_the_code_says(tmp_path: Path) -> None:
    kept = Path(__file__).parents[2] / "docs" / "openapi.json"
    said = document(endpoints(FakeStation(), tmp_path, BodyLimits()))
    assert json.loads(orjson.dumps(said)) == json.loads(kept.read_bytes()), "run `make openapi`"


async def test_openapi_references_lead_somewhere(station: ServedStation) -> None:
    text = (await station.ask("GET", "/openapi.json")).body.decode()
    document = json.loads(text)
    names = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert names
    assert names <= document["components"]["schemas"].keys()


async def test_every_status_that_execute_gives_is_documented(station: ServedStation) -> None:
    document = (await station.ask("GET", "/openapi.json")).json
    promised = document["paths"]["/v1/pids/{pid}/execute"]["post"]["responses"]
    for code in (code for code in Code if code < Code.invalid_zip):
        station.plane.failure = CodedError(code, "words")
        assert str((await station.detect(image=npy())).status) in promised


def _nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize("depth", [300, 100_000])
@pytest.mark.parametrize("field", [None, "reason", "params", "unheard_of"])
async def test_what_is_nested_too_deep_is_refused_by_everything_that_reads_json(
    station: ServedStation, field: str | None, depth: int
) -> None:
    body = _nested(depth) if field is None else b'{"%s": %s}' % (field.encode(), _nested(depth))
    application = endpoints(station.fake, station.layout.staging, station.limits)
    asked = [endpoint.path for endpoint in application if endpoint.method == "POST"]
    assert len(asked) > 10
    for path in asked:
        target = path.format(name="screws", pid="A01", version="1.0.0", request_id="r")
        reply = await station.ask("POST", target, body)
        assert reply.status in {400, 415}, path
    assert not station.fake.asked
    assert (await station.ask("POST", "/v1/deployments/screws/promote")).status == 200


async def test_what_calls_came_to_over_time(station: ServedStation) -> None:
    reply = await station.ask("GET", "/v1/deployments/screws/series")

    assert reply.json == {
        "deployment": "screws",
        "interval_s": 10,
        "versions": [{**SERIES, "points": [[1700000000, 40, 1, 0, 3.5, 8.25]]}],
    }
    assert station.fake.asked == [GetSeries("screws")]


async def test_metrics_are_text_in_the_form_that_the_scraper_accepts(station: ServedStation) -> None:
    reply = await station.ask("GET", "/metrics", Accept="application/openmetrics-text")

    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; version=0.0.4")
    assert reply.body == b"procvision_converged 1.0\n"
    assert station.fake.asked == [GetMetrics("application/openmetrics-text")]


@pytest.mark.parametrize("seconds", ["0", "-5", "soon"])
async def test_a_series_of_no_time_is_refused(station: ServedStation, seconds: str) -> None:
    reply = await station.ask("GET", f"/v1/deployments/screws/series?seconds={seconds}")

    assert (reply.status, reply.error["code"]) == (400, 1003)
