"""The seeds' package API over HTTP, with the fake station: what is taken, in which forms, and how it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controller.errors import StoreError
from controller.http.upload import Upload
from controller.station.commands.activating import Activate, ListActive, Switch
from controller.station.commands.packages import Install, InstallStored, ListPackages, Uninstall
from controller.station.commands.validating import Validate, ValidateStored
from tests.http.conftest import Reply, ServedStation

LINES = {"Accept": "application/x-ndjson"}


def form(name: str, filename: str, content: bytes, parts: int = 1) -> tuple[bytes, str]:
    """A form with one file, as curl makes it; or with it several times."""
    head = f'--xyz\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
    return (head.encode() + content + b"\r\n") * parts + b"--xyz--\r\n", "multipart/form-data; boundary=xyz"


async def post(station: ServedStation, path: str, **body: Any) -> Reply:
    return await station.ask("POST", path, json.dumps(body).encode())


async def test_a_zip_comes_in_a_form_and_keeps_its_name(station: ServedStation) -> None:
    content = b"PK\r\n--xy\r\n" + bytes(range(256)) * 2000  # longer than one piece, with what looks like a boundary
    reply = await station.ask("POST", "/algorithms/install", *form("file", "screw.zip", content), **LINES)
    assert (reply.status, json.loads(reply.body.splitlines()[-1])["outcome"]["name"]) == (200, "screw-check")
    assert station.fake.installed == content
    [command] = (each for each in station.fake.asked if isinstance(each, Install))
    assert command.zip_path.name == "screw.zip"
    await station.ask("POST", "/algorithms/install?name=other.zip", *form("file", "../x", content), **LINES)
    assert [each.zip_path.name for each in station.fake.asked if isinstance(each, Install)][1:] == ["other.zip"]


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (*form("zip", "a.zip", b"PK"), "a part 'zip', where only 'file' is known"),
        (*form("file", "../a.zip", b"PK"), "is no file name of a zip"),
        (*form("file", "a.zip", b"PK", parts=2), "more than one part"),
        (form("file", "a.zip", b"PK")[0][:-9], "multipart/form-data; boundary=xyz", "is cut off"),
        (b"--xyz--\r\n", "multipart/form-data; boundary=xyz", "is cut off"),
        (b"nothing", "multipart/form-data; boundary=xyz", "is malformed"),
        (b"PK", "multipart/form-data", "has no boundary"),
    ],
)
async def test_a_form_that_holds_something_else_is_refused(
    station: ServedStation, body: bytes, kind: str, told: str
) -> None:
    for path in ("/algorithms/install", "/algorithms/validate"):
        reply = await station.ask("POST", path, body, kind)
        assert (reply.status, reply.error["code"]) == (400, 1003)
        assert told in reply.error["message"]
    assert station.fake.asked == []
    assert list(station.layout.staging.glob("*")) == [], "nothing of it is left"


async def test_a_zip_of_the_store_is_named(station: ServedStation) -> None:
    reply = await station.ask("POST", "/algorithms/install", b'{"zip": "screw.zip"}', **LINES)
    assert json.loads(reply.body.splitlines()[-1])["outcome"]["version"] == "1.0.0"
    assert InstallStored("screw.zip") in station.fake.asked
    for body in ({"zip": "../screw.zip"}, {"zip": None}, {}, {"zipp": "screw.zip"}):
        refused = await post(station, "/algorithms/install", **body)
        assert (refused.status, refused.error["code"]) == (400, 1003)


async def test_a_report_is_an_answer_also_of_a_bad_package(station: ServedStation) -> None:
    good = await station.ask("POST", "/algorithms/validate?prove=true", *form("file", "screw.zip", b"PK"))
    assert (good.status, good.json["valid"], good.json["checks"][0]["state"]) == (200, True, "passed")
    [command] = (each for each in station.fake.asked if isinstance(each, Validate))
    assert (command.zip_path.name, command.prove) == ("screw.zip", True)
    bad = await station.ask("POST", "/algorithms/validate?name=bad.zip", b"PK", "application/zip")
    assert (bad.status, bad.json["valid"], bad.json["error"]["code"]) == (200, False, 2002)
    named = await post(station, "/algorithms/validate", name="screw", version="1.0.0", prove=True)
    assert (named.status, named.json["zip"]) == (200, "screw-1.0.0.zip")
    assert ValidateStored(name="screw", version="1.0.0", prove=True) in station.fake.asked
    for body in ({}, {"zip": "a.zip", "name": "a", "version": "1"}, {"name": "a"}, {"zip": "a.tar"}):
        refused = await post(station, "/algorithms/validate", **body)
        assert (refused.status, refused.error["code"]) == (400, 1003)
    assert (await station.ask("POST", "/algorithms/validate?prove=1", b"PK", "application/zip")).status == 400


async def test_pids_are_given_versions(station: ServedStation) -> None:
    named = {"name": "screw", "version": "1"}
    done = await post(station, "/algorithms/activate", **named, pid=["A01", "A02"], hold=True, reason="r")
    assert [(each["pid"], each["outcome"], each["held"]) for each in done.json["pids"]] == [
        ("A01", "switched", True), ("A02", "switched", True),
    ]  # fmt: skip
    await post(station, "/algorithms/switch", **named, pid=["A01"])
    assert station.fake.asked == [
        Activate("screw", "1", ("A01", "A02"), "r", hold=True), Switch("screw", "1", ("A01",)),
    ]  # fmt: skip
    wrong: list[dict[str, Any]] = [
        {"pid": []}, {"pid": ["A01", "A01"]}, {"pid": "A01"}, {"pid": None}, {"pid": ["A01"], "hold": True},
        {"pid": ["A01"], "hold": "yes"}, {"pid": ["A01"], "why": "x"},
    ]  # fmt: skip
    for body in wrong:
        refused = await post(station, "/algorithms/activate", **named, **body)
        assert (refused.status, refused.error["code"]) == (400, 1003), body
    assert len(station.fake.asked) == 2


async def test_packages_and_active_pids_are_listed_and_removed(station: ServedStation) -> None:
    every = (await station.ask("GET", "/algorithms")).json["algorithms"]
    assert [(each["name"], each["state"], each["active"]) for each in every] == [
        ("screw-check", "installed", ["A01"]), ("torn.zip", "invalid", []),
    ]  # fmt: skip
    await station.ask("GET", "/algorithms?state=invalid&name=x")
    await station.ask("GET", "/algorithms/active?pid=A01&pid=A02")
    await station.ask("DELETE", "/algorithms/screw-check/1.0.0?force=true")
    assert station.fake.asked == [
        ListPackages(), ListPackages("invalid", "x"), ListActive(("A01", "A02")),
        Uninstall("screw-check", "1.0.0", force=True),
    ]  # fmt: skip
    assert (await station.ask("GET", "/algorithms?state=broken")).status == 400


async def test_a_long_act_of_what_can_never_be_is_refused_before_it_begins(station: ServedStation) -> None:
    named = {"version": "1.0.0", "pid": ["A01"]}
    requests: list[tuple[str, str, dict[str, Any] | None]] = [
        ("DELETE", "/algorithms/a%20b/1.0.0", None),
        ("DELETE", "/algorithms/screw/%C3%A41?force=true", None),
        ("POST", "/algorithms/activate", named | {"name": "a b"}),
        ("POST", "/algorithms/switch", named | {"name": "a", "version": ""}),
        ("POST", "/algorithms/validate", {"name": "-a", "version": "1"}),
        ("POST", "/algorithms/validate?name=x.tar", {"zip": "screw.zip"}),
        ("POST", "/algorithms/validate?prove=perhaps", {"zip": "screw.zip"}),
        ("POST", "/algorithms/install?name=%60%16", {"zip": "screw.zip"}),
    ]
    for method, target, body in requests:
        sent = None if body is None else json.dumps(body).encode()
        reply = await station.ask(method, target, sent, Prefer="respond-async")
        assert (reply.status, reply.error["code"]) == (400, 1003), (method, target, body)
    assert station.fake.asked == []

    await station.ask("POST", "/algorithms/validate?prove=true", b'{"zip": "screw.zip"}')
    assert station.fake.asked == [ValidateStored("screw.zip", prove=True)]


async def test_a_disk_that_is_full_refuses_an_upload_and_nothing_of_it_stays(tmp_path: Path) -> None:
    upload = Upload(tmp_path, "a.zip")
    upload._file.close()
    upload._file = Path("/dev/full").open("wb")  # noqa: SIM115
    await upload.take(b"what is buffered")
    with pytest.raises(StoreError, match="cannot take the zip: No space left"):
        await upload.take(b"x" * (1 << 20))
    upload.remove()
    assert list(tmp_path.iterdir()) == []
