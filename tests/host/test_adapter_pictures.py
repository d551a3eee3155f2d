"""The adapter's reading of pictures comes to what numpy's would, and leaves to numpy what is unusual."""

from __future__ import annotations

import fcntl
import gc
import os
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

from controller.host.adapter_pictures import MOST_MAPPED, Numpy, Reader, install

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


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sdk:
    found = Sdk(tmp_path)
    monkeypatch.setitem(sys.modules, "fake_sdk", found.package)
    monkeypatch.setitem(sys.modules, "fake_sdk.shared_memory", found.shared)
    install(found.adapter)
    for number in (1, 2):
        np.save(tmp_path / f"{number}.npy", np.full((4, 5, 3), number, np.uint8))
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
