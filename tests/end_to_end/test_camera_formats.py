"""Each pixel format, from file and from client, to the very array that a real algorithm of either generation sees."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from controller.client import CallError, Client
from controller.client.pixel_formats import pixel_format
from controller.errors import Code
from examples.packing import Algorithm, build_package
from tests.end_to_end.api_client import ApiClient
from tests.end_to_end.running import Daemon
from tests.end_to_end.station import Station
from tests.images.files import demosaiced, narrowed, packed, packed_by_gige, png, tiff, upright

pytestmark = pytest.mark.real

SEES = Algorithm(
    top="import hashlib",
    body="return ok(sha=hashlib.sha256(image.tobytes()).hexdigest(), shape=list(image.shape), pid=os.getpid(),\n"
    "          type=str(image.dtype), meta=locals().get('image_meta'))",
)
"""Returns what tells one array from any other, and the meta data that a 0.0.x algorithm is given with it."""
TAKES_ALL = {"depth": "scale", "alpha": "drop", "exif": "apply", "cmyk": "convert"}
PIDS = {"0.3": "A01", "0.0": "B01"}
RNG = np.random.default_rng(11)
KINDS = ("Mono", "BayerRG", "BayerGB", "BayerGR", "BayerBG", "RGB", "BGR", "RGBa", "BGRa")
FORMATS = [
    *(f"{kind}{bits}" for kind in KINDS for bits in (8, 10, 12, 16)),
    *(f"{kind}{packing}" for kind in KINDS[:5] for packing in ("10p", "12p", "10Packed", "12Packed")),
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """An algorithm of each generation: on A01 and B01 it takes all, on A02 and B02 what it does anyway."""
    station = Station(tmp_path_factory.mktemp("formats"))
    for generation, pid in PIDS.items():
        name, pids = f"sees-{generation.replace('.', '')}", [pid, pid[0] + "02"]
        build_package(station.zips, name=name, generation=generation, source=SEES, supported_pids=pids)
        station.desire(name, name, "1.0.0", pids[:1], input=TAKES_ALL)
        station.desire(f"{name}-plain", name, "1.0.0", pids[1:])
    found = Daemon(station)
    found.start()
    try:
        for pid in ("A01", "A02", "B01", "B02"):
            found.until_active(pid, "1.0.0")
        yield found
    finally:
        found.leave_nothing()
        station.pvctl("down")
        assert station.wait_until_gone() == []


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    with Client(store=daemon.station.store) as found:
        yield found


def values(channels: int, bits: int) -> np.ndarray:
    found = RNG.integers(0, 2**bits, (21, 31, channels)).astype(np.uint8 if bits == 8 else np.uint16)
    return found[..., 0] if channels == 1 else found


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def require_seen(answer: Any, expected: np.ndarray) -> Any:
    """Require that the algorithm saw this array, grey ones in three channels as the SDK hands them out."""
    array = np.stack([expected] * 3, axis=-1) if expected.ndim == 2 else expected
    found = answer["debug"]
    assert (found["shape"], found["type"]) == (list(array.shape), "uint8")
    assert found["sha"] == hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return found["meta"]


def in_rgb(name: str, array: np.ndarray) -> np.ndarray:
    """Return what an algorithm is to see of values in a camera's format."""
    told = pixel_format(name)
    narrow = array if told.bits == 8 else narrowed(array, told.bits, "scale")
    if told.mosaic:
        return demosaiced(narrow, told.mosaic)
    return narrow if told.channels == 1 else narrow[..., [2, 1, 0] if told.order == "BGR" else [0, 1, 2]]


