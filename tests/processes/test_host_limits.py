"""What the machine refuses to a start is the machine's: told as its condition, with nothing left, and tried again."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from controller.errors import HostError, StartFailed
from controller.processes import launch
from tests.processes.conftest import KEY, call, running
from tests.processes.test_process import ask, opened
from tests.waiting import until

pytestmark = pytest.mark.real
MANY = 60


@contextlib.contextmanager
def files_left(count: int) -> Iterator[None]:
    """Let this process open so many more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = [int(each.name) for each in Path("/proc/self/fd").iterdir()]
    used = max(open_now) + 1
    spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(used - len(open_now) + 1)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in spare:
            os.close(each)


async def test_a_start_without_files_to_open_is_the_hosts_wherever_it_stops(layout, make_spec):
    spec = make_spec()
    async with opened(layout) as runner:
        await runner.start(spec)
        await runner.stop(KEY, drain=0)
        before, seen = psutil.Process().num_fds(), []
        while not seen or seen[-1] != "started":
            try:
                with files_left(len(seen)):
                    await runner.start(spec)
            except HostError as error:
                seen.append(error.condition)
                await until(lambda: not running(layout), "the end of what began")
                left = max(before, psutil.Process().num_fds())
                assert left == before
            else:
                seen.append("started")
        assert set(seen[:-1]) == {"FileLimit"}
        assert 3 <= len(seen) < MANY
        assert (await call(runner, ask())).status == "OK"


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of processes; skip where none can be made."""
    for root in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")):
        folder = root / f"procvision-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        if (folder / "pids.max").exists():
            break
        folder.rmdir()
    else:
        pytest.skip("this machine lets no test make a control group")
    yield folder
    folder.rmdir()


AT_THE_LIMIT = """
import asyncio, json, os, sys
from pathlib import Path
from controller.calls.detection import smoke
from controller.errors import ControllerError
from controller.processes.pool import ProcessPool
from controller.processes.spec import ProcessSpec
from controller.store.layout import StoreLayout

async def main(group, store, spec):
    group, seen = Path(group), []
    pool = ProcessPool(StoreLayout.at(store), smoke=smoke, now=lambda: "2026-01-02T03:04:05Z")
    await pool.open()
    await asyncio.gather(*(asyncio.to_thread(len, "") for _ in range(32)))
    (group / "cgroup.procs").write_text(str(os.getpid()))
    for room in range(12):
        (group / "pids.max").write_text(str(int((group / "pids.current").read_text()) + room))
        try:
            process = await pool.start(ProcessSpec.from_document(json.loads(spec)))
        except ControllerError as error:
            seen.append([type(error).__name__, getattr(error, "condition", ""), str(error)])
        else:
            seen.append(["started", process.state, ""])
            break
    (group / "pids.max").write_text("max")
    await pool.stop(process.key, drain=0)
    await pool.close()
    print(json.dumps(seen))

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_start_at_the_limit_of_processes_is_the_hosts_wherever_it_stops(layout, make_spec, group):
    arguments = (str(group), str(layout.root), json.dumps(make_spec().to_document()))
    done = subprocess.run([sys.executable, "-c", AT_THE_LIMIT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *refused, last = json.loads(done.stdout)
    assert last[:2] == ["started", "ready"]
    assert len(refused) >= 2
    assert {tuple(each[:2]) for each in refused} == {("HostError", "ProcessLimit")}, refused
    assert running(layout) == []


@pytest.mark.parametrize("spoilt", ["log", "interpreter", "loader"])
async def test_what_cannot_be_opened_or_executed_is_the_hosts(layout, make_spec, tmp_path, spoilt):
    spec = make_spec()
    if spoilt == "log":
        spec = make_spec(log_path=f"{tmp_path}/file/a.log")
        (tmp_path / "file").touch()
    else:
        python = tmp_path / "python"
        python.write_text("#!/bin/sh\necho 'libpython3.11.so.1.0: cannot open shared object file' >&2\nexit 127\n")
        python.chmod(stat.S_IRWXU if spoilt == "loader" else 0o600)
        spec = make_spec(python=str(python))
    async with opened(layout) as runner:
        with pytest.raises(HostError) as caught:
            await runner.start(spec)
        conditions = {"log": "HostFailed", "interpreter": "NotPermitted", "loader": "FileMissing"}
        assert caught.value.condition == conditions[spoilt]
        assert spoilt != "loader" or "libpython3.11.so.1.0" in caught.value.message
        assert running(layout) == []


async def test_a_version_that_fails_while_the_host_is_short_is_not_blamed_and_its_own_words_prove_nothing(
    layout, make_spec, monkeypatch
):
    async with opened(layout) as runner:
        with pytest.raises(StartFailed, match="No space left on device"):
            await runner.start(make_spec("no_space_in_its_words"))
        short = HostError("ProcessLimit", "cannot start it: the limit of processes and threads was met")
        monkeypatch.setattr(launch.Witness, "shortage", lambda *_: short)
        with pytest.raises(HostError):
            await runner.start(make_spec("exit_after_hello"))
