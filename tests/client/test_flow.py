"""The flow of a call alone: what it wants done, in which order, whatever comes of it. No sockets, no sleeping."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.client import attempts, flow
from controller.client.addresses import Address
from controller.client.answers import Detection, NotReached, UnknownOutcome
from controller.client.attempts import Attempts, Patience
from controller.client.calls import Arguments, Call, Target
from controller.client.connections import Connections
from controller.client.effects import Connect, Effect, Flow, Load, Receive, Send, Sleep
from controller.client.exchange import Broken, NeverAccepted, Silent
from controller.client.slots import Slots
from controller.errors import CallError, Code

_DETECTION = {
    "request_id": "r", "pid": "A01", "name": "n", "version": "1.0.0", "status": "OK", "message": "", "data": {},
    "latency_ms": 1.0,
}  # fmt: skip
_UNIX = Address.of("store", None, None)
_TCP = Address.of(None, "http://station:1", None)
_RESET, _PIPE, _LATE = ConnectionResetError(104, "Reset"), BrokenPipeError(32, "Broken pipe"), TimeoutError()


def answer(document: object, status: int = 200, head: bytes = b"") -> bytes:
    body = orjson.dumps(document)
    return b"HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s" % (status, head, len(body), body)


_OK, _BUSY = answer(_DETECTION), answer({"error": {"code": 1011, "message": "full"}}, 429)


class FakeConnection:
    closed = False

    def close(self) -> None:
        self.closed = True


class NotedCall(Call):
    """A call that notes how often it gave its images back."""

    left = 0

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.left += 1


def everything(effect: Effect) -> int:
    assert isinstance(effect, Send)
    return sum(map(len, effect.pieces))


def come_to(running: Flow[Any], effect: Effect, outcome: Any) -> Effect:
    if isinstance(outcome, BaseException):
        return running.throw(outcome)
    return running.send(outcome(effect) if callable(outcome) else outcome)


def play(running: Flow[Any], *turns: tuple[type[Effect], Any]) -> tuple[Any, list[Effect]]:
    """Carry a flow out by a script: (effect that it is to want, what that comes to). Return its result, and them."""
    effects = [next(running)]
    for number, (wanted, outcome) in enumerate(turns):
        assert isinstance(effects[-1], wanted), f"turn {number}: {effects[-1]}"
        try:
            effects.append(come_to(running, effects[-1], outcome))
        except StopIteration as end:
            assert number == len(turns) - 1, "it ended too early"
            return end.value, effects
    raise AssertionError(f"it goes on with {effects[-1]}")


def call_flow(
    connections: Connections, patience: Patience | None = None, timeout: float | None = None
) -> tuple[NotedCall, Flow[Detection]]:
    call = NotedCall(Target("A01"), {"image": b"png"}, Arguments(), Slots())
    return call, flow.detect(connections, call, Attempts("here", patience or Patience(), timeout))


@pytest.fixture
def connections() -> Connections:
    return Connections(_UNIX)


def test_answer_comes_over_a_new_connection_which_is_kept_for_the_next_call(connections: Connections) -> None:
    connection = FakeConnection()
    call, running = call_flow(connections)
    found, effects = play(
        running, (Load, None), (Connect, connection), (Send, 10), (Send, everything),
        (Receive, _OK[:40]), (Receive, _OK[40:]),
    )  # fmt: skip
    assert found == Detection(**_DETECTION)
    assert effects[0] == (call, _UNIX.images)
    assert everything(effects[2]) == everything(effects[3]) + 10, "what the kernel did not take is sent again"
    assert (call.left, connection.closed) == (1, False)
    _, effects = play(call_flow(connections)[1], (Load, None), (Send, everything), (Receive, _OK))
    assert effects[1].connection is connection


def test_image_that_cannot_be_loaded_ends_the_call_before_it_is_sent(connections: Connections) -> None:
    call, running = call_flow(connections)
    refusal = CallError(Code.image_load_failed, "no image")
    with pytest.raises(CallError) as caught:
        play(running, (Load, refusal))
    assert caught.value is refusal
    assert call.left == 1


def test_absent_station_is_asked_again_after_a_delay(connections: Connections) -> None:
    _, running = call_flow(connections)
    _, effects = play(
        running, (Load, None), (Connect, ConnectionRefusedError(111, "Connection refused")), (Sleep, None),
        (Connect, FileNotFoundError(2, "No such file")), (Sleep, None), (Connect, FakeConnection()),
        (Send, everything), (Receive, _OK),
    )  # fmt: skip
    assert 0 < effects[2].seconds <= 0.01
    assert 0 < effects[4].seconds <= 0.02
    with pytest.raises(NotReached, match="here: connection refused"):
        play(
            call_flow(connections, Patience(connect_timeout=0))[1],
            (Load, None), (Send, _PIPE), (Receive, b""), (Sleep, None),  # the one that was kept is no more
            (Connect, ConnectionRefusedError(111, "Connection refused")),
        )  # fmt: skip


def test_connections_that_went_stale_are_all_closed_and_a_new_one_is_tried_at_once(connections: Connections) -> None:
    idle = [FakeConnection(), FakeConnection(), FakeConnection()]
    for each in idle:
        connections.keep(each)
    _, effects = play(
        call_flow(connections, Patience(connect_timeout=0))[1],
        (Load, None), (Send, everything), (Receive, _RESET), (Sleep, None), (Connect, FakeConnection()),
        (Send, everything), (Receive, _OK),
    )  # fmt: skip
    assert effects[3] == Sleep(0.0)
    assert all(each.closed for each in idle)


@pytest.mark.parametrize(
    ("address", "turns", "failure", "why"),
    [
        (_UNIX, [(Send, 3), (Send, _PIPE), (Receive, b"")], NeverAccepted, "the connection was closed"),
        (_UNIX, [(Send, 3), (Send, _RESET), (Receive, _RESET)], NeverAccepted, "reset"),
        (_UNIX, [(Send, OSError(5, "I/O error"))], NeverAccepted, "i/o error"),
        (_UNIX, [(Send, everything), (Receive, _RESET)], NeverAccepted, "reset before the call was read"),
        (_TCP, [(Send, everything), (Receive, _RESET)], Broken, "reset before the answer came"),
        (_UNIX, [(Send, everything), (Receive, b"HTTP"), (Receive, _RESET)], Broken, "reset before the answer came"),
        (_UNIX, [(Send, everything), (Receive, b"")], Broken, "closed before the answer came"),
        (_UNIX, [(Send, everything), (Receive, _OK[:-1]), (Receive, b"")], Broken, "closed before the answer came"),
        (_UNIX, [(Send, everything), (Receive, b"SSH-2.0\r\n\r\n")], Broken, "not HTTP"),
        (_TCP, [(Send, everything), (Receive, TimeoutError(errno.ETIMEDOUT, "Timed out"))], Broken, "timed out before"),
        (_UNIX, [(Send, _LATE)], CallError, "within the time"),
        (_UNIX, [(Send, everything), (Receive, _LATE)], CallError, "within the time"),
    ],
)  # fmt: skip
def test_what_breaks_means_what_it_may_have_done(
    address: Address, turns: list[tuple[type[Effect], Any]], failure: type[Exception], why: str
) -> None:
    connection = FakeConnection()
    timeout = 10 if failure is CallError else None
    with pytest.raises(failure, match=why):
        play(flow.exchange(Connections(address), [b"request", b"body"], timeout), (Connect, connection), *turns)
    assert connection.closed


def test_who_sets_no_time_waits_for_as_long_as_the_station_gives_signs_of_life(connections: Connections) -> None:
    connection, other = FakeConnection(), FakeConnection()
    sign = [(Connect, other), (Send, everything), (Receive, b"H")]
    found, effects = play(
        flow.exchange(connections, [b"request"], None), (Connect, connection), (Send, _LATE), *sign, (Send, everything),
        (Receive, _LATE), *sign, (Receive, _OK[:9]), (Receive, _LATE), *sign, (Receive, _OK[9:]),
    )  # fmt: skip
    assert found.status == 200
    assert (connection.closed, other.closed) == (False, True)
    assert bytes(effects[3].pieces[0]).startswith(b"GET /healthz HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "sign",
    [
        [(Connect, ConnectionRefusedError(111, "Connection refused"))],
        [(Connect, BlockingIOError(11, "Resource temporarily unavailable"))],
        [(Connect, FakeConnection()), (Send, everything), (Receive, _LATE)],
        [(Connect, FakeConnection()), (Send, everything), (Receive, b"")],
    ],
)
@pytest.mark.parametrize(("sent", "failure"), [([], NeverAccepted), ([(Send, everything)], Silent)])
def test_a_station_without_a_sign_of_life_is_given_up(
    sign: list[tuple[type[Effect], Any]], sent: list[tuple[type[Effect], Any]], failure: type[Exception]
) -> None:
    connection = FakeConnection()
    late = (Receive if sent else Send, _LATE)
    with pytest.raises(failure, match="no sign of life within 10 s"):
        play(flow.exchange(Connections(_UNIX), [b"request"], None), (Connect, connection), *sent, late, *sign)
    assert connection.closed


def test_connection_that_is_not_opened_in_time_was_never_accepted() -> None:
    with pytest.raises(NeverAccepted, match="timed out"):
        play(flow.exchange(Connections(_TCP), [b"request"], 1), (Connect, _LATE))


def test_early_answer_is_read_though_the_request_was_not_taken(connections: Connections) -> None:
    connection = FakeConnection()
    refusal = answer({}, 413)
    found, _ = play(
        flow.exchange(connections, [b"request"], None), (Connect, connection), (Send, 3), (Send, _PIPE),
        (Receive, refusal),
    )  # fmt: skip
    assert (found.status, found.body) == (413, b"{}")
    assert connection.closed


def test_body_is_heard_as_it_comes(connections: Connections) -> None:
    heard: list[bytes] = []
    running = flow.exchange(connections, [b"request"], None, heard.append)
    play(running, (Connect, FakeConnection()), (Send, everything), (Receive, _OK[:-5]), (Receive, _OK[-5:]))
    assert len(heard) == 2
    assert b"".join(heard) == orjson.dumps(_DETECTION)


def test_connection_that_the_station_closes_is_not_kept(connections: Connections) -> None:
    connection = FakeConnection()
    closing = answer(_DETECTION, head=b"Connection: close\r\n")
    play(call_flow(connections)[1], (Load, None), (Connect, connection), (Send, everything), (Receive, closing))
    assert connection.closed
    assert connections.take() is None


def test_only_so_many_connections_are_kept() -> None:
    connections = Connections(_UNIX, limit=1)
    first, second = FakeConnection(), FakeConnection()
    connections.keep(first)
    connections.keep(second)
    assert (first.closed, second.closed) == (False, True)


def test_refusal_is_tried_again_only_where_the_caller_said_so(connections: Connections) -> None:
    turns = ((Load, None), (Connect, FakeConnection()), (Send, everything), (Receive, _BUSY))
    with pytest.raises(CallError, match="full"):
        play(call_flow(connections)[1], *turns)
    connections.clear()
    running = call_flow(connections, Patience(retry_busy=True))[1]
    play(running, *turns, (Sleep, None), (Send, everything), (Receive, _OK))


def test_unknown_outcome_is_tried_again_only_where_the_caller_said_so(connections: Connections) -> None:
    turns = ((Load, None), (Connect, FakeConnection()), (Send, everything), (Receive, b""))
    with pytest.raises(UnknownOutcome):
        play(call_flow(connections)[1], *turns)
    running = call_flow(connections, Patience(retry_unknown=True))[1]
    play(running, *turns, (Sleep, None), (Connect, FakeConnection()), (Send, everything), (Receive, _OK))


class Clock:
    """A clock that moves when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def pass_by(self, seconds: float, outcome: object = None) -> Callable[[Effect], object]:
        def act(effect: Effect) -> object:
            self.now += seconds
            return outcome(effect) if callable(outcome) else outcome

        return act


