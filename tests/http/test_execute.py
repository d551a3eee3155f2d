"""Detections over HTTP: every form of a request, every status, and callers that go away."""

from __future__ import annotations

import asyncio
import io
import json
import socket

import numpy as np
import pytest
from PIL import Image

from controller.errors import CallError, Code, RetryableError
from controller.images.formats import ImageRef
from controller.model.package import PackageRef
from tests.http.conftest import ServedStation, form
from tests.waiting import HANGS, until

_ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


def npy(array: np.ndarray = _ARRAY) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(_ARRAY).save(file, "png")
    return file.getvalue()


async def test_multipart_detection_is_answered_as_the_contract_says(station: ServedStation) -> None:
    request = {
        "step_index": 2, "step_desc": "left", "guide_info": [{"a": 1}], "params": {"b": 2}, "timeout": 3,
        "color_space": "BGR", "camera_id": "top", "timestamp_ms": 5,
    }  # fmt: skip
    reply = await station.detect(image=png(), guide_image=npy(), request=json.dumps(request).encode())
    assert reply.status == 200
    assert reply.json == {
        "request_id": "r-1", "pid": "A01", "name": "screw-check", "version": "1.0.0", "status": "OK", "message": "",
        "data": {"shape": [2, 4, 3]}, "latency_ms": 1.5,
    }  # fmt: skip
    (asked,) = station.plane.asked
    assert asked.image == png()
    assert isinstance(asked.image, bytes), "encoded images have to be bytes: the runner decodes those off the loop"
    assert bytes(asked.guide_image) == npy()
    assert asked.arguments.to_document() == request


async def test_json_detection_passes_references(station: ServedStation) -> None:
    body = json.dumps({"image_ref": "cam-1", "guide_image_ref": "golden", "phase": "pre", "session": {"id": "s"}})
    reply = await station.ask("POST", "/v1/pids/B-2/execute", body.encode())
    assert reply.status == 200
    (asked,) = station.plane.asked
    assert (asked.pid, asked.image, asked.guide_image) == ("B-2", ImageRef("cam-1"), ImageRef("golden"))
    assert asked.arguments.to_document() == {"step_index": 1, "step_desc": "", "phase": "pre", "session": {"id": "s"}}


async def test_a_package_may_be_asked_instead_of_a_pid(station: ServedStation) -> None:
    where = "/v1/packages/screw-check/1.1.0%2Bb/execute"
    reply = await station.ask("POST", where, *form(image=png(), request=b'{"pid": "A02", "step_index": 2}'))
    assert reply.status == 200
    await station.ask("POST", where, b'{"image_ref": "cam-1", "pid": null}')
    named, unnamed = station.plane.asked
    assert (named.pid, named.package, named.arguments.step_index) == ("A02", PackageRef("screw-check", "1.1.0+b"), 2)
    assert (unnamed.pid, unnamed.package, unnamed.image) == (
        "",
        PackageRef("screw-check", "1.1.0+b"),
        ImageRef("cam-1"),
    )
    for path, body, code in (
        (where, b'{"image_ref": "x", "pid": ""}', Code.invalid_pid),
        (where, b'{"image_ref": "x", "pid": "../A"}', Code.invalid_pid),
        (where, b'{"image_ref": "x", "pid": 1}', Code.invalid_params),
        ("/v1/packages/a%20b/1.0.0/execute", b'{"image_ref": "x"}', Code.invalid_params),
        ("/v1/packages/a/1%402/execute", b'{"image_ref": "x"}', Code.invalid_params),
        ("/v1/pids/A01/execute", b'{"image_ref": "x", "pid": "A01"}', Code.invalid_params),
    ):
        reply = await station.ask("POST", path, body)
        assert (reply.status, reply.error["code"]) == (400, code)
    assert len(station.plane.asked) == 2


