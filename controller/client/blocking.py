"""`Client`: detections from threads. Connections are kept alive and shared among them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar, assert_never

from controller.client.addresses import Address, Connection
from controller.client.answers import Detection
from controller.client.caller import Caller
from controller.client.calls import Arguments, Target
from controller.client.connections import Connections
from controller.client.effects import Connect, Effect, Flow, Load, Receive, Send, Sleep
from controller.client.exchange import Answer, Buffer
from controller.client.flow import exchange
from controller.client.pictures import Image

_T = TypeVar("_T")


class Client(Caller):
    """Calls one station: `store` on this machine (images that are arrays go by reference), or `url`.

    Usable by several threads at once. `connect_timeout`: seconds for which the daemon may be away (being restarted,
    say) before a call fails as NotReached. `retry_busy`: wait for room, as long, where the station answers 1011.
    """

    def execute(  # noqa: PLR0913  - one for each argument of the contract
        self,
        pid: str,
        image: Image | None,
        guide_image: Image | None = None,
        *,
        for_pid: str | None = None,
        step_index: int = 1,
        step_desc: str = "",
        guide_info: Any = None,
        params: Mapping[str, Any] | None = None,
        session: Mapping[str, Any] | None = None,
        phase: str | None = None,
        color_space: str | None = None,
        camera_id: str | None = None,
        timestamp_ms: int | None = None,
        pixel_format: str | None = None,
        width: int | None = None,
        height: int | None = None,
        timeout: float | None = None,
        retry_unknown: bool = False,
    ) -> Detection:
        """Return the answer of the version that is active for a PID; or of a package, for callers that know no PIDs.

        `pid`: a PID, or `NAME@VERSION`. That version answers while it is active for any PID, and no other does (1012).
        It is a call of the first of these PIDs in sorted order, or of `for_pid`; the answer names it.

        `image` is the camera picture of the part (None only for phase `info`), `guide_image` what it is compared with
        (None: what the deployment's `spec.input.guide` says). `color_space="BGR"` says that arrays and `.npy` files
        have OpenCV's order of channels (`cv2.imread`); else they are taken as RGB, or as the deployment says. Files
        and bytes of PNG, JPEG, BMP and TIFF need no word. `pixel_format` is what a camera calls its own, such as
        `BayerRG8` or `Mono12`; with `width` and `height`, `image` may be its buffer as it is. For the other arguments
        see `CallArguments`.

        `timeout`: seconds that the caller waits in all; None: as long as the deployment's own limits let a call take.

        Raises:
            NotReached: it was never accepted.
            UnknownOutcome: it was accepted, then the daemon went away (with `retry_unknown` it is tried again).
            CallError: what the station answered; 1005 also where `timeout` is over.
        """
        arguments = Arguments(
            step_index, step_desc, guide_info, params, session, phase,
            color_space=color_space, camera_id=camera_id, timestamp_ms=timestamp_ms,
            pixel_format=pixel_format, width=width, height=height,
        )  # fmt: skip
        return run(self._detect(Target(pid, for_pid), (image, guide_image), arguments, timeout, retry_unknown))

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Pool(Connections):
    """Connections to one address, and requests over them for whoever asks for something else than a detection."""

    def exchange(
        self, buffers: list[Buffer], timeout: float | None, heard: Callable[[bytes], None] | None = None
    ) -> Answer:
        """Send a request and return its answer. Arguments and errors: see `flow.exchange`."""
        return run(exchange(self, buffers, timeout, heard))


def run(flow: Flow[_T]) -> _T:
    """Carry a flow out on blocking sockets. Returns and raises what the flow does."""
    try:
        effect = next(flow)
        while True:
            try:
                came_to = _carry_out(effect)
            except BaseException as error:  # noqa: BLE001  - what it means is the flow's to say
                effect = flow.throw(error)
            else:
                effect = flow.send(came_to)
    except StopIteration as end:
        result: _T = end.value
        return result
    finally:
        flow.close()  # where an interrupt came between two effects


def _carry_out(effect: Effect) -> object:
    match effect:
        case Receive():
            return _within(effect.connection, effect.deadline).recv(effect.size)
        case Send():
            return _within(effect.connection, effect.deadline).sendmsg(effect.pieces)
        case Load():
            effect.call.load(effect.folder)
        case Connect():
            return _connect(effect.address, effect.timeout)
        case Sleep():
            time.sleep(effect.seconds)
        case _:
            assert_never(effect)
    return None


def _within(connection: Connection, deadline: float | None) -> Connection:
    left = None if deadline is None else deadline - time.monotonic()
    if left is not None and left <= 0:
        raise TimeoutError
    connection.settimeout(left)
    return connection


def _connect(address: Address, timeout: float | None) -> Connection:
    if address.local:
        return address.connect_local()
    connection = socket.create_connection((address.host, address.port), timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
