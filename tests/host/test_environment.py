"""What children inherit: everything of ours, but for what bends Python or is meant for a controller."""

from __future__ import annotations

import os

import pytest

from controller.host.environment import ALLOCATOR, clean_environment, package_environment


@pytest.mark.parametrize(
    "name",
    [
        "PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "CONDA_PREFIX", "UV_CACHE_DIR",
        "PIP_INDEX_URL", "PVCTL_STORE", "PVCTL_TOKEN", "PROC_STRICT_STDIO", "NOTIFY_SOCKET", "WATCHDOG_USEC",
        "LISTEN_FDS",
    ],
)  # fmt: skip
def test_what_is_not_inherited(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "ours")
    assert name not in clean_environment()
    assert package_environment("/root", "/images", [], {}).get(name) is None


def test_the_rest_is_inherited_and_no_copy_of_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/first")
    for name in ("LINE_NAME", "UVULA", "PYPROJECT", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "LANG"):
        monkeypatch.setenv(name, "theirs")
        assert clean_environment()[name] == "theirs"
    monkeypatch.setenv("PATH", "/second")
    assert clean_environment()["PATH"] == "/second"
    clean_environment().clear()
    assert os.environ["PATH"] == "/second"


def test_what_code_of_a_package_has_beside_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PATH": "/bin", "PYTHONPATH": "/ours", "PVCTL_TOKEN": "another's"})
    plain = {**ALLOCATOR, "PATH": "/bin", "PROC_ENV": "prod", "PROC_ALGO_ROOT": "/root", "PROC_SHM_DIR": "/images"}
    assert package_environment("/root", "/images", [], {}) == plain
    with_path = package_environment("/root", "/images", ["/root/src", "/more"], {"PVCTL_TOKEN": "its own"})
    assert with_path == {**plain, "PYTHONPATH": "/root/src:/more", "PVCTL_TOKEN": "its own"}
    assert package_environment("/root", "/images", [], {}, "m:C") == {**plain, "PROC_ENTRY_POINT": "m:C"}


@pytest.mark.parametrize(
    ("said", "added"),
    [
        ({"LINE": "A"}, True), ({"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F"}, True),
        ({"MALLOC_ARENA_MAX": "2"}, False), ({"MALLOC_TRIM_THRESHOLD_": "131072"}, False),
        ({"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=65536"}, False),
    ],
)  # fmt: skip
def test_who_says_something_of_the_allocator_has_the_last_word(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, str], added: bool
) -> None:
    monkeypatch.setattr(os, "environ", said)
    has = package_environment("/root", "/images", [], {})
    assert said.items() <= has.items()
    assert all(has.get(name, "") == (value if added else said.get(name, "")) for name, value in ALLOCATOR.items())