async def test_only_phase_info_goes_without_an_image(station: ServedStation) -> None:
    reply = await station.ask("POST", "/v1/pids/B-2/execute", b'{"phase": "info"}')
    assert (reply.status, station.plane.asked[0].image) == (200, None)
    reply = await station.ask("POST", "/v1/pids/B-2/execute", b'{"phase": "pre"}')
    assert (reply.status, reply.error["code"]) == (400, Code.invalid_params)


async def test_large_image_arrives_unchanged_in_many_pieces(station: ServedStation) -> None:
    array = np.random.default_rng(7).integers(0, 256, (700, 1000, 3), dtype=np.uint8)
    reply = await station.detect(image=npy(array))
    assert reply.status == 200
    landed = station.plane.asked[0].image
    assert isinstance(landed, ImageRef)
    assert (station.layout.images / f"{landed.id}.npy").read_bytes() == npy(array)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.unknown, 500), (Code.invalid_pid, 400), (Code.image_load_failed, 400), (Code.invalid_params, 400),
        (Code.not_initialized, 503), (Code.timeout, 504), (Code.heartbeat_lost, 502),
        (Code.shared_memory_not_found, 400), (Code.execute_exception, 502), (Code.stdout_contaminated, 502),
        (Code.busy, 429), (Code.no_active_version, 404),
    ],
)  # fmt: skip
async def test_every_code_has_its_status(station: ServedStation, code: Code, status: int) -> None:
    station.plane.failure = CallError(code, "words", next_step="do this", details={"pid": "A01"})
    reply = await station.detect(image=npy())
    assert reply.status == status
    assert reply.error == {"code": code, "name": code.name, "message": "words; do this", "details": {"pid": "A01"}}
    assert ("retry-after" in reply.headers) == (status in {429, 503})


async def test_busy_says_when_to_come_again(station: ServedStation) -> None:
    station.plane.failure = CallError(Code.busy, "full", details={"retry_after": 2.4})
    assert (await station.detect(image=npy())).headers["retry-after"] == "3"
    station.plane.failure = RetryableError("disk", delay=7)
    reply = await station.detect(image=npy())
    assert (reply.status, reply.headers["retry-after"], reply.error["code"]) == (503, "7", 1000)


async def test_unexpected_exception_is_logged_and_not_shown(
    station: ServedStation, caplog: pytest.LogCaptureFixture
) -> None:
    station.plane.failure = ZeroDivisionError("secret detail")
    reply = await station.detect(image=npy())
    assert (reply.status, reply.error["code"]) == (500, 1000)
    assert "secret" not in reply.error["message"]
    assert "ZeroDivisionError" in caplog.text


_JSON = "application/json"
_REF = b'{"image_ref": "x", '


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b'{"image_ref": ', _JSON, 400, "JSON"),
        (b"[]", _JSON, 400, "request is not valid"),
        (b"{}", _JSON, 400, "no image"),
        (_REF + b'"step_indx": 1}', _JSON, 400, "did you mean 'step_index'"),
        (_REF + b'"step_index": "1"}', _JSON, 400, "step_index: Input should be a valid integer"),
        (_REF + b'"step_index": 0, "timeout": -1}', _JSON, 400, "timeout: Input should be greater than 0"),
        (_REF + b'"timeout": NaN}', _JSON, 400, "timeout"),
        (_REF + b'"phase": "post"}', _JSON, 400, "phase"),
        (b"image", "image/png", 415, "image/png"),
        (form(image=b"x")[0], "multipart/form-data", 400, "no boundary"),
        (form(image=b"x")[0][:-9], "multipart/form-data; boundary=xyz", 400, "cut off"),
        (b"nonsense", "multipart/form-data; boundary=xyz", 400, "malformed"),
        (form(picture=b"x")[0], "multipart/form-data; boundary=xyz", 400, "'picture'"),
        (form(image=b"x")[0][:-9] + form(image=b"x")[0], "multipart/form-data; boundary=xyz", 400, "more than one"),
        (form(request=b"{}")[0], "multipart/form-data; boundary=xyz", 400, "no image"),
        (form(image=b"x", request=_REF + b'"phase": null}')[0], "multipart/form-data; boundary=xyz", 400, "both"),
    ],
)
async def test_what_cannot_be_read_is_refused(
    station: ServedStation, body: bytes, kind: str, status: int, says: str
) -> None:
    reply = await station.ask("POST", "/v1/pids/A01/execute", body, kind)
    assert (reply.status, reply.error["code"]) == (status, 1003)
    assert says in reply.error["message"]
    assert "; " in reply.error["message"], "it says what to do next"
    assert station.plane.asked == []