@contextmanager
def stopped_clock() -> Iterator[Clock]:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        for module in (attempts, flow):
            patch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
        yield clock


def test_caller_s_time_is_told_to_the_station_and_a_margin_is_left_for_its_word(connections: Connections) -> None:
    with stopped_clock() as clock:
        _, effects = play(
            call_flow(connections, timeout=5)[1],
            (Load, clock.pass_by(1)), (Connect, clock.pass_by(1, FakeConnection())), (Send, everything),
            (Receive, _OK),
        )  # fmt: skip
    assert effects[1] == Connect(_UNIX, 4.0)
    assert b'"timeout":4.0' in b"".join(effects[2].pieces)
    assert effects[2].deadline == effects[3].deadline == 1000.0 + 1 + 4 + flow.MARGIN


def test_caller_whose_time_is_over_is_told_how_the_last_attempt_ended(connections: Connections) -> None:
    with stopped_clock() as clock:
        with pytest.raises(NotReached, match="refused"):
            play(
                call_flow(connections, timeout=5)[1],
                (Load, None), (Connect, ConnectionRefusedError(111, "Refused")), (Sleep, clock.pass_by(5)),
            )  # fmt: skip
        with pytest.raises(CallError, match="within the time") as caught:
            play(call_flow(connections, timeout=5)[1], (Load, clock.pass_by(5)))
    assert (caught.value.code, caught.value.details) == (Code.timeout, {"caller_timeout": True})


