"""Requests with an Idempotency-Key: answered again, also after a restart, and carried out once whatever happens."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import orjson
import pytest

from controller.errors import Code, CodedError, HostError, PackageError
from controller.host.clock import epoch_seconds
from controller.host.users import own_name
from controller.http.application import application, endpoints
from controller.http.idempotency import _Attempt
from controller.http.openapi import identifier
from controller.http.openapi_words import BODIES
from controller.http.server import SocketServer
from controller.station.port import Access, Caller, Command, Report, Result, silent
from controller.store import idempotency
from controller.store.idempotency import IdempotencyKeys, RepeatableRequest
from controller.store.layout import StoreLayout
from tests.http.conftest import Reply, ServedStation, ask
from tests.station.fake import FakeStation
from tests.waiting import until

PROMOTE = ("POST", "/v1/deployments/screws/promote", b'{"full": true}')
INSTALL = ("POST", "/algorithms/install?name=a.zip", b"x" * (1 << 20), "application/zip")


NEEDED = {"give_feedback", "create_token", "activate", "switch"}
"""Operations that need something in their body."""


def keyed(key: str = "k-1", **more: str) -> dict[str, Any]:
    return {"Idempotency-Key": key, **more}


@asynccontextmanager
async def restarted(station: ServedStation, fake: FakeStation) -> AsyncIterator[Path]:
    """Yield the socket of a further server on the same store, as a daemon that was started again."""
    (station.layout.root / "again").mkdir(exist_ok=True)
    elsewhere = StoreLayout.at(station.layout.root / "again")
    server = SocketServer(application(fake, station.layout, station.limits), elsewhere)
    await server.start()
    yield elsewhere.socket
    await server.stop(1)


def same(first: Reply, second: Reply) -> bool:
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    known = {"content-type", "location"}
    headers = [{name: value for name, value in each.headers.items() if name in known} for each in (first, second)]
    return (first.status, first.body, headers[0]) == (second.status, second.body, headers[1])


def acts(fake: FakeStation) -> int:
    """Return how many commands came in that change something."""
    return sum(command.operation.access > Access.viewer for command in fake.asked)


async def test_everything_that_changes_something_is_carried_out_once(station: ServedStation) -> None:
    offered = endpoints(station.fake, station.layout.staging, station.limits)
    changing = [each for each in offered if each.method != "GET" and not each.path.endswith("/execute")]
    assert len(changing) > 10
    assert {each.keyed for each in changing} == {True}
    assert {each.keyed for each in offered if each not in changing} == {False}
    for endpoint in changing:
        target = endpoint.path.format(name="screws", pid="A01", version="1.0.0", request_id="r")
        target += "?name=a.zip" if target in {"/algorithms/install", "/algorithms/validate"} else ""
        kind = endpoint.bodies[0].media_type if endpoint.bodies else "application/json"
        body = orjson.dumps(BODIES[name]) if (name := identifier(endpoint)) in NEEDED else b""
        before = acts(station.fake)
        first, second = [
            await station.ask(endpoint.method, target, body, kind, **keyed(endpoint.path)) for _ in range(2)
        ]
        if endpoint.secret:
            assert (first.status, second.status) == (200, 409), "what is told once is not told again"
            assert not any(first.body in file.read_bytes() for file in station.layout.idempotency.iterdir())
        else:
            assert same(first, second), endpoint.path
        assert acts(station.fake) == before + (first.status < 400), endpoint.path


async def test_the_first_answer_is_given_also_after_a_restart_and_errors_are_answers_too(
    station: ServedStation,
) -> None:
    station.fake.failure = PackageError(Code.unsafe_uninstall, "screws@1.0.0 is still needed")
    refused = await station.ask("DELETE", "/algorithms/screws/1.0.0", **keyed())
    station.fake.failure = None
    done = await station.ask(*PROMOTE, **keyed())
    assert (refused.status, done.status) == (409, 200)
    fresh = FakeStation()
    async with restarted(station, fresh) as socket:
        again = [
            await asyncio.to_thread(ask, socket, *request, **keyed())
            for request in (("DELETE", "/algorithms/screws/1.0.0"), PROMOTE)
        ]
    assert same(refused, again[0])
    assert same(done, again[1])
    assert fresh.asked == []
    folder = station.layout.idempotency
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.iterdir())) == 2


async def test_a_key_stands_for_one_request(station: ServedStation) -> None:
    await station.ask(*PROMOTE, **keyed())
    for other in ((*PROMOTE[:2], b"{}"), ("POST", PROMOTE[1], PROMOTE[2], "text/plain")):
        reply = await station.ask(*other, **keyed())
        assert (reply.status, reply.error["code"]) == (422, 1003)
    await station.ask("POST", "/v1/deployments/others/promote", PROMOTE[2], **keyed())
    await station.ask(*PROMOTE, **keyed("k-2"))
    assert len(station.fake.asked) == 3, "another path and another key are other requests"
    for malformed in ("", " ", "k" * 201, "ключ".encode().decode("latin-1")):
        reply = await station.ask(*PROMOTE, **keyed(malformed))
        assert (reply.status, reply.error["code"]) == (400, 1003)
    assert len(station.fake.asked) == 3


@pytest.mark.parametrize("split", [1, 150, 3 << 20])
async def test_a_form_is_the_same_whatever_its_boundary(
    station: ServedStation, split: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"--abc" * 400_000

    def form(boundary: str, content: bytes) -> tuple[str, str, bytes, str]:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n'.encode()
        body = head + content + f"\r\n--{boundary}--\r\n".encode()
        return ("POST", "/algorithms/install", body, f"multipart/form-data; boundary={boundary}")

    hear = _Attempt._hear

    def in_pieces(attempt: _Attempt, piece: bytes, *, last: bool) -> None:
        for start in range(0, len(piece), split) if len(piece) < 10_000 else (0,):
            size = split if len(piece) < 10_000 else len(piece)
            hear(attempt, piece[start : start + size], last=last and start + size >= len(piece))

    monkeypatch.setattr(_Attempt, "_hear", in_pieces)
    first = await station.ask(*form("one-boundary", content), **keyed())
    again = await station.ask(*form("quite-another-one", content), **keyed())
    assert (first.status, same(first, again)) == (202, True)
    other = await station.ask(*form("one-boundary", content[:-1]), **keyed())
    assert other.status == 422


class Waiting(FakeStation):
    """Begins what is asked for and waits for `gate`."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        result = await super().execute(command, caller, report)
        await self.gate.wait()
        return result


