"""Which message is legal when: one conversation with one adapter, as a table. What it does not list is an error.

An answer to nothing that was asked, or asked by a former controller, or given up on, is dropped: that is normal.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from controller.errors import ProtocolViolation
from controller.wire import messages
from controller.wire.frames import FrameDecoder, encode
from controller.wire.messages import CallFailed, Hello, Message, Pong, Result, ShutdownAck, StartupError


class State(Enum):
    """Where a conversation is."""

    SPAWNED = auto()  # started; nothing heard yet
    ADOPTED = auto()  # another controller talked to it before us
    GREETED = auto()  # it said hello; the algorithm may still be loading
    PINGING = auto()  # one ping is out
    READY = auto()  # idle, proven by a pong or an answer
    CALLING = auto()  # one call is out
    STOPPING = auto()  # it was asked to end
    ENDED = auto()  # it said that it ends, or that it never began

    __hash__ = object.__hash__  # looked up twice for every call: an Enum's own takes ten times as long


_SENT: dict[tuple[State, str], State] = {
    (State.GREETED, "hello"): State.GREETED,
    (State.GREETED, "ping"): State.PINGING,
    (State.ADOPTED, "ping"): State.PINGING,
    (State.READY, "ping"): State.PINGING,
    (State.READY, "call"): State.CALLING,
    **{(state, "shutdown"): State.STOPPING for state in State if state is not State.ENDED},
}

_RECEIVED: dict[tuple[State, type[Message]], State] = {
    (State.SPAWNED, Hello): State.GREETED,
    (State.SPAWNED, StartupError): State.ENDED,
    (State.GREETED, StartupError): State.ENDED,
    (State.PINGING, StartupError): State.ENDED,
    (State.PINGING, Pong): State.READY,
    (State.CALLING, Result): State.READY,
    (State.CALLING, CallFailed): State.READY,
    (State.STOPPING, ShutdownAck): State.ENDED,
    # Asked to end before it was ready, it goes on with what it was about to say.
    (State.STOPPING, Hello): State.STOPPING,
    (State.STOPPING, StartupError): State.STOPPING,
}


_ANSWERS = (Pong, Result, CallFailed)


class Session:
    """One conversation with one adapter. Bytes that arrive go into `receive`; the other methods return what to send.

    There is one request at a time, because the adapter reads its input with the thread that runs the algorithm.
    """

    def __init__(self, *, adopted: bool = False) -> None:
        self._state = State.ADOPTED if adopted else State.SPAWNED
        self._decoder = FrameDecoder(resync=adopted)
        self._awaited: str | None = None

    @property
    def state(self) -> State:
        return self._state

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame: more than none at its end means that the adapter died while writing."""
        return self._decoder.pending

    def hello(self, heartbeat_interval_ms: int, grace_ms: int) -> bytes:
        return self._send(messages.hello(heartbeat_interval_ms, grace_ms))

    def ping(self, request_id: str) -> bytes:
        return self._send(messages.ping(request_id), request_id)

    def call(self, request_id: str, data: Mapping[str, Any]) -> bytes:
        """Return the frame of a call. Raises CallError 1003 where it cannot be encoded; then nothing was changed."""
        return self._send(messages.call(request_id, data), request_id)

    def shutdown(self) -> bytes:
        return self._send(messages.shutdown())

    def _send(self, message: dict[str, Any], awaited: str | None = None) -> bytes:
        following = _SENT.get((self._state, message["type"]))
        if following is None:
            raise AssertionError(f"a {message['type']} must not be sent to a process that is {self._state.name}")
        frame = encode(message)
        self._state, self._awaited = following, awaited
        return frame

    def receive(self, data: bytes) -> list[Message]:
        """Return the messages that are complete with `data` and mean something now.

        Raises:
            ProtocolViolation: the adapter broke the protocol; nothing that it says afterwards can be trusted.
        """
        accepted = []
        for document in self._decoder.feed(data):
            message = messages.parse(document)
            if self._is_late(message):
                continue
            following = _RECEIVED.get((self._state, type(message)))
            if following is None:
                raise ProtocolViolation(
                    f"the algorithm process sent a {document['type']!r} message while it was {self._state.name}"
                )
            self._state = following
            if isinstance(message, _ANSWERS):
                self._awaited = None
            accepted.append(message)
        return accepted

    def _is_late(self, message: Message) -> bool:
        if self._state is State.ENDED:
            return True
        if isinstance(message, _ANSWERS):
            return self._state is not State.SPAWNED and message.request_id != self._awaited
        return isinstance(message, StartupError) and self._state in {State.READY, State.CALLING, State.ADOPTED}
