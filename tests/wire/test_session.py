"""The conversation with an adapter: what is legal when, what is dropped, what breaks it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from controller.errors import ProtocolViolation
from controller.processes import shim
from controller.wire import messages
from controller.wire.frames import encode
from controller.wire.messages import CallFailed, Hello, Pong, Result, ShutdownAck, StartupError
from controller.wire.session import Session, State

HELLO = encode({"type": "hello", "sdk_version": "0.3.2", "capabilities": ["ping", "call", "shutdown", "execute"]})


def pong(request_id: str) -> bytes:
    return encode({"type": "pong", "request_id": request_id, "status": "OK"})


def result(request_id: str) -> bytes:
    return encode({"type": "result", "request_id": request_id, "status": "OK", "message": "", "data": {"x": 1}})


def error(request_id: str | None) -> bytes:
    return encode({"type": "error", "request_id": request_id, "message": "no", "error_code": "1009"})


def ready() -> Session:
    session = Session()
    session.receive(HELLO)
    session.hello(5000, 2000)
    session.ping("p")
    assert session.receive(pong("p")) == [Pong("p")]
    assert session.state is State.READY
    return session


def test_a_whole_conversation():
    session = ready()
    session.call("c1", {})
    assert session.receive(result("c1")) == [Result("c1", "OK", "", {"x": 1})]
    session.call("c2", {})
    assert session.receive(error("c2")) == [CallFailed("c2", "no", "1009")]
    session.shutdown()
    assert session.receive(encode({"type": "shutdown"})) == [ShutdownAck()]
    assert session.state is State.ENDED


@pytest.mark.parametrize(
    ("version", "capabilities", "generation"),
    [("0.3.2", ["execute"], "0.3"), ("0.0.7", ["info"], "0.0"), ("unknown", ["info"], "0.0"), ("0.0.1", None, "0.0")],
)
def test_the_generation_is_told_by_the_capabilities(version, capabilities, generation):
    frame = encode({"type": "hello", "sdk_version": version, "capabilities": capabilities})
    assert Session().receive(frame) == [Hello(version, generation)]


def test_late_and_foreign_answers_are_dropped():
    session = ready()
    assert session.receive(result("old") + pong("p") + error("gone")) == []
    session.call("c", {})
    assert session.receive(result("old") + result("c")) == [Result("c", "OK", "", {"x": 1})]


def test_an_adopted_conversation_skips_what_its_predecessor_began():
    session = Session(adopted=True)
    session.ping("p")
    assert session.receive(result("theirs")[9:] + result("theirs-too") + pong("p")) == [Pong("p")]
    assert session.state is State.READY


def test_a_load_failure_ends_the_conversation():
    session = Session()
    session.receive(HELLO)
    session.hello(1, 1)
    session.ping("p")
    assert session.receive(error(None)) == [StartupError("no", "1009")]
    assert session.state is State.ENDED
    assert session.receive(HELLO) == []


@pytest.mark.parametrize(
    "frame", [HELLO, encode({"type": "shutdown"}), encode({"type": "dance"}), encode({"type": ["hello"]}), encode({})]
)
def test_what_the_table_does_not_list_is_a_violation(frame):
    with pytest.raises(ProtocolViolation):
        ready().receive(frame)


def test_an_answer_before_the_hello_is_a_violation():
    with pytest.raises(ProtocolViolation):
        Session().receive(result("c"))


def test_nothing_is_sent_while_a_call_is_out():
    session = ready()
    session.call("c", {})
    with pytest.raises(AssertionError, match="CALLING"):
        session.ping("p")


def test_a_call_that_cannot_be_encoded_changes_nothing():
    session = ready()
    with pytest.raises(Exception, match="JSON"):
        session.call("c", {"x": object()})
    assert session.state is State.READY


def test_the_shim_says_shutdown_in_the_same_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(shim.__file__).parent)  # as its interpreter finds what it loads
    serve = importlib.import_module("serve")

    assert encode(messages.shutdown()) == serve.SHUTDOWN_FRAME
