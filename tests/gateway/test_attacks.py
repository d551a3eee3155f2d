"""What somebody tries at the gateway who knows how it works: with no token, with a viewer's, from another site."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from controller.gateway.limits import Rate
from controller.page.sessions import LOGIN
from controller.station.port import Access
from tests.gateway.conftest import Serve, Served
from tests.gateway.test_refusals import FORM, MANY, bearer, request
from tests.gateway.test_sessions import cookie_of, log_in
from tests.http.conftest import form
from tests.waiting import until

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
_VALUES = {"pid": "A01", "name": "screws", "version": "1.0.0"}


def operations() -> Iterator[tuple[str, str, str, bool]]:
    """Each operation of the document: its method, a path, the access that it needs, and whether it must be granted."""
    for path, methods in json.loads(DOCUMENT.read_text())["paths"].items():
        for method, operation in methods.items():
            target = re.sub(r"\{(\w+)\}", lambda found: _VALUES.get(found[1], "x1"), path)
            yield method.upper(), target, operation.get("x-access", "viewer"), "x-grant" in operation


async def test_each_role_may_do_exactly_what_the_document_says(serve: Serve) -> None:
    async with serve(reads_of_token=MANY, refusals_of_token=MANY, requests_of_address=MANY) as gateway:
        tokens = {role: gateway.token(role, role).token for role in Access.__members__}
        seen = set()
        for method, target, needed, granted in operations():
            for role, token in tokens.items():
                # Bodies are left out, so whoever is let in is told what is wrong with theirs.
                sent = request(target, bearer(token), "Content-Length: 0", "Connection: close", method=method)
                connection = gateway.connect()
                connection.sendall(sent)
                answer = await asyncio.to_thread(connection.recv, 12)
                connection.close()
                refused = Access[role] < Access[needed] or (granted and role != "admin")
                assert (answer == b"HTTP/1.1 403") == refused, (method, target, role, answer)
                assert answer[9:12] not in {b"401", b"429", b"500", b"502"}, (method, target, role, answer)
                seen.add((needed, refused))
        assert len(seen) == 6  # each access was needed, and had; a viewer lacks only what is granted beside the role


async def test_nothing_of_a_body_is_taken_from_who_may_not_send_it(gateway: Served) -> None:
    token = gateway.token("viewer").token
    for target, kind in (
        ("/algorithms/install?name=a-1.0.0.zip", "application/zip"),
        ("/algorithms/validate?name=a-1.0.0.zip", "application/zip"),
        ("/v1/pids/A01/execute", "multipart/form-data; boundary=x"),
    ):
        connection = gateway.connect()
        connection.sendall(
            request(target, bearer(token), f"Content-Type: {kind}", f"Content-Length: {600 << 20}", method="POST")
            + b"x" * 100_000
        )
        assert await asyncio.to_thread(connection.recv, 12) == b"HTTP/1.1 403"
        connection.close()
    staging = gateway.store.layout.staging
    assert not staging.exists() or not list(staging.iterdir())


@pytest.mark.parametrize("kind", ["announced", "chunked", "slow"])
async def test_a_page_takes_no_more_of_a_stranger_than_a_form(serve: Serve, kind: str) -> None:
    async with serve(silent=0.2, patience=0.2) as gateway:
        head = {
            "announced": ("Content-Length: 1000000",), "chunked": ("Transfer-Encoding: chunked",),
            "slow": ("Content-Length: 100",),
        }[kind]  # fmt: skip
        body = {"announced": b"", "chunked": b"8000\r\n" + b"x" * 0x8000, "slow": b"token="}[kind]
        for target in (LOGIN, "/", "/page/acts/pause"):
            told, answer = await gateway.said(request(target, *head, f"Content-Type: {FORM}", method="POST") + body)

            assert told == (408 if kind == "slow" else 413), answer


async def test_who_asks_for_health_and_leaves_spoils_it_for_nobody(serve: Serve) -> None:
    async with serve(at_once=1) as gateway:
        token = gateway.token("operator").token
        gateway.fake.plane.gate = asyncio.Event()
        call = asyncio.create_task(gateway.ask("POST", "/v1/pids/A01/execute", b'{"phase": "info"}', token))
        await until(lambda: gateway.fake.plane.places == 1, "a call that has the only place")
        gone = gateway.connect()
        gone.sendall(request("/healthz"))
        gone.close()
        await until(lambda: gateway.listener.open == 1, "that it has left")
        gateway.fake.plane.gate.set()
        assert (await call).status == 200

        told = await asyncio.gather(*(gateway.ask("GET", "/healthz") for _ in range(8)))

        assert [(each.status, each.json) for each in told] == [(200, {"alive": True})] * 8


async def test_one_token_never_has_every_place(serve: Serve) -> None:
    async with serve(at_once=3, at_once_each=2, turn=0.1) as gateway:
        one, two = gateway.token("operator", "one").token, gateway.token("operator", "two").token
        gateway.fake.plane.gate = asyncio.Event()
        call = ("POST", "/v1/pids/A01/execute", b'{"phase": "info"}')
        waiting = [asyncio.create_task(gateway.ask(*call, one)) for _ in range(2)]
        await until(lambda: gateway.fake.plane.places == 2, "two calls")

        refused = await gateway.ask(*call, one)
        other = await gateway.ask("GET", "/v1/status", token=two)

        assert (refused.status, other.status) == (429, 200)
        assert "retry-after" in refused.headers
        gateway.fake.plane.gate.set()
        assert [(await each).status for each in waiting] == [200, 200]
        assert (await gateway.ask(*call, one)).status == 200


async def test_questions_are_forwarded_a_few_at_a_time(serve: Serve) -> None:
    async with serve(reads_at_once=3, reads_at_once_each=2, turn=0.1) as gateway:
        one, two = gateway.token("viewer", "one").token, gateway.token("viewer", "two").token
        gateway.fake.gate = asyncio.Event()
        waiting = [asyncio.create_task(gateway.ask("GET", "/v1/status", token=one)) for _ in range(2)]
        await until(lambda: len(gateway.fake.asked) == 2, "two questions")

        refused = await gateway.ask("GET", "/v1/status", token=one)
        other = asyncio.create_task(gateway.ask("GET", "/v1/status", token=two))
        await until(lambda: len(gateway.fake.asked) == 3, "somebody else's")

        assert (refused.status, (await gateway.ask("GET", "/v1/status", token=two)).status) == (429, 503)
        gateway.fake.gate.set()
        assert [(await each).status for each in (*waiting, other)] == [200, 200, 200]
        assert (await gateway.ask("GET", "/v1/status", token=one)).status == 200


async def test_one_token_never_has_every_large_place_nor_all_their_bytes(serve: Serve) -> None:
    kib = 1024
    async with serve(small=1000, large_bytes=1280 * kib, large_bytes_each=1024 * kib, turn=0.1) as gateway:
        one, two = gateway.token("operator", "one").token, gateway.token("operator", "two").token
        picture, kind = form(image=b"\x89PNG" + bytes(3000))
        target = "/v1/pids/A01/execute"

        async def told(token: str) -> tuple[int, int]:
            answer = await gateway.ask("POST", target, picture, token, Content_Type=kind)
            return answer.status, answer.error["code"]

        def announced(token: str, size: int) -> bytes:
            return request(target, bearer(token), f"Content-Type: {kind}", f"Content-Length: {size}", method="POST")

        slow = [gateway.connect() for _ in range(4)]
        for each in slow:
            each.sendall(announced(one, 256 * kib) + b"-" * 2000)  # four of them would not be too many bytes
        asking = [asyncio.ensure_future(asyncio.to_thread(each.recv, 12)) for each in slow]
        while sum(each.done() for each in asking) < 2:
            await asyncio.wait([each for each in asking if not each.done()], return_when=asyncio.FIRST_COMPLETED)
        assert [each.result() for each in asking if each.done()] == [b"HTTP/1.1 429"] * 2
        assert await told(one) == (429, 1000)
        assert await told(two) == (400, 1002)  # the station has all of it, and says that it is no picture
        assert (await gateway.said(announced(two, 900 * kib)))[0] == 503

        first, second = (each for each, asked in zip(slow, asking, strict=True) if not asked.done())
        first.shutdown(socket.SHUT_RDWR)
        while await told(one) != (400, 1002):
            await asyncio.sleep(0.01)
        status, answer = await gateway.said(announced(one, 900 * kib))
        assert (status, b"MiB are under way" in answer) == (429, True)
        assert await told(two) == (400, 1002)
        second.shutdown(socket.SHUT_RDWR)
        await asyncio.wait(asking)


async def test_too_many_attempts_to_log_in_are_told_on_the_form(serve: Serve) -> None:
    async with serve(refusals_of_address=Rate(0.001, 1)) as gateway:
        assert (await log_in(gateway, "pvt_x", "/page/logs")).status == 303

        often = await log_in(gateway, "pvt_x", "/page/logs")

        assert often.status == 429
        assert int(often.headers["retry-after"]) > 1
        assert often.headers["content-type"].startswith("text/html")
        assert b"Too many attempts" in often.body
        assert b'name="next" value="/page/logs"' in often.body
        assert (await log_in(gateway, gateway.token().token)).status == 303


@pytest.mark.parametrize("place", ["/\t/evil.example", "/\r\nSet-Cookie: a=b", "/\n/evil.example", "/ä \x01"])
async def test_a_place_to_go_to_is_no_header_and_no_other_host(gateway: Served, place: str) -> None:
    token = gateway.token().token

    by_form = (await log_in(gateway, token, place)).headers
    by_htmx = (await log_in(gateway, token, place, HX_Request="true")).headers

    for told in (by_form["location"], by_htmx["hx-redirect"]):
        assert re.fullmatch(r"/%[!-~]*", told), told
    assert by_htmx["set-cookie"].startswith(f"pvctl-{gateway.port}=")


async def test_damaged_tokens_let_nobody_in_and_end_what_goes_on(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(refusals_of_address=MANY) as gateway:
        token = gateway.token("viewer", "wall", "1h").token
        path = gateway.store.layout.tokens
        whole = path.read_bytes()
        cookie = cookie_of(await log_in(gateway, token))
        (row,) = json.loads(whole)["tokens"]
        damages: list[Any] = [
            {**row, "role": "root"}, {**row, "expires_at": "soon"}, {**row, "expires_at": 7}, {**row, "id": ["a"]},
            {**row, "secret_sha256": 5}, {**row, "secret_sha256": "ä"}, {**row, "expires_at": "2099-01-01T00:00:00"},
            "x",
        ]  # fmt: skip
        for damage in damages:
            followed = gateway.connect()
            followed.sendall(request("/v1/events", bearer(token)))
            assert b"200 OK" in await asyncio.to_thread(followed.recv, 65536)

            path.write_text(json.dumps({"tokens": [damage]}))

            for _ in range(3):
                assert (await gateway.ask("GET", "/v1/status", token=token)).status == 401, damage
            assert (await gateway.ask("GET", "/", Cookie=cookie)).status == 303
            while not (await asyncio.to_thread(followed.recv, 65536)).endswith(b"0\r\n\r\n"):
                pass
            followed.close()
            path.write_bytes(whole)
            assert (await gateway.ask("GET", "/v1/status", token=token)).status == 200, damage
        assert caplog.text.count("nobody is let in") == len(damages)  # however many ask meanwhile


async def test_a_page_of_another_name_for_this_machine_gets_nowhere(gateway: Served) -> None:
    """DNS rebinding: a browser believes that the station is evil.example, and sends what belongs to that."""
    token = gateway.token("operator").token
    cookie = cookie_of(await log_in(gateway, token))
    evil = {"Host": f"evil.example:{gateway.port}", "Origin": f"http://evil.example:{gateway.port}"}

    assert (await gateway.ask("GET", "/v1/status", **evil)).status == 401
    assert (await gateway.ask("GET", "/", **evil)).status == 303
    assert (await gateway.ask("POST", "/page/acts/pause", b"", **evil)).status == 303
    for preflight in ("/v1/status", "/page/acts/pause", LOGIN):
        told = await gateway.ask(
            "OPTIONS", preflight, Access_Control_Request_Method="POST", Origin="http://evil.example"
        )
        assert not [name for name in told.headers if name.startswith("access-control-")]
    shown = await gateway.ask("GET", "/", Cookie=cookie)
    assert shown.headers["cross-origin-resource-policy"] == "same-origin"


SMUGGLED = b"GET /v1/tokens HTTP/1.1\r\nHost: x\r\nX-Procvision-Caller: root\r\nX-Procvision-Access: admin\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        ("Transfer-Encoding: chunked", "Content-Length: 4"), ("Transfer-Encoding: x, chunked",),
        ("Transfer-Encoding : chunked",), ("Transfer-Encoding: chunked, identity",), ("Transfer-Encoding:\tchunked",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), ("Connection: upgrade", "Upgrade: h2c"),
        ("Connection: content-length, host", f"Content-Length: {len(SMUGGLED)}"), ("Expect: 100-continue",),
        ("X: a\rX-Procvision-Caller: root",), ("X: a\nX-Procvision-Caller: root",), ("X-Procvision-Access: admin",) * 2,
    ],
)  # fmt: skip
async def test_no_second_request_is_hidden_in_a_first(gateway: Served, lines: tuple[str, ...]) -> None:
    token = gateway.token("viewer").token
    sent = request("/v1/status", bearer(token), *lines, method="POST") + b"0\r\n\r\n" + SMUGGLED
    connection = gateway.connect()
    connection.sendall(sent)
    connection.settimeout(0.3)
    answer = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while piece := await asyncio.to_thread(connection.recv, 65536):
            answer += piece

    assert b'"tokens"' not in answer
    assert not [each for each in gateway.fake.callers if each.name != "token:kiosk" or each.access > Access.viewer]
    assert (await gateway.ask("GET", "/v1/status", token=token)).status == 200


async def test_texts_from_a_query_are_escaped_on_the_page(gateway: Served) -> None:
    cookie = cookie_of(await log_in(gateway, gateway.token("operator").token))
    bad = "\"'><img src=x onerror=alert(1)>{{7*7}}"
    query = urlencode({
        "subject": bad, "actor": bad, "object": bad, "kind": bad, "next": bad, "lang": bad, "refused": bad, "to": bad,
        "before": "9" * 5000,
    })  # fmt: skip
    for path in ("/page/audit", "/page/logs", "/page/pids/x", "/page/acts/pause", LOGIN, "/page/language", "/page/x"):
        for target in (f"{path}?{query}", path + "%22%3E%3Cimg%20src=x%20onerror=1%3E"):
            shown = await gateway.ask("GET", target, Cookie=cookie)
            assert b"<img src=x" not in shown.body, target
            assert shown.status != 500, target
