"""What goes through the gateway to the daemon and back: who asks, bodies and answers as they come, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from controller.client import Client
from controller.client.addresses import Address
from controller.client.answers import NotReached
from controller.errors import CallError, Code
from controller.station.commands.events import Event, FollowEvents
from controller.station.commands.operator import Promote
from controller.station.commands.status import GetStatus
from controller.station.events import EventLog
from controller.station.port import Access, Caller
from controller.station.remote_async import AsyncRemoteStation
from tests.gateway.conftest import Serve, Served
from tests.http.conftest import form
from tests.station.fake import STATUS
from tests.waiting import until


async def test_a_request_is_answered_in_the_name_and_with_the_access_of_its_token(gateway: Served) -> None:
    token = gateway.token("operator").token

    status = await gateway.ask("GET", "/v1/status", token=token)
    promoted = await gateway.ask("POST", "/v1/deployments/screws/promote", b"{}", token)

    assert (status.status, status.json) == (200, STATUS)
    assert (promoted.status, promoted.json) == (200, {"message": "promote screws: will be done"})
    assert [type(each) for each in gateway.fake.asked] == [GetStatus, Promote]
    assert gateway.fake.callers == [Caller("token:kiosk", Access.operator)] * 2


async def test_what_a_client_says_about_who_it_is_goes_nowhere(gateway: Served) -> None:
    token = gateway.token("viewer").token
    lies = {"X_Procvision_Caller": "root", "X_Procvision_Access": "admin", "Cookie": "a=b"}

    answer = await gateway.ask("POST", "/v1/deployments/screws/promote", b"{}", token, **lies)

    assert answer.status == 403
    assert "token:kiosk may not do that" in answer.error["message"]
    hidden = await gateway.ask("GET", "/v1/status", token=token, Connection="X-Procvision-Caller", **lies)
    assert hidden.status == 200
    assert gateway.fake.callers[-1] == Caller("token:kiosk", Access.viewer)


async def test_the_python_client_is_told_by_a_code_why_it_may_not_call(gateway: Served) -> None:
    def refused(token: str) -> int:
        with Client(url=f"http://127.0.0.1:{gateway.port}", token=token) as client, pytest.raises(CallError) as caught:
            client.execute("A01", b"\x89PNG")
        return caught.value.code

    assert await asyncio.to_thread(refused, gateway.token("viewer").token) == Code.forbidden
    assert await asyncio.to_thread(refused, "pvt_x") == Code.unauthorized
    assert gateway.refused() == {"forbidden": 1, "unauthorized": 1}


async def test_nobody_acts_for_a_worker_over_the_network(gateway: Served) -> None:
    token = gateway.token("operator").token

    answer = await gateway.ask("POST", "/v1/deployments/screws/promote", b"{}", token, X_Procvision_Actor="bob")

    assert answer.status == 403
    assert "may not act for somebody else" in answer.error["message"]
    assert gateway.fake.asked == []


@pytest.mark.parametrize("size", [0, 1000, 3 << 20])
async def test_a_detection_reaches_the_station_with_its_picture(gateway: Served, size: int) -> None:
    token = gateway.token("operator").token
    picture = b"\x89PNG" + bytes(size)
    body, kind = form(image=picture)

    answer = await gateway.ask("POST", "/v1/pids/A01/execute", body, token, Content_Type=kind)

    assert answer.status == 400  # it is no picture, and the station says so: it has all of it
    assert answer.error["code"] == 1002


async def test_progress_comes_as_it_is_told(gateway: Served) -> None:
    token = gateway.token("admin").token

    answer = await gateway.ask("POST", "/v1/reconcile", b"{}", token)

    assert answer.status == 200
    assert answer.body.count(b"\n") == 3
    assert answer.headers["content-type"] == "application/x-ndjson"


async def test_a_caller_who_leaves_frees_its_place_at_the_station(gateway: Served) -> None:
    token = gateway.token("operator").token
    gateway.fake.plane.gate = asyncio.Event()
    connection = gateway.connect()
    body = b'{"phase": "info"}'
    connection.sendall(
        b"POST /v1/pids/A01/execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        b"Authorization: Bearer %s\r\n\r\n%s" % (len(body), token.encode(), body)
    )
    await until(lambda: gateway.fake.plane.places == 1, "the call")

    connection.close()

    await until(lambda: gateway.fake.plane.cancelled == 1, "the end of the call")


async def test_no_more_requests_than_a_bounded_number_are_forwarded_at_once(serve: Serve) -> None:
    async with serve(at_once=2, turn=0.1) as gateway:
        token = gateway.token("operator").token
        gateway.fake.plane.gate = asyncio.Event()
        call = ("POST", "/v1/pids/A01/execute", b'{"phase": "info"}', token)
        waiting = [asyncio.create_task(gateway.ask(*call)) for _ in range(2)]
        await until(lambda: gateway.fake.plane.places == 2, "two calls")

        refused = await gateway.ask(*call)

        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert gateway.refused() == {"no_place": 1}
        assert gateway.fake.plane.places == 2
        gateway.fake.plane.gate.set()
        assert [(await each).status for each in waiting] == [200, 200]


async def test_head_and_health_are_answered(gateway: Served) -> None:
    token = gateway.token().token

    head = await gateway.ask("HEAD", "/v1/status", token=token)
    health = [await gateway.ask("GET", "/healthz") for _ in range(3)]

    assert (head.status, head.body) == (200, b"")
    assert [each.json for each in health] == [{"alive": True}] * 3
    assert (await gateway.ask("GET", "/v1/nothing", token=token)).status == 404


async def test_answers_that_go_on_are_bounded_in_all_and_for_each_token(serve: Serve) -> None:
    async with serve(streams=2, streams_each=1, turn=0.1) as gateway:
        one, two, three = (gateway.token("viewer", name).token for name in ("one", "two", "three"))
        followed = [gateway.connect() for _ in range(2)]
        for each, token in zip(followed, (one, two), strict=True):
            each.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % token.encode())
            assert b"200 OK" in await asyncio.to_thread(each.recv, 65536)

        assert (await gateway.ask("GET", "/v1/events", token=one)).status == 429
        gateway.fake.events = EventLog("fake", heartbeat=0.05)  # of the station's own bound it is not about
        assert (await gateway.ask("GET", "/v1/events", token=three)).status == 503
        followed[0].close()

        async def free() -> bool:
            return (await gateway.ask("HEAD", "/v1/events", token=one)).status == 200

        while not await free():
            await asyncio.sleep(0.01)


async def test_events_come_through_the_pages_own_station_until_it_goes_away(gateway: Served) -> None:
    station = AsyncRemoteStation(Address.of(gateway.store.layout.root, None, None))
    caller = Caller("token:kiosk", Access.viewer)
    feed = await station.execute(FollowEvents(kinds="status,audit"), caller)
    assert (await anext(feed)).events == ()
    gateway.fake.events.publish("status", {"converged": True})
    gateway.fake.events.publish("parts", [])
    gateway.fake.events.publish("audit", {"seq": 7})
    found: list[Event] = []
    while len(found) < 2:
        found += (await anext(feed)).events
    await feed.aclose()

    assert [(each.kind, each.data) for each in found] == [("status", b'{"converged":true}'), ("audit", b'{"seq":7}')]
    assert gateway.fake.callers[-1] == caller
    with pytest.raises(StopAsyncIteration):
        await anext(feed)
    again = await station.execute(FollowEvents(found[0].id, "audit"), caller)
    while not (batch := await anext(again)).events:
        pass
    assert batch.events == (found[1],)
    await again.aclose()
    nowhere = AsyncRemoteStation(Address.of(gateway.store.layout.root / "none", None, None))
    with pytest.raises(NotReached):
        await anext(await nowhere.execute(FollowEvents(), caller))
