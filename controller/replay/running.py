"""A worker from outside: begun with its task, listened to, and ended when nobody wants its result any more."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import orjson

from controller.errors import StoreError
from controller.host.environment import clean_environment
from controller.packages.leftovers import mark

if TYPE_CHECKING:
    from controller.replay.task import ReplayTask

_LONGEST_LINE = 16 * 2**20
_PATIENCE = 3.0
"""Seconds that a worker may take to end its processes; then it is killed, and they end with it."""
_LAST_WORDS = 2000

Report = Callable[[Mapping[str, Any]], None]


async def run_worker(task: ReplayTask, report: Report) -> Mapping[str, Any]:
    """Have a worker carry out a task; `report` is told how far it has come, the last of these is returned.

    May be cancelled: then the worker is ended, and what it wrote down stays. Raises StoreError: it cannot go on now.
    """
    place = Path(task.root).joinpath("algorithms", ".staging", f"replay-{Path(task.journal).stem}")
    process = await _begin(place)
    words = asyncio.create_task(_last_words(process))
    try:
        return await _listen(process, task, report, words)
    finally:
        words.cancel()
        await asyncio.shield(_end(process, place))


async def _begin(place: Path) -> asyncio.subprocess.Process:
    try:
        place.mkdir(parents=True, exist_ok=True)  # by its mark the next start finds a worker that is left
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "controller.replay", cwd="/", env=clean_environment() | mark(place),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise StoreError(
            f"cannot begin a replay in {place}: {error.strerror or error}",
            next_step="check the disk and its free space",
        ) from error


async def _listen(
    process: asyncio.subprocess.Process, task: ReplayTask, report: Report, words: asyncio.Task[str]
) -> Mapping[str, Any]:
    stdin, stdout = cast("asyncio.StreamWriter", process.stdin), cast("asyncio.StreamReader", process.stdout)
    stdin.write(orjson.dumps(task.to_document(), option=orjson.OPT_APPEND_NEWLINE))
    last: Mapping[str, Any] | None = None
    problem = ""
    async for line in stdout:
        said = orjson.loads(line)
        problem = said.get("problem", "")
        if "report" in said:
            last = said["report"]
            report(said["report"])
    await process.wait()
    if process.returncode == 0 and last is not None:
        return last
    if problem:
        raise StoreError(problem)
    raise StoreError(
        f"the worker of a replay ended (exit status {process.returncode}): {(await words) or 'without a word'}",
        next_step="it is tried again where a rollout wants it",
    )


async def _last_words(process: asyncio.subprocess.Process) -> str:
    kept, stderr = b"", cast("asyncio.StreamReader", process.stderr)
    while data := await stderr.read(_LAST_WORDS):
        kept = (kept + data)[-_LAST_WORDS:]
    return kept.decode("utf-8", "replace").strip()


async def _end(process: asyncio.subprocess.Process, place: Path) -> None:
    """End a worker that still runs: the end of its stdin says so."""
    if process.stdin is not None:
        process.stdin.close()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _PATIENCE)
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
