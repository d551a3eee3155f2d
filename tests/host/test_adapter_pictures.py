"""The adapter's reading of pictures comes to what numpy's would, and leaves to numpy what is unusual."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import pickle
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from controller.host.adapter_pictures import MOST_MAPPED, MOST_SAID, Calls, Numpy, Reader, install

_arrays = hnp.arrays(
    st.sampled_from([np.uint8, np.uint16, np.float32, np.bool_]), hnp.array_shapes(min_dims=1, max_dims=4, max_side=5)
)


@given(_arrays, st.booleans(), st.integers(0, 40))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_the_file_it_is_read_as_numpy_reads_it(
    tmp_path: Path, array: np.ndarray, fortran: bool, cut: int
) -> None:
    path = str(tmp_path / "a.npy")
    np.save(path, np.asfortranarray(array) if fortran else array)
    if cut > 30:
        os.truncate(path, max(Path(path).stat().st_size - cut + 30, 0))
    outcomes = []
    for load in (np.load, Numpy(np, Reader(np)).load):
        try:
            found = load(path, allow_pickle=False)
            outcomes.append((found.tobytes(), found.dtype, found.shape, found.flags.writeable))
        except (ValueError, EOFError, OSError) as error:
            outcomes.append(repr(error))
    assert outcomes[0] == outcomes[1]


class Sdk:
    """The adapter's module and the SDK's, as far as reading goes; `frames` are the calls to come."""

    def __init__(self, folder: Path) -> None:
        self.shared = ModuleType("fake_sdk.shared_memory")
        self.package, self.adapter = ModuleType("fake_sdk"), ModuleType("fake_sdk.adapter.__main__")
        self.shared.np = np

        def read_image_from_shared_memory(shared_mem_id: str, image_meta: dict[str, Any]) -> Any:
            return self.shared.np.load(f"{folder}/{shared_mem_id}.npy", allow_pickle=False)

        for module in (self.shared, self.package, self.adapter):
            module.read_image_from_shared_memory = read_image_from_shared_memory
        self.adapter.__package__ = "fake_sdk.adapter"
        self.adapter._read_frame = lambda: {"type": "call"}

    def call(self, image: str, guide: str, **meta: Any) -> tuple[Any, Any]:
        """What the adapter gives an algorithm."""
        self.adapter._read_frame()
        return (self.adapter.read_image_from_shared_memory(image, meta),
                self.adapter.read_image_from_shared_memory(guide, meta))  # fmt: skip


def _install(found: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an adapter read pictures as ours do, and two pictures in the folder."""
    monkeypatch.setitem(sys.modules, "fake_sdk", found.package)
    monkeypatch.setitem(sys.modules, "fake_sdk.shared_memory", found.shared)
    install(found.adapter)
    for number in (1, 2):
        np.save(folder / f"{number}.npy", np.full((4, 5, 3), number, np.uint8))


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sdk:
    found = Sdk(tmp_path)
    _install(found, tmp_path, monkeypatch)
    return found


@pytest.mark.parametrize("meta", [{}, {"zero_copy": True}])
def test_image_and_guide_are_two_arrays_also_where_they_are_one_picture(sdk: Sdk, meta: dict[str, Any]) -> None:
    for _ in range(3):
        image, guide = sdk.call("1", "1", **meta)
        image[:] = 9
        assert (guide == 1).all()
        guide[:] = 8
        assert (image == 9).all()
    assert [array.max() for array in sdk.call("1", "2", **meta)] == [1, 2]
    assert [array.max() for array in sdk.call("2", "1", **meta)] == [2, 1]


def test_a_picture_that_changed_between_two_calls_is_read_again(sdk: Sdk, tmp_path: Path) -> None:
    sdk.adapter._read_frame()
    sdk.adapter.read_image_from_shared_memory("1", {})  # and the call ends here
    np.save(tmp_path / "1.npy", np.full((4, 5, 3), 7, np.uint8))
    assert [array.max() for array in sdk.call("1", "1")] == [7, 7]


def test_what_an_algorithm_reads_itself_is_never_a_copy_of_what_it_has(sdk: Sdk) -> None:
    """Its thread reads while the adapter reads the next call's pictures."""
    mine: list[Any] = []

    def read() -> None:
        mine.append(sdk.package.read_image_from_shared_memory("1", {}))
        mine[0][:] = 5

    load, once = sdk.shared.np.load, SimpleNamespace(done=False)

    def load_beside_a_thread(*args: Any, **options: Any) -> Any:
        found = load(*args, **options)
        if not once.done:
            once.done = True
            thread = threading.Thread(target=read)
            thread.start()
            thread.join()
        return found

    sdk.shared.np.load = load_beside_a_thread
    image, guide = sdk.call("1", "1")
    assert (int(image.max()), int(guide.max()), int(mine[0].max())) == (1, 1, 5)


def test_a_mapped_picture_is_locked_for_as_long_as_any_view_of_it_lives(sdk: Sdk, tmp_path: Path) -> None:
    image, guide = sdk.call("1", "1", zero_copy=True)
    part = image[1:, ::2]
    del image, guide
    gc.collect()
    with (tmp_path / "1.npy").open("rb") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part[:] = 3
        assert np.load(tmp_path / "1.npy").max() == 1
        del part
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert sdk.call("2", "2")[0].flags.owndata


