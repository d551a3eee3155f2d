"""The same on packages of the real packager, installed by the real installer, of both SDK generations."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from controller.calls.offline import execute_once
from controller.calls.request import DetectionRequest
from controller.client.arguments import CallArguments
from controller.errors import CallError, Code, StartFailed
from controller.images.formats import ImageRef
from controller.model.input import PictureInput
from controller.model.observed import ProcessKey
from controller.packages.install import Installer
from controller.processes.spec import ProcessSpec
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import (
    ECHO,
    ERROR,
    IMPORT_DIES,
    IMPORT_EXITS,
    IMPORT_RAISES,
    PARSES_ARGUMENTS,
    PRINTS,
    RAISES,
    SHADOWS_STDOUT,
    SLEEPS,
    SPAWNS,
    Algorithm,
    Generation,
    build_package,
)
from tests.processes.conftest import call, now
from tests.processes.test_process import opened
from tests.waiting import HANGS, until

pytestmark = pytest.mark.real

GENERATIONS: tuple[Generation, ...] = ("0.3", "0.0")
RGB = np.random.default_rng(7).integers(0, 255, (48, 64, 3), np.uint8)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[Generation, ProcessSpec]:
    """Specs of the echo algorithm, installed once for each generation."""
    store = StoreLayout.at(tmp_path_factory.mktemp("installed"))
    for folder in store.folders:
        folder.mkdir(parents=True)
    installer = Installer(store, MutationLock(store), now=now)
    specs = {}
    for generation in GENERATIONS:
        name = f"echo-{generation.replace('.', '')}"
        package = build_package(store.zips, name=name, generation=generation, source=ECHO)
        receipt = installer.install(package)
        folder = store.package(receipt.ref)
        specs[generation] = ProcessSpec(
            key=ProcessKey("echo", receipt.name, receipt.version),
            digest=receipt.digest,
            python=str(folder / "venv" / "bin" / "python"),
            working_directory=str(folder / receipt.working_directory),
            log_path="",
            entry_point=receipt.entry_point,
            call_timeout=20.0,
            smoke_pid="A01",
        )
    return specs


@pytest.fixture
def spec_for(installed, layout, tmp_path):
    """Specs of the installed echo algorithm, or of other source in the same environment."""

    def make(generation: Generation, source: Algorithm | str | None = None, **changes) -> ProcessSpec:
        spec = installed[generation]
        if source is not None:
            folder = tmp_path / f"other-{generation}"
            (folder / "algo").mkdir(parents=True)
            text = source if isinstance(source, str) else source.source(generation, "Other", ["A01"])
            (folder / "algo" / "main.py").write_text(text)
            (folder / "manifest.json").write_text(json.dumps({"entry_point": "algo.main:Other"}))
            spec = dataclasses.replace(spec, working_directory=str(folder), entry_point="")
        log = layout.process_log(spec.key.deployment, spec.key.version, 0)
        return dataclasses.replace(spec, log_path=str(log), **changes)

    return make


def detection(image=RGB, *, generation: Generation = "0.3", **params) -> DetectionRequest:
    if generation == "0.3":
        return DetectionRequest("A01", image, arguments=CallArguments(guide_info=[params]))
    return DetectionRequest("A01", image, arguments=CallArguments(params=params))


def png(array: np.ndarray) -> bytes:
    target = io.BytesIO()
    Image.fromarray(array).save(target, "PNG")
    return target.getvalue()


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_real_package_sees_the_very_pixels(layout, spec_for, generation, tmp_path):
    spec = spec_for(generation, smoke=True)
    async with opened(layout, spec) as runner:
        seen = (await runner.observe())[spec.key]
        assert seen.sdk_version == {"0.3": "0.3.2", "0.0": "0.0.7"}[generation]
        np.save(tmp_path / "part.npy", RGB)
        np.save(layout.images / "cam-1.npy", RGB)
        (tmp_path / "part.png").write_bytes(png(RGB))
        for source in (RGB, png(RGB), tmp_path / "part.png", tmp_path / "part.npy", ImageRef("cam-1"), RGB[:, ::-1]):
            answer = await call(runner, detection(source, generation=generation, lot=3), spec.key)
            echo = answer.data["debug"]
            expected = RGB[:, ::-1] if source is not RGB and isinstance(source, np.ndarray) else RGB
            assert (answer.status, echo["shape"], echo["os_pid"]) == ("OK", [48, 64, 3], seen.os_pid)
            assert (echo["mean"], echo["first"]) == (pytest.approx(RGB.mean()), expected[0, 0].tolist())
            assert echo["params"] == {"lot": 3}
        for path in layout.images.iterdir():  # cam-1.npy, and the slot that the adapter reads
            path.unlink()
        again = await call(runner, detection(generation=generation), spec.key)
        assert again.data["debug"]["mean"] == pytest.approx(RGB.mean())
        grey = await call(runner, detection(RGB[:, :, 0], generation=generation), spec.key)
        assert grey.data["debug"]["shape"] == [48, 64, 3]
        smaller = await call(runner, detection(RGB[:10, :7], generation=generation), spec.key)
        assert smaller.data["debug"]["shape"] == [10, 7, 3]


PICTURES = Algorithm(
    body="first = lambda array: None if array is None else [int(value) for value in array[0, 0]]\n"
    "return ok(cur_image=first(cur_image), guide_image=first(guide_image))"
)


@pytest.mark.parametrize(
    ("wanted", "given", "guide", "cur_image", "guide_image"),
    [
        (PictureInput(), {}, None, "RGB", "RGB"),
        (PictureInput(), {"color_space": "BGR"}, None, "BGR", "BGR"),
        (PictureInput(color_space="BGR"), {}, "png", "BGR", "RGB"),  # a PNG's channels have one order: its own
        (PictureInput(color_space="BGR"), {"color_space": "RGB"}, None, "RGB", "RGB"),
        (PictureInput("none"), {}, None, "RGB", None),
        (PictureInput("none"), {}, "dark", "RGB", "dark"),
        (PictureInput("required", swap=True), {}, "dark", "dark", "RGB"),
        (PictureInput("none", swap=True), {}, None, None, "RGB"),
    ],
)
async def test_the_algorithm_gets_the_pictures_that_the_deployment_wants(
    layout, spec_for, wanted, given, guide, cur_image, guide_image
):
    spec = spec_for("0.3", PICTURES, input=wanted)
    guides = {None: None, "png": png(RGB), "dark": RGB // 2}
    seen = {"RGB": RGB[0, 0], "BGR": RGB[0, 0, ::-1], "dark": RGB[0, 0] // 2}
    async with opened(layout, spec) as runner:
        request = DetectionRequest("A01", RGB, guides[guide], CallArguments(**given))
        found = (await call(runner, request, spec.key)).data["debug"]
    expected = {"cur_image": cur_image, "guide_image": guide_image}
    assert found == {name: what and seen[what].tolist() for name, what in expected.items()}


async def test_opencvs_order_of_channels_is_said_in_one_word_for_a_file_too(layout, spec_for, tmp_path):
    spec = spec_for("0.0")
    np.save(tmp_path / "part.npy", RGB[:, :, ::-1])  # what np.save(cv2.imread(…)) writes
    async with opened(layout, spec) as runner:
        np.save(layout.images / "cam-1.npy", RGB[:, :, ::-1])
        for source in (tmp_path / "part.npy", ImageRef("cam-1"), png(RGB)):
            request = DetectionRequest("A01", source, arguments=CallArguments(color_space="BGR"))
            assert (await call(runner, request, spec.key)).data["debug"]["first"] == RGB[0, 0].tolist()
        (layout.images / "cam-1.npy").unlink()


async def test_what_a_legacy_algorithm_says_before_and_of_itself_is_told(layout, spec_for):
    """`pre` answers with what it found, such as calibration rectangles; `info` is its get_info(), without a picture."""
    source = Algorithm(info={"model": "m-7"}).source("0.0", "Other", ["A01"])
    pre = '{"status": "OK", "message": "ready"}'
    assert pre in source
    source = source.replace(pre, '{"status": params["pre"], "message": "m", "data": {"calibration_rects": [[1, 2]]}}')
    source = source.replace(
        "pre_execute(self, step_index, pid, session, user_params,",
        "pre_execute(self, step_index, pid, session, params,",
    )
    spec = spec_for("0.0", source)
    async with opened(layout, spec) as runner:
        whole = await call(
            runner, DetectionRequest("A01", RGB, arguments=CallArguments(params={"pre": "OK"})), spec.key
        )
        assert (whole.status, whole.data["phase"]) == ("OK", "execute")
        assert (whole.pre["message"], whole.pre["data"]["calibration_rects"]) == ("m", [[1, 2]])
        failed = await call(
            runner, DetectionRequest("A01", RGB, arguments=CallArguments(params={"pre": "ERROR"})), spec.key
        )
        assert (failed.status, failed.message, failed.data["phase"], failed.pre) == ("ERROR", "m", "pre", None)
        assert "pre" not in failed.to_document()
        info = await call(runner, DetectionRequest("A01", None, arguments=CallArguments(phase="info")), spec.key)
        assert info.data["info"]["model"] == "m-7"


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_what_the_proof_takes_starts_too(layout, spec_for, generation):
    """Processes that are spawned while it loads, and arguments that are parsed at import: see test_probe.py."""
    source = Algorithm(top=PARSES_ARGUMENTS.top, setup=SPAWNS.setup)
    async with opened(layout, spec_for(generation, source, entry_point="algo.main:Other")) as runner:
        assert [each.state for each in (await runner.observe()).values()] == ["ready"]


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_real_process_is_adopted_and_called_without_a_controller(layout, spec_for, generation):
    spec = spec_for(generation)
    async with opened(layout, spec) as runner:
        os_pid = (await runner.observe())[spec.key].os_pid
        await runner.close()
        answer = await execute_once(layout, lambda: (detection(generation=generation), spec.key.ref))
        assert answer.data["debug"]["os_pid"] == os_pid
        await runner.open()
        assert (await runner.observe())[spec.key].os_pid == os_pid


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(
    ("source", "why"),
    [
        (IMPORT_RAISES, "model file model.onnx is damaged"),
        (IMPORT_EXITS, "licence expired"),
        (IMPORT_DIES, "last words"),
        (Algorithm(setup="time.sleep(613)"), "answered no ping"),
    ],
)
async def test_what_does_not_load_is_told_in_its_own_words(layout, spec_for, generation, source, why):
    hangs = why == "answered no ping"
    async with opened(layout) as runner:
        with pytest.raises(StartFailed) as caught:
            await runner.start(spec_for(generation, source, start_timeout=2 if hangs else 20))
        assert why in str(caught.value)


async def test_text_on_stdout_breaks_0_0_and_is_diverted_by_0_3(layout, spec_for):
    async with opened(layout, spec_for("0.3", SHADOWS_STDOUT)) as runner:
        with pytest.raises(StartFailed, match="not a frame, just text on the wire"):
            await runner.start(spec_for("0.0", SHADOWS_STDOUT))
        assert len(await runner.observe()) == 1


async def test_prints_of_0_3_end_up_in_the_log(layout, spec_for):
    spec = spec_for("0.3", PRINTS)
    async with opened(layout, spec) as runner:
        assert (await call(runner, detection(), spec.key)).status == "OK"
        await runner.stop(spec.key, drain=1)
        assert "hello from import" in Path(spec.log_path).read_text()


async def test_the_setup_of_0_0_may_take_its_time(layout, spec_for):
    spec = spec_for("0.0", Algorithm(setup="time.sleep(0.7)"))
    async with opened(layout, spec) as runner:
        assert (await runner.observe())[spec.key].state == "ready"


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_failures_of_a_real_algorithm(layout, spec_for, generation):
    spec = spec_for(generation, ERROR)
    async with opened(layout, spec) as runner:
        answer = await call(runner, detection(generation=generation), spec.key)
        assert (answer.status, answer.message) == ("ERROR", "lamp is off")


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_an_exception_and_a_crash_of_a_real_algorithm(layout, spec_for, generation):
    spec = spec_for(generation, Algorithm(body=f"os._exit(4) if params.get('exit') else None\n{RAISES.body}"))
    async with opened(layout, spec) as runner:
        with pytest.raises(CallError, match="no focus") as caught:
            await call(runner, detection(generation=generation), spec.key)
        assert caught.value.code is Code.execute_exception
        with pytest.raises(CallError, match="exit status 4") as caught:
            await call(runner, detection(generation=generation, exit=4), spec.key)
        assert caught.value.code is Code.heartbeat_lost


async def test_smoke_refuses_what_hangs_or_raises(layout, spec_for):
    hanging = spec_for("0.3", Algorithm(body="time.sleep(611)"), smoke=True, call_timeout=0.5)
    async with opened(layout) as runner:
        with pytest.raises(StartFailed, match=r"did not answer within 0.5 s"):
            await runner.start(hanging)


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_call_that_takes_too_long_costs_the_process(layout, spec_for, generation):
    spec = spec_for(generation, SLEEPS, call_timeout=2)
    async with opened(layout, spec) as runner:
        assert (await call(runner, detection(generation=generation), spec.key)).status == "OK"
        with pytest.raises(CallError) as caught:
            await call(runner, detection(generation=generation, seconds=600), spec.key)
        assert caught.value.code is Code.timeout
        again = await runner.start(spec)
        assert (again.state, again.restarts) == ("ready", 1)


async def test_a_numpy_scalar_in_the_result_is_the_algorithms_exception(layout, spec_for):
    spec = spec_for("0.3", Algorithm(body="return ok(mean=image.mean(dtype='float32'))"))
    async with opened(layout, spec) as runner:
        assert spec.key in await runner.observe()
        with pytest.raises(CallError, match="not JSON serializable") as caught:
            await call(runner, detection(), spec.key)
        assert caught.value.code is Code.execute_exception
        assert "data.debug.mean is a numpy.float32" in caught.value.message


WHERE = """import json
return_bad = params.get('bad')
if return_bad == 'key':
    return {'status': 'OK', 'data': {'debug': [{}, {image[0, 0, 0]: 1}]}}
