"""From a spec to a process that is proven ready, or to a `StartFailed` that says why not, with nothing left behind."""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from controller.errors import CallError, HostError, StartFailed
from controller.host.conditions import LOADER_FAILED, Witness, host_error, host_error_in
from controller.host.environment import TOKEN_VARIABLE
from controller.host.execution import package_execution
from controller.host.priority import give_way_to_the_line
from controller.images.slots import Slots
from controller.model.units import format_duration
from controller.processes import census, records
from controller.processes.attach import Launch, ShimGone, Shims
from controller.processes.process import AlgorithmProcess
from controller.processes.records import ProcessRecord
from controller.processes.spec import ProcessSpec
from controller.processes.usage import descendants
from controller.store.layout import StoreLayout

_TAIL_BYTES = 8192
_TAIL_LINES = 8
_NOTE = re.compile(r"=== \d{4}-\d\d-\d\dT\S+Z process \d+ ended: .* ===$", re.MULTILINE)
"""The shim's note; it stands behind a last line that has no end."""
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ", re.MULTILINE)
"""The time at which a line came. Nobody needs it in a message that says what happened just now."""


Smoke = Callable[[AlgorithmProcess], Awaitable[str]]
"""Makes the one call before traffic; what a call is, calls know.

Returns what is doubtful about what it came to, empty where it was an answer. Raises CallError where the process is of
no use.
"""


class Launcher:
    """Starts processes of one store. `python` is what shims run on, `smoke` the call for specs that ask for one."""

    def __init__(self, layout: StoreLayout, python: str, smoke: Smoke) -> None:
        self._layout = layout
        self._python = python
        self._smoke = smoke
        self._shims = Shims(layout.run)

    async def start(
        self, spec: ProcessSpec, started_at: str, *, lasting: bool = True, gives_way: bool = False
    ) -> AlgorithmProcess:  # fmt: skip
        """Start a process and prove it: hello, ping, pong within the start timeout, then the smoke call.

        One that is not `lasting` is nobody else's, ever: it ends with the process that started it. A shadow, and one
        that `gives_way`, does so from when it is ready.

        Raises:
            StartFailed: with the algorithm's own words and its last lines of log; nothing of it is left.
            HostError: the machine did not let it start, which says nothing about it; nothing of it is left either.
        """
        token = records.new_token(self._layout.run)
        process: AlgorithmProcess | None = None
        witness, gives_way = Witness(self._layout.root, self._layout.images), gives_way or spec.key.shadow
        try:
            async with asyncio.timeout(spec.start_timeout):
                attachment = await self._shims.start(self._launch(spec, token, started_at))
                process = AlgorithmProcess(attachment, Slots(self._layout.images, token), adopted=False)
                await process.greet()
            if spec.smoke and process.ready is not None:
                process.ready = replace(process.ready, doubt=await self._smoke(process))
            if gives_way:
                _let_give_way(process)
            if lasting:
                await process.mark(spec)
        except (CallError, ShimGone, OSError) as error:  # a TimeoutError is an OSError
            failure = error
        except BaseException:
            await self._discard(token, process)
            raise
        else:
            return process
        await self._discard(token, process)
        if refusal := _refusal(spec, failure, process) or witness.shortage(f"start {spec.key}"):
            raise refusal
        raise StartFailed(
            f"{spec.key} did not become ready: {_reason(spec, failure, process)}{_last_words(spec, failure)}",
            next_step=_next_step(spec, failure),
        )

    def _launch(self, spec: ProcessSpec, token: str, started_at: str) -> Launch:
        return Launch(
            python=self._python,
            title=str(spec.key),
            token=token,
            execution=package_execution(
                spec.command,
                root=Path(spec.working_directory),
                images=self._layout.images,
                python_path=spec.python_path,
                mark={TOKEN_VARIABLE: token},
                entry_point=spec.entry_point,
            ),
            log_path=Path(spec.log_path),
            about=records.about(spec, started_at, None),
        )

    async def _discard(self, token: str, process: AlgorithmProcess | None) -> None:
        """End a process that did not make it, and remove what it leaves."""
        if process is not None:
            await process.end(0)
            process.detach()
        with suppress(OSError, RuntimeError):  # no file, no thread to look with: an unproven shim ends by itself
            await asyncio.get_running_loop().run_in_executor(None, census.end_token, self._layout, token)


async def adopt(layout: StoreLayout, record: ProcessRecord) -> AlgorithmProcess:
    """Attach to a process that another controller started, and prove it by a ping; it may first finish a call.

    Raises:
        ShimBusy: another controller has it. ShimGone: it has ended.
        CallError: it does not answer, and is being ended.
    """
    attachment = await Shims(layout.run).attach(record.token)
    process = AlgorithmProcess(attachment, Slots(layout.images, record.token), adopted=True)
    try:
        await process.reconnect(process.spec.call_timeout + process.spec.grace_ms / 1000)
    except BaseException:
        await process.wait_ended()
        process.detach()
        raise
    if process.key.shadow:
        _let_give_way(process)
    return process


def _let_give_way(process: AlgorithmProcess) -> None:
    """Let a process that is ready give way to the line, with all that it has started.

    Not before: on a machine without a moment to spare it would never become ready, and its version be blamed.
    """
    for os_pid in tuple(descendants(process.record.shim.os_pid)):
        give_way_to_the_line(os_pid)


def _refusal(spec: ProcessSpec, error: Exception, process: AlgorithmProcess | None) -> HostError | None:
    """Return what the host refused, where an error comes from before any code of the package could run."""
    doing = f"start {spec.key}"
    match error:
        case ShimGone():
            return host_error_in(doing, error.message)
        case CallError(details={"fault": "host"}):
            return host_error_in(doing, error.message)
        case OSError() if not isinstance(error, TimeoutError):
            return host_error(doing, error)
    ended = process.record.exit if process is not None and not process.greeted else None
    if ended is None or ended.code != LOADER_FAILED:
        return None
    words = f"its Python cannot be started{last_lines(Path(spec.log_path))}"
    return host_error(doing, OSError(errno.ENOENT, words))


def _reason(spec: ProcessSpec, error: Exception, process: AlgorithmProcess | None) -> str:
    if isinstance(error, CallError):
        return error.message
    told = "it answered no ping" if process is not None and process.greeted else "it never said hello"
    return f"it was not ready within its timeouts.start of {format_duration(spec.start_timeout)}; {told}"


def _last_words(spec: ProcessSpec, error: Exception) -> str:
    """Return the last lines of the log; nothing where they are a traceback whose end the reason has with its place."""
    if isinstance(error, CallError) and error.details.get("traceback"):
        return ""
    return last_lines(Path(spec.log_path))


def _next_step(spec: ProcessSpec, error: Exception) -> str:
    log = f"see {spec.log_path}"
    if isinstance(error, CallError):
        return f"{error.next_step}; {log}" if error.next_step else log
    return f"raise spec.timeouts.start if it takes longer to load; {log}"


def last_lines(log: Path) -> str:
    """Return the last lines that the latest process wrote, as the end of a message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    latest = text.rpartition(" started as process ")[2]
    lines = [line for line in _STAMP.sub("", _NOTE.sub("", latest)).splitlines()[1:] if line.strip()]
    return "".join(f"\n    {line[:500]}" for line in lines[-_TAIL_LINES:])