def test_only_so_many_are_mapped(sdk: Sdk) -> None:
    kept = [sdk.call("1", "2", zero_copy=True) for _ in range(MOST_MAPPED)]
    mapped = [array for pair in kept for array in pair if not array.flags.owndata]
    assert len(mapped) == MOST_MAPPED
    del kept, mapped
    assert not sdk.call("1", "2", zero_copy=True)[0].flags.owndata


def test_an_adapter_that_is_made_otherwise_reads_as_it_did(sdk: Sdk) -> None:
    other = ModuleType("other.adapter")
    other.__package__ = "fake_sdk.adapter"
    read = other.read_image_from_shared_memory = lambda *_: None
    install(other)
    assert other.read_image_from_shared_memory is read


class LegacySdk(Sdk):
    """As that of 0.0.x: the adapter reads nothing, and gives an algorithm the id; what is not there is black (0)."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.adapter._write_frame = lambda frame: None
        self.frame: dict[str, Any] = {}
        self.adapter._read_frame = lambda: self.frame
        read = self.shared.read_image_from_shared_memory

        def read_or_black(shared_mem_id: str, image_meta: dict[str, Any]) -> Any:
            try:
                return read(shared_mem_id, image_meta)
            except OSError:
                return np.zeros((4, 5, 3), np.uint8)

        self.shared.read_image_from_shared_memory = self.package.read_image_from_shared_memory = read_or_black
        del self.adapter.read_image_from_shared_memory

    def begin(self, request: str, picture: str, taken: int) -> tuple[str, dict[str, Any]]:
        """What the adapter gives an algorithm of a call."""
        data = {"shared_mem_id": picture, "image_meta": {"timestamp_ms": taken}}
        self.frame = {"type": "call", "request_id": request, "data": data}
        found = self.adapter._read_frame()["data"]
        return found["shared_mem_id"], found["image_meta"]

    def answer(self, request: str, status: str = "OK", kind: str = "result") -> None:
        self.adapter._write_frame({"type": kind, "request_id": request, "status": status})

    def reads(self, picture: str, meta: dict[str, Any]) -> int:
        return int(self.package.read_image_from_shared_memory(picture, meta).max())


@pytest.fixture
def legacy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LegacySdk:
    found = LegacySdk(tmp_path)
    _install(found, tmp_path, monkeypatch)
    return found


def test_a_picture_is_read_by_its_id_until_its_call_is_answered(
    legacy: LegacySdk, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, meta = legacy.begin("r-1", "1", 1000)
    copied = str(mine)
    assert legacy.reads(mine, meta) == legacy.reads(copied, {}) == 1
    legacy.answer("r-1", "ERROR", "error")
    assert legacy.reads(mine, meta) == legacy.reads(copied, meta) == 0
    assert "picture 1 was read after its call had been answered" in capsys.readouterr().err
    later, _ = legacy.begin("r-2", "1", 1001)
    assert legacy.reads(later, meta) == 1
    assert legacy.reads(mine, meta) == legacy.reads(copied, meta) == 0
    legacy.begin("r-3", "2", 1002)
    assert legacy.reads(later, {}) == legacy.reads("1", {}) == 0
    assert legacy.reads("2", {}) == 2


@pytest.mark.parametrize(("pre", "between"), [("OK", 1), ("ERROR", 0)])
def test_a_call_of_two_phases_is_under_way_from_the_first_to_the_second(
    legacy: LegacySdk, pre: str, between: int
) -> None:
    mine, meta = legacy.begin("r-1-pre", "1", 1000)
    legacy.answer("r-1-pre", pre)
    assert legacy.reads(mine, meta) == between
    legacy.begin("r-1-execute", "1", 1000)
    assert legacy.reads(mine, meta) == between
    legacy.answer("r-1-execute")
    assert legacy.reads(mine, meta) == 0


def test_a_picture_that_is_written_over_while_it_is_read_is_none(legacy: LegacySdk) -> None:
    mine, meta = legacy.begin("r-1", "1", 1000)
    load = legacy.shared.np.load

    def load_for_long(*args: Any, **options: Any) -> Any:
        found = load(*args, **options)
        if legacy.frame["request_id"] == "r-1":
            legacy.answer("r-1")
            legacy.begin("r-2", "1", 1001)
        return found

    legacy.shared.np.load = load_for_long
    assert legacy.reads(mine, meta) == 0


def test_what_an_algorithm_wrote_itself_it_reads_at_any_time(legacy: LegacySdk, tmp_path: Path) -> None:
    np.save(tmp_path / "model.npy", np.full((4, 5, 3), 9, np.uint8))
    assert legacy.reads("model", {}) == 9
    legacy.begin("r-1", "1", 1000)
    legacy.answer("r-1")
    assert legacy.reads("model", {}) == 9


def test_an_id_is_text_to_whoever_has_it(legacy: LegacySdk) -> None:
    mine, _ = legacy.begin("r-1", "1", 1000)
    for copy in (pickle.loads(pickle.dumps(mine)), json.loads(json.dumps(mine)), str(mine)):  # noqa: S301
        assert (type(copy), copy, hash(copy)) == (str, "1", hash(mine))


def test_ids_are_not_remembered_for_ever() -> None:
    calls = Calls()
    for number in range(MOST_SAID + 5):
        calls.begin({"request_id": f"r-{number}", "data": {"shared_mem_id": str(number), "image_meta": {}}})
    assert len(calls.said) == MOST_SAID
    assert calls.has(str(MOST_SAID + 4), {})
    assert not calls.has(str(MOST_SAID + 3), {})
