"""Whoever attacks the listener gets a refusal, and nothing of it reaches the station."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter

import pytest

from controller.gateway.limits import Rate
from controller.http.connections import ConnectionLimits
from controller.page.sessions import LOGIN
from tests.gateway.conftest import Serve, Served
from tests.waiting import HANGS, until

FORM = "application/x-www-form-urlencoded"
MANY = Rate(10_000, 10_000)
"""For tests of something else than rates."""


def request(
    target: str = "/v1/status", *lines: str, method: str = "GET", host: str = "Host: x", body: str = ""
) -> bytes:
    head = [f"{method} {target} HTTP/1.1", *([host] if host else []), *lines, "", body]
    return "\r\n".join(head).encode()


def bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


async def test_without_a_valid_token_nothing_is_answered_but_health(gateway: Served) -> None:
    valid = gateway.token("viewer", "valid").token
    revoked, expired = gateway.token("admin", "revoked").token, gateway.token("admin", "expired", "1h").token
    gateway.revoke("revoked")
    assert (await gateway.ask("GET", "/v1/status", token=expired)).status == 200
    gateway.clock[0] += 3601

    asked = [await gateway.ask("GET", path) for path in ("/v1/status", "/metrics", "/openapi.json", "/readyz", "/v1/x")]
    wrong = (revoked, expired, "x", valid[:-1], f"{valid}x")
    asked += [await gateway.ask("GET", "/v1/status", token=token) for token in wrong]
    basic = await gateway.ask("GET", "/v1/status", Authorization="Basic YTpi")
    twice = await gateway.said(request("/v1/status", bearer(valid), bearer(valid), "Connection: close"))

    assert {(each.status, each.error["code"]) for each in (*asked, basic)} == {(401, 3001)}
    assert all(each.headers["www-authenticate"].startswith('Bearer realm="procvision"') for each in asked)
    assert 'error="invalid_token"' in asked[-1].headers["www-authenticate"]
    assert twice[0] == 401
    assert len(gateway.fake.asked) == 1
    assert (await gateway.ask("GET", "/v1/status", token=valid)).status == 200


async def test_the_wrong_role_is_refused_by_the_station_itself(gateway: Served) -> None:
    viewer, operator = gateway.token("viewer", "v").token, gateway.token("operator", "o").token

    looked = await gateway.ask("POST", "/v1/deployments/screws/pause", b"{}", viewer)
    moved = await gateway.ask("DELETE", "/algorithms/a/1.0.0", token=operator)
    listed = await gateway.ask("GET", "/v1/tokens", token=operator)

    assert [(each.status, each.error["code"]) for each in (looked, moved, listed)] == [(403, 3002)] * 3
    assert "needs the access 'operator', token:v has 'viewer'" in looked.error["message"]
    assert gateway.refused() == {"forbidden": 3}
    assert gateway.fake.asked == []


async def test_too_many_refusals_make_an_address_wait_but_nobody_with_a_token(serve: Serve) -> None:
    async with serve(refusals_of_address=Rate(0.001, 3)) as gateway:
        token = gateway.token().token
        refused = [await gateway.ask("GET", "/v1/status", token="x") for _ in range(4)]

        assert [each.status for each in refused] == [401, 401, 401, 429]
        assert int(refused[-1].headers["retry-after"]) > 1
        assert refused[-1].headers["connection"] == "close"
        assert (await gateway.ask("GET", "/v1/status", token=token)).status == 200
        assert (await gateway.ask("POST", LOGIN, b"token=x", Content_Type=FORM)).status == 429
        assert gateway.refused() == {"unauthorized": 3, "too_often": 2}


async def test_a_token_has_a_rate_and_another_has_its_own(serve: Serve) -> None:
    async with serve(reads_of_token=Rate(0.001, 2), refusals_of_token=Rate(0.001, 1)) as gateway:
        one, two = gateway.token("viewer", "one").token, gateway.token("viewer", "two").token

        told = [(await gateway.ask("GET", "/v1/status", token=one)).status for _ in range(3)]
        assert told == [200, 200, 429]
        assert (await gateway.ask("POST", "/v1/deployments/a/pause", b"{}", two)).status == 403
        assert (await gateway.ask("GET", "/v1/status", token=two)).status == 429


async def test_the_refusal_of_somebody_who_comes_too_often_is_kept_back_and_nobody_else_waits(serve: Serve) -> None:
    async with serve(reads_of_token=Rate(0.001, 1), refusals_of_address=Rate(0.001, 1), penalty=HANGS) as gateway:
        one, two, three = (gateway.token("viewer", name).token for name in ("one", "two", "three"))
        for token, status in ((one, 200), ("x", 401)):
            assert (await gateway.ask("GET", "/v1/status", token=token)).status == status
        kept_back = [gateway.connect() for _ in range(3)]
        kept_back[0].sendall(request("/v1/status", bearer(one)))
        kept_back[1].sendall(request("/v1/status", bearer("x")))
        body = b"token=x"
        kept_back[2].sendall(
            request(LOGIN, f"Content-Type: {FORM}", f"Content-Length: {len(body)}", method="POST") + body
        )

        await until(lambda: gateway.refused() == {"unauthorized": 1, "too_often": 3})

        assert (await gateway.ask("GET", "/v1/status", token=two)).status == 200
        assert (await gateway.ask("POST", "/v1/deployments/a/pause", b"{}", one)).status == 403, "not a question"
        for each in kept_back:
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.recv(1)
        kept_back[0].close()
        await until(lambda: gateway.listener.open == 2)
        assert (await gateway.ask("GET", "/v1/status", token=three)).status == 200


async def test_an_address_that_does_nothing_but_be_refused_waits_for_each_refusal(serve: Serve) -> None:
    async with serve(told_at_once=Rate(0.001, 1), penalty=HANGS) as gateway:
        token = gateway.token("operator").token
        large = request("/v1/deployments/a/pause", bearer(token), f"Content-Length: {1 << 40}", method="POST")
        assert (await gateway.said(b"no HTTP\r\n\r\n"))[0] == 400
        for kept_back in (b"no HTTP\r\n\r\n" + b"x" * 100_000, large, request("/v1/status"), request("/page/x/../")):
            gateway.connect().sendall(kept_back)

        await until(lambda: gateway.refused() == {"malformed": 3, "too_large": 1, "unauthorized": 1})

        assert (await gateway.ask("GET", "/v1/status", token=token)).status == 200
        for each in gateway.connections[1:]:
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.recv(1)


DISHONEST = [
    (b"\x00\x01\x02\r\n\r\n", 400),
    (b"GET\r\n\r\n", 400),
    (request("/v1/status", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST"), 400),
    (request("/v1/status", "Content-Length: 5", "Content-Length: 6", method="POST"), 400),
    (request("/v1/status", "Content-Length: -1", method="POST"), 400),
    (request("/v1/status", "Content-Length: 1, 1", method="POST"), 400),
    (request("/v1/status", "Transfer-Encoding: gzip, identity", "Content-Length: 1", method="POST", body="x"), 400),
    (request("/v1/status", " folded: x"), 400),
    (request("/v1/status", "na me: x"), 400),
    (request("/v1/../v1/status"), 400),
    (request("/v1/%2e%2e/status"), 400),
    (request("/v1/pids/a%2Fb"), 400),
    (request("/v1/pids/a%5cb"), 400),
    (request("/v1/pids/a%00b"), 400),
    (request("/v1//status"), 400),
    (request("http://evil/v1/status", "Connection: close"), 401),
    (request("/" + "a" * 9000), 414),
    (request("/v1/status", "X: " + "a" * 70_000), 431),
    (request("/v1/status", host=""), 400),
    (request("/v1/status", "Host: y"), 400),
    (request("/v1/status", host="Host: a/b"), 400),
    (request("/v1/status", method="CONNECT"), 405),
]


async def test_what_no_honest_client_sends_is_refused(serve: Serve) -> None:
    async with serve(refusals_of_address=MANY) as gateway:
        for sent, status in DISHONEST:
            told, answer = await gateway.said(sent)

            assert told == status, (sent[:80], answer)
            assert b'"error"' in answer
        assert gateway.fake.asked == []
        reasons = {400: "malformed", 401: "unauthorized", 405: "malformed", 414: "too_large", 431: "too_large"}
        assert gateway.refused() == Counter(reasons[status] for _, status in DISHONEST)


async def test_a_bad_chunk_ends_the_connection_and_the_request(gateway: Served) -> None:
    token = gateway.token("operator").token
    head = request(
        "/v1/deployments/a/pause", bearer(token), "Transfer-Encoding: chunked", "Content-Type: application/json",
        method="POST",
    )  # fmt: skip

    for bad in (b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n", b"FFFFFFFFFFFFFFFFF\r\n"):
        await gateway.said(head + bad)

    assert gateway.fake.asked == []
    assert (await gateway.said(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + b"2\r\n{}\r\n0\r\n\r\n"))[
        0
    ] == 200


async def test_bodies_are_bounded_by_what_they_announce_and_by_what_comes(gateway: Served) -> None:
    token = gateway.token("operator").token
    target, kind = "/v1/deployments/a/pause", "Content-Type: application/json"
    announced = request(target, bearer(token), kind, f"Content-Length: {2 << 20}", method="POST")
    coming = request(target, bearer(token), kind, "Transfer-Encoding: chunked", method="POST")

    assert (await gateway.said(announced))[0] == 413
    assert (await gateway.said(coming + b"100000\r\n" + b" " * (1 << 20) + b"\r\n100000\r\n" + b" " * (1 << 20)))[
        0
    ] == 413
    assert (
        await gateway.said(request("/v1/pids/A01/execute", bearer(token), f"Content-Length: {1 << 30}", method="POST"))
    )[0] == 413
    assert gateway.fake.asked == []
    assert gateway.fake.plane.asked == []


async def test_slow_clients_are_given_up(serve: Serve) -> None:
    limits = ConnectionLimits(opening=0.2, idle=0.2)
    async with serve(limits, silent=0.2, patience=0.2, slowest=1 << 30) as gateway:
        token = gateway.token("operator").token
        silent, head = gateway.connect(), gateway.connect()
        head.sendall(b"GET /v1/status HTT")
        body = request("/v1/deployments/a/pause", bearer(token), "Content-Length: 100", method="POST", body="x")

        status, answer = await gateway.said(body)

        assert (status, b"too slowly" in answer) == (408, True)
        assert await asyncio.to_thread(silent.recv, 1) == b""
        assert await asyncio.to_thread(head.recv, 1) == b""
        assert gateway.fake.asked == []
        await until(lambda: gateway.listener.open == 0, "the end of every connection")
        assert gateway.refused() == {"too_slow": 3}


async def test_pipelined_requests_are_answered_in_turn_and_within_the_rates(serve: Serve) -> None:
    async with serve(reads_of_token=Rate(0.001, 5)) as gateway:
        token = gateway.token().token

        _, answer = await gateway.said(request("/v1/status", bearer(token)) * 200)

        assert answer.count(b"HTTP/1.1 200") == 5
        assert answer.count(b"HTTP/1.1 429") == 1  # and the connection was closed
        assert len(gateway.fake.asked) == 5


async def test_idle_connections_make_room_and_busy_ones_are_the_refusal(serve: Serve) -> None:
    async with serve(ConnectionLimits(most=20), connections_each=10, at_once_each=10, accepts=MANY) as gateway:
        token = gateway.token("operator").token
        idle = [gateway.connect() for _ in range(100)]

        await until(lambda: gateway.listener.open <= 10, "no more than its share")
        assert (await gateway.ask("GET", "/v1/status", token=token)).status == 200
        gateway.fake.plane.gate = asyncio.Event()
        call = request("/v1/pids/A01/execute", bearer(token), "Content-Length: 17", "Content-Type: application/json",
                       method="POST", body='{"phase": "info"}')  # fmt: skip
        busy = [gateway.connect() for _ in range(10)]
        for each in busy:
            each.sendall(call)
        await until(lambda: gateway.fake.plane.places == 10, "ten calls")

        status, _ = await gateway.said(request())

        assert status == 503
        assert gateway.listener.open == 10
        for each in (*idle, *busy):
            each.close()
        await until(lambda: gateway.fake.plane.places == 0, "the calls' end")
        assert (await gateway.ask("GET", "/v1/status", token=token)).status == 200
        refused = gateway.refused()
        assert refused.keys() == {"connections", "displaced"}
        assert (refused["connections"], refused["displaced"] >= 90) == (1, True)


async def test_an_answer_that_nobody_reads_is_given_up_and_counted(serve: Serve) -> None:
    async with serve(ConnectionLimits(stalled=0.1, waiting=100), reads_of_token=MANY) as gateway:
        token = gateway.token().token
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", gateway.port))
            reader.sendall(request("/openapi.json", bearer(token)) * 100)

            await until(lambda: gateway.refused() == {"unread": 1}, "the end of its patience")
            await until(lambda: gateway.listener.open == 0, "the end of the connection")


async def test_a_daemon_that_is_away_is_a_refusal_of_its_own(gateway: Served) -> None:
    token = gateway.token().token
    gateway.store.layout.socket.unlink()

    answer = await gateway.ask("GET", "/v1/status", token=token)

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert gateway.refused() == {"daemon_away": 1}


async def test_connections_are_accepted_at_a_bounded_rate(serve: Serve) -> None:
    async with serve(accepts=Rate(0.001, 3)) as gateway:
        waiting = [gateway.connect() for _ in range(8)]  # the kernel takes them, nobody else

        await until(lambda: gateway.listener.open == 3, "as many as its burst")
        for each in waiting:
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.recv(1)
        assert gateway.listener.open == 3


async def test_what_a_revoked_token_was_let_in_to_ends(gateway: Served) -> None:
    admin, made = gateway.token("admin", "boss").token, gateway.token("viewer", "kiosk", "1h")
    followed = [gateway.connect() for _ in range(2)]
    for each, token in zip(followed, (made.token, admin), strict=True):
        each.sendall(request("/v1/events", bearer(token)))
        assert b"200 OK" in await asyncio.to_thread(each.recv, 65536)

    gateway.revoke("kiosk")

    rest = await asyncio.to_thread(_rest, followed[0])
    assert rest.endswith(b"0\r\n\r\n")
    gateway.fake.events.publish("status", {"on": True})
    while b'"on"' not in await asyncio.to_thread(followed[1].recv, 65536):
        pass


def _rest(connection: socket.socket) -> bytes:
    rest = b""
    while not rest.endswith(b"0\r\n\r\n"):
        rest += connection.recv(65536)
    return rest