_WAY: tuple[tuple[type[Effect], Any], ...] = (
    (Load, None), (Connect, OSError(2, "Absent")), (Sleep, None), (Connect, FakeConnection), (Send, 3),
    (Send, everything), (Receive, _OK[:9]), (Receive, None),
)  # fmt: skip


@pytest.mark.parametrize("way_out", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("turn", range(len(_WAY)))
def test_who_leaves_half_way_gives_everything_back(
    connections: Connections, way_out: type[BaseException], turn: int
) -> None:
    opened: list[FakeConnection] = []

    def connect(_: Effect) -> FakeConnection:
        opened.append(FakeConnection())
        return opened[-1]

    way = [(wanted, connect if outcome is FakeConnection else outcome) for wanted, outcome in _WAY[: turn + 1]]
    call, running = call_flow(connections)
    with pytest.raises(way_out):
        play(running, *way[:-1], (way[-1][0], way_out()))
    assert call.left == 1
    assert all(each.closed for each in opened)
    assert connections.take() is None


class World:
    """Lets every effect come to anything that it can, and keeps account of what may have been carried out."""

    def __init__(self, data: st.DataObject, clock: Clock, local: bool) -> None:
        self._draw = data.draw
        self._clock = clock
        self._local = local
        self._unsent: int | None = None
        self._heard: bytes | None = None
        self._asked: FakeConnection | None = None
        """The connection on which a sign of life is asked for."""
        self.opened: list[FakeConnection] = []
        self.accepted = 0
        """Attempts of which the station may have had the whole request."""

    def outcome(self, effect: Effect) -> Any:
        self._clock.now += self._draw(st.sampled_from([0.0, 0.3]))
        if not self._draw(st.integers(0, 60)):
            return asyncio.CancelledError()
        match effect:
            case Load():
                return self._draw(st.sampled_from([None, None, CallError(Code.image_load_failed, "none")]))
            case Sleep():
                self._clock.now += effect.seconds
                return None
            case Connect():
                return self._connect()
            case Send():
                return self._send(effect)
            case Receive():
                return self._receive(effect)

    def _connect(self) -> Any:
        if not self._draw(st.integers(0, 3)):
            return self._draw(st.sampled_from([ConnectionRefusedError(111, "Refused"), OSError(2, "Absent"), _LATE]))
        self.opened.append(FakeConnection())
        return self.opened[-1]

    def _send(self, effect: Send) -> Any:
        if bytes(effect.pieces[0]).startswith(b"GET /healthz"):
            self._asked = effect.connection
            return self._draw(st.sampled_from([everything(effect), _PIPE, _LATE]))
        if self._unsent is None:
            self._unsent, self._heard = everything(effect), None
        if not self._draw(st.integers(0, 4)):
            if self._draw(st.booleans()):
                return self._draw(st.sampled_from([_PIPE, _RESET]))
            self._unsent = None
            return self._draw(st.sampled_from([_LATE, OSError(5, "I/O error")]))
        taken = self._draw(st.sampled_from([self._unsent, self._unsent, 1]))
        self._unsent -= taken
        return taken

    def _receive(self, effect: Receive) -> Any:
        if effect.connection is self._asked:
            return self._draw(st.sampled_from([b"H", b"", _RESET, _LATE]))
        if self._heard is None:
            whole, self._unsent, self._heard = self._unsent == 0, None, self._draw(st.sampled_from([_OK, _BUSY]))
            outcome = self._received()
            self.accepted += whole and not (self._local and outcome is _RESET)
            return outcome
        return self._received()

    def _received(self) -> Any:
        if self._draw(st.booleans()):
            return self._draw(st.sampled_from([_RESET, b"", _LATE, b"SSH-2.0\r\n\r\n"]))
        size = self._draw(st.sampled_from([len(self._heard), 20, 1]))
        piece, self._heard = self._heard[:size], self._heard[size:]
        return piece


def end_in(world: World, running: Flow[Detection]) -> object:
    """Return what a flow returns or raises in a world."""
    effect = next(running)
    try:
        while True:
            effect = come_to(running, effect, world.outcome(effect))
    except StopIteration as end:
        return end.value
    except (CallError, asyncio.CancelledError) as error:
        return error


@settings(max_examples=300)
@given(data=st.data(), local=st.booleans(), timeout=st.sampled_from([None, 2.0]))
def test_whatever_happens_a_call_ends_once_and_holds_nothing(data: st.DataObject, local: bool, timeout: float) -> None:
    with stopped_clock() as clock:
        world = World(data, clock, local)
        connections = Connections(_UNIX if local else _TCP)
        for _ in range(data.draw(st.integers(0, 2))):
            world.opened.append(FakeConnection())
            connections.keep(world.opened[-1])
        call, running = call_flow(connections, Patience(connect_timeout=3), timeout)
        end = end_in(world, running)
    assert end == Detection(**_DETECTION) or isinstance(end, (CallError, asyncio.CancelledError))
    assert not (isinstance(end, NotReached) and world.accepted)
    assert world.accepted <= 1, "what may have been carried out is not tried again by itself"
    assert call.left == 1
    idle = list(iter(connections.take, None))
    assert {id(each) for each in world.opened if not each.closed} == {id(each) for each in idle}
