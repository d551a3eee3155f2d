"""For whom somebody acts: told in a header, believed only from those who could write the store itself, and bounded."""

from __future__ import annotations

import os
from urllib.parse import quote

import pytest
from starlette.requests import Request

from controller.errors import CallError, Code
from controller.http.peers import acting_caller_of, caller_of
from controller.station.commands.operator import Promote
from controller.station.port import Access, AccessDenied, Caller
from tests.http.conftest import ServedStation

WANG = "王芳 (shift 2)"
NO_NAMES = [b"", b"  ", b"x" * 65, b"a%0Ab", b"a%1B[2J", b"%E2%80%AEann", b"%C2%9B", b"%FF", b"\xff"]


def request(named: bytes | None, uid: int | None = 0) -> Request:
    headers = [] if named is None else [(b"x-procvision-actor", named)]
    return Request({"type": "http", "headers": headers, "state": {} if uid is None else {"uid": uid}})


@pytest.mark.parametrize("uid", [0, os.getuid()])
@pytest.mark.parametrize("encoded", [quote(WANG).encode(), WANG.encode(), b" %E7%8E%8B%E8%8A%B3 (shift 2) "])
def test_a_trusted_peer_names_its_worker(uid: int, encoded: bytes) -> None:
    caller = acting_caller_of(request(encoded, uid))
    assert caller.worker == WANG
    assert caller.shown == f"{caller.name} (for {WANG})"


@pytest.mark.parametrize("uid", [12345, None])
def test_others_are_refused_and_may_call_for_themselves(uid: int | None) -> None:
    with pytest.raises(AccessDenied, match="may not act for somebody else"):
        acting_caller_of(request(b"ann", uid))
    assert acting_caller_of(request(None, uid)).worker == ""


@pytest.mark.parametrize("named", NO_NAMES)
def test_what_is_no_name_is_refused(named: bytes) -> None:
    with pytest.raises(CallError) as refused:
        acting_caller_of(request(named))
    assert refused.value.code == Code.invalid_params


def forwarded(name: bytes, access: bytes, uid: int | None, *more: tuple[bytes, bytes]) -> Request:
    headers = [(b"x-procvision-caller", name), (b"x-procvision-access", access), *more]
    return Request({"type": "http", "headers": headers, "state": {} if uid is None else {"uid": uid}})


@pytest.mark.parametrize("uid", [0, os.getuid()])
def test_the_gateway_says_who_asked_over_the_network_and_what_they_may_do(uid: int) -> None:
    assert caller_of(forwarded(b"token%3Akiosk", b"viewer", uid)) == Caller("token:kiosk", Access.viewer)


def test_the_gateway_says_what_a_token_is_granted_and_a_peer_of_the_socket_needs_no_grant() -> None:
    grant = (b"x-procvision-grants", b"recordings")
    assert caller_of(forwarded(b"token%3Avision", b"viewer", 0, grant)).sees_recordings
    assert not caller_of(forwarded(b"token%3Awall", b"operator", 0)).sees_recordings
    assert not caller_of(forwarded(b"token%3Awall", b"operator", 0, (b"x-procvision-grants", b"all"))).sees_recordings
    assert caller_of(forwarded(b"token%3Aci", b"admin", 0)).sees_recordings
    assert caller_of(request(None, 12345)).sees_recordings  # it could make itself a token that has it


@pytest.mark.parametrize("uid", [12345, None])
def test_nobody_else_says_so(uid: int | None) -> None:
    with pytest.raises(AccessDenied, match="sent by the gateway"):
        caller_of(forwarded(b"token%3Akiosk", b"admin", uid))


def test_who_was_forwarded_acts_for_nobody_and_has_a_name_and_an_access() -> None:
    with pytest.raises(AccessDenied, match="may not act for somebody else"):
        acting_caller_of(forwarded(b"token%3Akiosk", b"admin", 0, (b"x-procvision-actor", b"ann")))
    for name, access in ((b"", b"admin"), (b"a%0Ab", b"admin"), (b"ann", b""), (b"ann", b"root")):
        with pytest.raises(CallError) as refused:
            caller_of(forwarded(name, access, 0))
        assert refused.value.code == Code.invalid_params


async def test_a_verb_carries_the_worker_and_the_document_says_where(station: ServedStation) -> None:
    await station.ask("POST", "/v1/deployments/screws/promote", **{"X-Procvision-Actor": "ann"})
    assert station.fake.asked == [Promote("screws")]
    assert [each.worker for each in station.fake.callers] == ["ann"]
    paths = (await station.ask("GET", "/openapi.json")).json["paths"]
    named = {
        path
        for path, methods in paths.items()
        for method in methods.values()
        if any(each["name"] == "X-Procvision-Actor" for each in method.get("parameters", []))
    }
    assert {"/algorithms/install", "/v1/reconcile", "/v1/pids/{pid}/rollback", "/v1/down"} <= named
    assert named.isdisjoint({"/v1/status", "/v1/desired", "/v1/pids/{pid}/execute"})
