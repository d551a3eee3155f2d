"""Durable replacement of files: old content or new, never between, under real system-call faults."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from controller.errors import StoreError
from controller.store.atomic import append_durably, remove_durably, write_atomic, write_if_changed
from tests.waiting import HANGS

WRITE = """
import sys
from pathlib import Path
from controller.store.atomic import write_atomic
from controller.errors import StoreError
try:
    write_atomic(Path(sys.argv[1]), b"new")
except StoreError as error:
    print(error)
    sys.exit(7)
"""


def inject(path: Path, *faults: str) -> subprocess.CompletedProcess[str]:
    """Write `new` to `path` in a process whose system calls on that folder fail as `faults` say."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: system-call faults cannot be injected")
    # -P limits the injection to the calls that name these paths
    paths = [f"-P{each}" for each in (path, path.with_name(path.name + ".tmp"), path.parent)]
    command = ["strace", "-f", "-o", "/dev/null", *paths, *(f"-einject={fault}" for fault in faults)]
    result = subprocess.run(
        [*command, sys.executable, "-c", WRITE, str(path)], capture_output=True, text=True, check=False, timeout=HANGS
    )
    if "ptrace" in result.stderr and result.returncode == 1:
        pytest.skip(f"strace may not trace here: {result.stderr.strip()}")
    return result


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "A01.json"
    path.parent.mkdir()
    path.write_bytes(b"old")
    return path


def leftovers(target: Path) -> list[str]:
    return sorted(each.name for each in target.parent.iterdir() if each != target)


def test_content_is_replaced_and_no_temporary_file_stays(target: Path) -> None:
    write_atomic(target, b"new")

    assert target.read_bytes() == b"new"
    assert leftovers(target) == []


def test_what_the_validation_refuses_does_not_go_live(target: Path) -> None:
    def refuse(content: bytes) -> None:
        raise ValueError(content.decode())

    with pytest.raises(ValueError, match="new"):
        write_atomic(target, b"new", refuse)

    assert target.read_bytes() == b"old"
    assert leftovers(target) == []


@pytest.mark.parametrize(
    "fault",
    [
        "write:error=ENOSPC",
        "fsync:error=EIO",
        "rename:error=EIO",
        "rename:error=EACCES",
        "rename:error=EROFS",
        "openat:error=ENOSPC:when=1",
    ],
)
def test_a_failing_system_call_leaves_the_old_content_and_says_so(target: Path, fault: str) -> None:
    result = inject(target, fault)

    assert result.returncode == 7, result.stderr
    assert str(target) in result.stdout
    assert target.read_bytes() == b"old"
    assert leftovers(target) == []


@pytest.mark.parametrize("when", [1, 2])  # the file's, the folder's
def test_an_input_output_error_that_passes_is_overcome_by_writing_again(target: Path, when: int) -> None:
    result = inject(target, f"fsync:error=EIO:when={when}")

    assert result.returncode == 0, result.stderr
    assert target.read_bytes() == b"new"


def test_a_rename_that_lies_about_its_success_is_noticed(target: Path) -> None:
    result = inject(target, "rename:retval=0")

    assert result.returncode == 7
    assert "did not happen" in result.stdout
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("call", ["openat", "write", "fsync", "rename", "close"])
@pytest.mark.parametrize("when", [1, 2])
def test_killed_at_any_mutating_call_the_content_is_old_or_new(target: Path, call: str, when: int) -> None:
    inject(target, f"{call}:signal=SIGKILL:when={when}")

    assert target.read_bytes() in {b"old", b"new"}
    write_atomic(target, b"after")
    assert target.read_bytes() == b"after"
    assert leftovers(target) == []


def test_unchanged_content_is_not_written_again(target: Path) -> None:
    before = target.stat().st_mtime_ns

    assert write_if_changed(target, b"old") is False
    assert target.stat().st_mtime_ns == before
    assert write_if_changed(target, b"other") is True


def test_an_append_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append_durably(path, b"one\n")

    with pytest.raises(StoreError, match="cannot append"):
        append_durably(tmp_path / "nowhere" / "log", b"two\n")

    assert path.read_bytes() == b"one\n"


def test_removing_what_is_not_there_is_no_error(target: Path) -> None:
    remove_durably(target)
    remove_durably(target)

    assert not target.exists()