@pytest.mark.parametrize("generation", PIDS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_camera_format_reaches_the_algorithm_by_every_way(client: Client, daemon: Daemon, name, generation):
    """As an array (by shared memory), as `.npy` by value and by reference, and as the camera's own buffer."""
    told, pid = pixel_format(name), PIDS[generation]
    array = values(told.channels, told.bits)
    height, width = array.shape[:2]
    raw = array.tobytes()
    if told.packing:
        raw = packed(array, told.bits) if told.packing == "p" else packed_by_gige(array, told.bits)
    expected = in_rgb(name, array)
    answers = [client.execute(pid, raw, pixel_format=name, width=width, height=height)]
    if not told.packing:
        answers += [client.execute(pid, source, pixel_format=name) for source in (array, saved(array))]
        by_value = f"{width}x{height}-{name}-{generation}.npy"
        (daemon.station.root / by_value).write_bytes(saved(array))
        answers.append(client.execute(pid, daemon.station.root / by_value, pixel_format=name))
    for answer in answers:
        meta = require_seen(answer.data, expected)
        if generation == "0.0" and told.name not in {"Mono8", "RGB8", "BGR8"}:
            assert (meta["pixel_format"], meta["bits"]) == (name, told.bits)
            done = ["depth:scale"] * (told.bits > 8) + ["alpha:drop"] * (told.channels == 4)
            assert meta["conversion"] == done + [f"bayer:{told.mosaic}"] * bool(told.mosaic)
        elif generation == "0.0":
            assert "conversion" not in meta, "nothing was done"


def cmyk() -> tuple[bytes, np.ndarray]:
    file = io.BytesIO()
    Image.fromarray(np.full((16, 24, 4), (40, 90, 0, 60), np.uint8), "CMYK").save(file, "JPEG", quality=100)
    return file.getvalue(), cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


GREY16, RGB16, RGBA16, RGB8, RGBA8 = values(1, 16), values(3, 16), values(4, 16), values(3, 8), values(4, 8)
FILES: dict[str, tuple[bytes, np.ndarray]] = {
    "grey 16.png": (png(GREY16), narrowed(GREY16, 16, "scale")),
    "rgb 16.png": (png(RGB16, interlaced=True), narrowed(RGB16, 16, "scale")),
    "rgba 16.png": (png(RGBA16), narrowed(RGBA16, 16, "scale")[..., :3]),
    "rgba 8.png": (png(RGBA8), RGBA8[..., :3]),
    "little 16.tif": (tiff(RGB16), narrowed(RGB16, 16, "scale")),
    "big 16.tif": (tiff(GREY16, big_endian=True, deflated=True), narrowed(GREY16, 16, "scale")),
    "turned.tif": (tiff(RGB8, orientation=6), upright(RGB8, 6)),
    "lzw.tif": (cv2.imencode(".tiff", RGB8[..., ::-1])[1].tobytes(), RGB8),
    "plain.bmp": (cv2.imencode(".bmp", RGB8[..., ::-1])[1].tobytes(), RGB8),
    "rgba.npy": (saved(RGBA8), RGBA8[..., :3]),
    "rgb 16.npy": (saved(RGB16.astype(">u2")), narrowed(RGB16, 16, "scale")),
}


@pytest.mark.parametrize("generation", PIDS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_reaches_the_algorithm_as_its_decoder_sees_it(client: Client, daemon: Daemon, name, generation):
    content, expected = FILES[name]
    path = daemon.station.root / f"{generation} {name}"
    path.write_bytes(content)
    meta = require_seen(client.execute(PIDS[generation], path).data, expected)
    require_seen(client.execute(PIDS[generation], content).data, expected)
    if name.endswith("16.tif"):
        require_seen(daemon.station.execute(PIDS[generation], path)["data"], expected)
    if generation == "0.0":
        assert ("conversion" in meta) == (name not in {"lzw.tif", "plain.bmp"})


@pytest.mark.parametrize("generation", PIDS)
def test_cmyk_and_a_turned_jpeg(client: Client, generation):
    """Within 2 of 255: a JPEG's decoders may round differently, so its array is not compared by its hash."""
    content, decoded = cmyk()
    seen = client.execute(PIDS[generation], content).data["debug"]
    assert (seen["shape"], decoded.shape) == ([16, 24, 3], (16, 24, 3))
    exif, file = Image.Exif(), io.BytesIO()
    exif[274] = 8
    Image.fromarray(RGB8).save(file, "JPEG", exif=exif)
    assert client.execute(PIDS[generation], file.getvalue()).data["debug"]["shape"] == [31, 21, 3]
    assert client.execute(PIDS[generation][0] + "02", file.getvalue()).data["debug"]["shape"] == [21, 31, 3]


def test_by_default_what_would_be_falsified_is_refused_and_the_setting_is_named(client: Client):
    for refused, setting in (
        (GREY16, "depth: shift or scale"), (saved(RGB16), "depth: shift or scale"),
        (png(RGB16), "depth: shift or scale"),
        (tiff(GREY16), "depth: shift or scale"),
        (RGBA8, "alpha: drop"), (png(RGBA8), "alpha: drop"),
        (cmyk()[0], "cmyk: convert"),
    ):  # fmt: skip
        for pid in ("A02", "B02"):
            with pytest.raises(CallError, match=rf"spec\.input\.{setting}") as caught:
                client.execute(pid, refused)
            assert caught.value.code is Code.image_load_failed
    with pytest.raises(CallError, match=r"spec\.input\.depth") as caught:
        client.execute("A02", GREY16, pixel_format="Mono16")
    require_seen(client.execute("A02", RGB8[..., 0], pixel_format="BayerGR8").data, in_rgb("BayerGR8", RGB8[..., 0]))
    for given in ({"pixel_format": "RGB8", "color_space": "BGR"}, {"pixel_format": "Mono8"}, {"pixel_format": "Mono9"}):
        with pytest.raises(CallError, match="pixel_format") as caught:
            client.execute("A02", RGB8, **given)
        assert caught.value.code is Code.invalid_params


def test_what_a_host_application_shares_is_converted_and_left_alone(daemon: Daemon):
    images = Path(daemon.station.store) / "run" / "images"
    api, mosaic = ApiClient(Path(daemon.station.store) / "run"), values(1, 12)
    np.save(images / "cam-1.npy", mosaic)
    np.save(images / "cam-2.npy", RGB8)
    try:
        for name, told, expected in (
            ("cam-1", {"pixel_format": "BayerGB12"}, in_rgb("BayerGB12", mosaic)), ("cam-2", {}, RGB8),
            ("cam-2", {"pixel_format": "BGR8"}, RGB8[..., ::-1]),
        ):  # fmt: skip
            answer = api("detect_pid", {"image_ref": name, **told}, pid="B01").json
            meta = require_seen(answer["data"], expected)
            assert ("conversion" in meta) == (name == "cam-1")
        assert np.array_equal(np.load(images / "cam-1.npy"), mosaic)
        answer = api("detect_pid", {"image_ref": "cam-1"}, pid="B02", expect=400).json
        assert answer["error"]["code"] == 1002
        assert "spec.input.depth: shift or scale" in answer["error"]["message"]
    finally:
        (images / "cam-1.npy").unlink()
        (images / "cam-2.npy").unlink()


def test_settings_apply_in_place(client: Client, daemon: Daemon):
    mosaic = RGB8[..., 0]
    before = client.execute("A01", mosaic).data["debug"]
    daemon.station.desire("sees-03", "sees-03", "1.0.0", ["A01"], input={**TAKES_ALL, "bayer": "BayerBG"})

    def mosaics(_: Any) -> bool:
        return bool(client.execute("A01", mosaic).data["debug"]["sha"] != before["sha"])

    daemon.until(mosaics, "the setting")
    answer = client.execute("A01", mosaic)
    require_seen(answer.data, demosaiced(mosaic, "BGGR"))
    assert answer.data["debug"]["pid"] == before["pid"], "no process was restarted for it"
    require_seen(client.execute("A01", mosaic, pixel_format="Mono8").data, mosaic)


def test_a_cameras_buffer_in_a_file_by_the_command_line(daemon: Daemon):
    path = daemon.station.root / "camera.raw"
    mosaic = values(1, 12)
    path.write_bytes(packed(mosaic, 12))
    answer = daemon.station.execute("B01", path, "--pixel-format", "BayerRG12p", "--size", "31x21")
    require_seen(answer["data"], in_rgb("BayerRG12p", mosaic))