async def test_while_it_is_carried_out_a_repeated_request_waits_outside(station: ServedStation) -> None:
    fake = Waiting()
    async with restarted(station, fake) as socket:
        first = asyncio.create_task(asyncio.to_thread(ask, socket, *PROMOTE, **keyed()))
        await until(lambda: fake.asked)
        second = await asyncio.to_thread(ask, socket, *PROMOTE, **keyed())
        assert (second.status, second.headers["retry-after"]) == (409, "1")
        fake.gate.set()
        assert same(await first, await asyncio.to_thread(ask, socket, *PROMOTE, **keyed()))
    assert len(fake.asked) == 1


async def test_what_a_restart_interrupted_is_never_done_again_by_itself(station: ServedStation) -> None:
    fake = Waiting()
    async with restarted(station, fake) as socket:
        asyncio.get_running_loop().run_in_executor(None, lambda: ask(socket, *PROMOTE, **keyed()))
        await until(lambda: fake.asked)  # and the daemon is stopped
    reply = await station.ask(*PROMOTE, **keyed())
    assert (reply.status, reply.error["details"]) == (409, {"outcome": "unknown"})
    assert "/v1/audit" in reply.error["message"]
    assert station.fake.asked == []


async def test_after_an_answer_that_says_try_again_the_key_is_free(station: ServedStation) -> None:
    for failure, status in ((CodedError(Code.busy, "too much"), 429), (HostError("memory", "no memory"), 503)):
        station.fake.failure = failure
        assert (await station.ask(*PROMOTE, **keyed())).status == status
    station.fake.failure = None
    assert (await station.ask(*PROMOTE, **keyed())).status == 200


async def test_a_repeated_upload_is_answered_with_its_first_operation_in_any_form(station: ServedStation) -> None:
    lines, events = {"Accept": "application/x-ndjson"}, {"Accept": "text/event-stream"}
    first = await station.ask(*INSTALL, **keyed(), **lines)
    again = await station.ask(*INSTALL, **keyed(), **lines)
    assert same(first, again)
    for form in (events, {}):
        other = await station.ask(*INSTALL, **keyed(), **form)
        assert (other.headers["location"], other.headers["idempotency-replayed"]) == (first.headers["location"], "true")
    assert acts(station.fake) == 1
    await until(lambda: list(station.layout.staging.iterdir()) == [])
    station.fake.operations.clear()
    assert (await station.ask(*INSTALL, **keyed(), **lines)).status == 409


def test_keys_are_forgotten_after_a_day_and_a_caller_pushes_out_only_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MOST", 4)
    monkeypatch.setattr(idempotency, "_ROOM_EVERY", 1)
    now = [epoch_seconds()]
    keys = IdempotencyKeys(StoreLayout.at(tmp_path), lambda: now[0])
    mia = RepeatableRequest("mia", "POST", "/v1/down", "k")
    keys.begin(mia, "said")
    for number in range(12):
        keys.begin(RepeatableRequest(own_name(), "POST", "/v1/down", str(number)), "said")
        for file in tmp_path.rglob("*.json"):
            os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns - 10**9))
    assert keys.find(mia) is not None
    assert 2 <= len(list((tmp_path / ".idempotency").iterdir())) <= 6
    now[0] += 24 * 3600 + 3600
    assert keys.find(mia) is None
    keys.begin(RepeatableRequest("eva", "POST", "/v1/down", "1"), "said")
    keys.begin(RepeatableRequest("eva", "POST", "/v1/down", "2"), "said")
    assert len(list((tmp_path / ".idempotency").iterdir())) <= 2


def test_making_room_passes_over_what_other_requests_write_and_drop_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = IdempotencyKeys(StoreLayout.at(tmp_path), epoch_seconds)
    keys.begin(RepeatableRequest("mia", "POST", "/x", "k-1"), "hash")
    folder, scandir = StoreLayout.at(tmp_path).idempotency, os.scandir
    (folder / "another.json.tmp").write_bytes(b"")

    def renamed_then(path: Path) -> Any:
        entries = list(scandir(path))
        (folder / "another.json.tmp").unlink()
        return nullcontext(entries)

    monkeypatch.setattr(idempotency.os, "scandir", renamed_then)
    keys._until_room = 0
    keys.begin(RepeatableRequest("mia", "POST", "/x", "k-2"), "hash")
    assert keys.find(RepeatableRequest("mia", "POST", "/x", "k-2")) is not None