@pytest.mark.parametrize("pid", ["a%00b", "..", "a%20b", "x" * 65])
async def test_what_cannot_be_a_pid_is_refused_before_any_version_is_looked_for(
    station: ServedStation, pid: str
) -> None:
    reply = await station.detect(pid, image=npy())
    assert (reply.status, reply.error["code"], station.plane.asked) == (400, 1001, [])


async def test_too_large_is_refused_before_it_is_read(station: ServedStation) -> None:
    reply = await asyncio.to_thread(_announce, station, 5 << 20)
    assert b" 413 " in reply.partition(b"\r\n")[0]
    assert b'"code":1003' in reply


def _announce(station: ServedStation, size: int) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(HANGS)
        connection.connect(str(station.layout.socket))
        connection.sendall(
            b"POST /v1/pids/A01/execute HTTP/1.1\r\nHost: s\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n{" % size
        )
        answer = b""
        while data := connection.recv(65536):
            answer += data
        return answer


async def test_too_large_without_a_length_is_refused_while_it_is_read(station: ServedStation) -> None:
    def send() -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(HANGS)
            connection.connect(str(station.layout.socket))
            connection.sendall(
                b"POST /v1/pids/A01/execute HTTP/1.1\r\nHost: s\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
            try:
                for _ in range(128):
                    connection.sendall(chunk)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused in the middle, as it should be
            return connection.recv(65536)

    assert b" 413 " in await asyncio.to_thread(send)


async def test_too_much_together_is_busy(station: ServedStation) -> None:
    station.plane.gate = asyncio.Event()
    first = asyncio.create_task(station.detect(image=npy(np.zeros((1000, 1300, 3), np.uint8))))
    await until(lambda: station.plane.places == 1)
    reply = await station.detect(image=npy(np.zeros((1000, 1000, 3), np.uint8)))
    assert (reply.status, reply.error["code"]) == (429, 1011)
    station.plane.gate.set()
    assert (await first).status == 200


async def test_slow_request_ends(station: ServedStation) -> None:
    station.limits.patience = 0.05
    reply = await asyncio.to_thread(_announce, station, 100)
    assert b" 408 " in reply.partition(b"\r\n")[0]


@pytest.mark.parametrize("half_closed", [False, True])
async def test_caller_that_goes_away_frees_its_place(station: ServedStation, half_closed: bool) -> None:
    station.plane.gate = asyncio.Event()
    body, kind = form(image=npy())
    _, writer = await asyncio.open_unix_connection(station.layout.socket)
    head = (
        f"POST /v1/pids/A01/execute HTTP/1.1\r\nHost: s\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await until(lambda: station.plane.places == 1)
    if half_closed:
        writer.write_eof()
    else:
        writer.transport.abort()
    await until(lambda: station.plane.cancelled == 1)
    await until(lambda: station.limits.held == 0)
    writer.close()


async def test_caller_that_goes_away_while_sending_leaves_nothing(station: ServedStation) -> None:
    _, writer = await asyncio.open_unix_connection(station.layout.socket)
    writer.write(b"POST /v1/pids/A01/execute HTTP/1.1\r\nHost: s\r\nContent-Length: 100\r\n\r\n{")
    await until(lambda: station.limits.held == 100)
    writer.transport.abort()
    await until(lambda: station.limits.held == 0)
    assert station.plane.asked == []
