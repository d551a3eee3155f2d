"""Recorded calls over HTTP: files in pieces, an import as the body or a form, and nothing for who lacks the grant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.station.commands.recordings import (
    DeleteRecordings,
    ExportRecordings,
    GetRecording,
    ImportRecordings,
    ListRecordings,
    ShowRecording,
)
from tests.http.conftest import ServedStation, form
from tests.station.fake import RECORDED
from tests.waiting import until

ONE = f"/v1/recordings/{RECORDED.id}"


async def test_they_are_listed_and_one_is_told_whole(station: ServedStation) -> None:
    query = "pid=A01&pid=A02&verdict=NG&kind=sample&version=1.0.0&since=2027-01-01T00:00:00Z&limit=5"
    page = (await station.ask("GET", f"/v1/recordings?{query}")).json
    assert (page["rows"][0]["id"], page["next_before"]) == (RECORDED.id, RECORDED.id)
    assert (await station.ask("GET", f"/v1/recordings?before={RECORDED.id}")).json["next_before"] is None
    one = (await station.ask("GET", ONE)).json
    assert (one["data"], one["arguments"], one["guide_is_image"]) == ({"result_status": "NG"}, {"step_index": 1}, True)
    assert station.fake.asked == [
        ListRecordings(pid=("A01", "A02"), verdict=("NG",), kind=("sample",), version=("1.0.0",),
                       since="2027-01-01T00:00:00Z", limit=5),
        ListRecordings(before=RECORDED.id), GetRecording(RECORDED.id),
    ]  # fmt: skip


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "verdict=BAD", "since=soon", "last=5", "verdikt=NG"])
async def test_a_query_that_cannot_be_meant_is_refused(station: ServedStation, query: str) -> None:
    reply = await station.ask("GET", f"/v1/recordings?{query}")
    assert (reply.status, reply.error["code"]) == (400, 1003)


async def test_a_page_and_pictures_are_files(station: ServedStation) -> None:
    page, picture = await station.ask("GET", f"{ONE}/page"), await station.ask("GET", f"{ONE}/picture")
    guide = await station.ask("GET", f"{ONE}/picture?guide=true")

    assert [each.body for each in (page, picture, guide)] == [b"page", b"picture", b"picture guide"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert picture.headers["content-type"] == "image/png"
    for each in (page, picture):
        assert each.headers["cache-control"] == "no-store"
        assert each.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in each.headers["content-security-policy"]
    assert station.fake.asked[0] == ShowRecording(RECORDED.id)
    await until(lambda: all(file.closed for file in station.fake.files), "the end of the files")
    missing = await station.ask("GET", "/v1/recordings/20270115080001000-ffffffffff/page")
    assert (missing.status, missing.error["code"]) == (404, 1003)


async def test_an_export_goes_in_pieces_and_a_head_of_it_is_refused(station: ServedStation) -> None:
    reply = await station.ask("GET", "/v1/recordings/export?pid=A01&last=7")
    assert (reply.status, reply.body) == (200, b"PK exported")
    assert reply.headers["content-type"] == "application/zip"
    assert reply.headers["content-disposition"] == 'attachment; filename="recordings.zip"'
    assert (await station.ask("HEAD", "/v1/recordings/export")).status == 405
    assert station.fake.asked == [ExportRecordings(pid=("A01",), last=7)]


async def test_a_file_is_imported_as_the_body_or_in_a_form_and_goes_away_then(station: ServedStation) -> None:
    whole = await station.ask("POST", "/v1/recordings/import", b"PK exported", "application/zip")
    assert whole.json == {"imported": 2, "already_there": 1, "damaged": 0, "beyond": 0}
    assert station.fake.imported == b"PK exported"
    in_form = await station.ask("POST", "/v1/recordings/import", *form(file=b"PK in a form"))
    assert (in_form.status, station.fake.imported) == (200, b"PK in a form")
    commands = [each for each in station.fake.asked if isinstance(each, ImportRecordings)]
    assert {each.path.name for each in commands} == {"recordings.zip"}
    assert [path for path in Path(station.layout.staging).iterdir() if path.name.startswith("upload-")] == []
    wrong = await station.ask("POST", "/v1/recordings/import", b"{}", "application/json")
    assert (wrong.status, wrong.error["code"]) == (415, 1003)


async def test_deleting_names_what_it_means(station: ServedStation) -> None:
    for body, status in (
        ({"pid": ["A01"], "until": "2027-01-01T00:00:00Z"}, 200), ({"all": True}, 200), ({}, 400),
        ({"all": True, "pid": ["A01"]}, 400), ({"id": "x"}, 400),
    ):  # fmt: skip
        reply = await station.ask("POST", "/v1/recordings/delete", json.dumps(body).encode())
        assert reply.status == status, body
    assert station.fake.asked == [
        DeleteRecordings(pid=("A01",), until="2027-01-01T00:00:00Z"), DeleteRecordings(all=True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("role", "grant", "sees", "changes"),
    [("viewer", "", 403, 403), ("operator", "", 403, 403), ("viewer", "recordings", 200, 403),
     ("operator", "recordings", 200, 403), ("admin", "", 200, 200)],
)  # fmt: skip
async def test_who_may(station: ServedStation, role: str, grant: str, sees: int, changes: int) -> None:
    who = {"X-Procvision-Caller": "token%3Ax", "X-Procvision-Access": role, "X-Procvision-Grants": grant}
    for target in ("/v1/recordings", ONE, f"{ONE}/page", f"{ONE}/picture", "/v1/recordings/export"):
        reply = await station.ask("GET", target, **who)
        assert reply.status == sees, target
        if sees == 403:
            assert reply.error["code"] == 3002
            assert "--recordings" in reply.error["message"]
    body = b'{"all": true}'
    assert (await station.ask("POST", "/v1/recordings/delete", body, **who)).status == changes
    assert (await station.ask("POST", "/v1/recordings/import", b"PK", "application/zip", **who)).status == changes
    assert (await station.ask("GET", "/v1/whoami", **who)).json["name"] == "ann"