if return_bad == 'array':
    return ok(mask=[image])
helper(params['lot'])
return ok()"""
TOP = "def helper(lot):\n    print('lot', lot)\n    raise KeyError(lot)"


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_an_exception_is_told_with_its_place_and_in_the_log_at_once(layout, spec_for, generation):
    """The SDK's adapter catches it, says only its text, and writes nothing: an answer of `'oops'`, no file, no line."""
    spec = spec_for(generation, Algorithm(body=WHERE, top=TOP))
    log = Path(spec.log_path)
    async with opened(layout, spec) as runner:
        with pytest.raises(CallError) as caught:
            await call(runner, detection(generation=generation, lot="oops"), spec.key)
        lines, place = caught.value.details["traceback"], "KeyError in helper, algo/main.py line "
        assert caught.value.message.startswith(f"'oops' ({place}")
        assert (lines[0], lines[-1]) == ("Traceback (most recent call last):", "KeyError: 'oops'")
        assert any("algo/main.py" in line and "in execute" in line for line in lines)
        assert not any("procvision_algorithm_sdk" in line or "adapter_entry" in line for line in lines)
        written = await until(lambda: (text := log.read_text()).count("KeyError: 'oops'") and text, "its log")
        stamped = [line for line in written.splitlines() if not line.startswith("===")]
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in stamped)
        assert any(line.endswith("Z lot oops") for line in stamped)

        with pytest.raises(CallError, match=r"data\.debug\[1\] has a key that is a numpy\.uint8; use text"):
            await call(runner, detection(generation=generation, bad="key"), spec.key)
        with pytest.raises(CallError, match=r"data\.debug\.mask\[0\] is a numpy\.ndarray; return .*\.tolist\(\)"):
            await call(runner, detection(generation=generation, bad="array"), spec.key)
        with pytest.raises(CallError, match=place):  # and not what an earlier result lacked
            await call(runner, detection(generation=generation, lot="again"), spec.key)
        assert (await runner.observe())[spec.key].state == "ready"


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_prints_are_in_the_log_while_the_call_goes_on(layout, spec_for, generation, tmp_path):
    body = "print('lamp is warm', end='')\nwhile not os.path.exists(params['go']): time.sleep(0.005)\nreturn ok()"
    spec = spec_for(generation, Algorithm(top="print('hello from import')", body=body))
    async with opened(layout, spec) as runner:
        go = tmp_path / "go"
        calling = asyncio.create_task(call(runner, detection(generation=generation, go=str(go)), spec.key))
        await until(lambda: "lamp is warm" in Path(spec.log_path).read_text(), "what it printed")
        assert "Z hello from import\n" in Path(spec.log_path).read_text()
        assert not calling.done()
        go.touch()
        assert (await calling).status == "OK"


async def test_workers_of_an_algorithm_are_started_as_under_the_sdks_own_module(layout, spec_for):
    source = Algorithm(
        top="import multiprocessing, __main__\ndef square(number): return number * number",
        setup="with multiprocessing.get_context('spawn').Pool(1) as pool: self.found = pool.map(square, [3])",
        body="return ok(found=self.found, main=__main__.__spec__.name, argv=sys.argv, path=[sys.path[0], os.getcwd()])",
    )
    spec = spec_for("0.3", source, start_timeout=HANGS)
    async with opened(layout, spec) as runner:
        seen = (await call(runner, detection(), spec.key)).data["debug"]
    assert (seen["found"], seen["main"]) == ([9], "procvision_algorithm_sdk.adapter.__main__")
    assert seen["path"][0] == seen["path"][1]
    assert seen["argv"][0].endswith("procvision_algorithm_sdk/adapter/__main__.py")
