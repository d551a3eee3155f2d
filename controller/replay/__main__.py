"""`python -m controller.replay`: reads a task from stdin, shows its pictures, says on stdout how far it has come.

It gives way to everything else on the machine, and so do the processes that it starts. It ends when stdin does: nobody
wants its result then, and its processes end with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress

import orjson

from controller.errors import ControllerError
from controller.host.clock import utc_now
from controller.host.priority import give_way_a_little, give_way_to_the_line
from controller.replay.result import Result
from controller.replay.showing import show
from controller.replay.task import ReplayTask

DONE, PROBLEM, ENDED = 0, 3, 4
"""Exit codes: all was shown; it cannot go on now, and the last line says why; nobody wants it any more."""


def main() -> None:
    """Carry out the task that stands on stdin."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    task = ReplayTask.from_document(orjson.loads(sys.stdin.buffer.readline()))
    (give_way_to_the_line if task.gives_way else give_way_a_little)(os.getpid())
    sys.exit(asyncio.run(_run(task)))


async def _run(task: ReplayTask) -> int:
    loop, showing = asyncio.get_running_loop(), asyncio.ensure_future(show(task, utc_now, sys.executable, _tell))

    def end() -> None:
        loop.remove_reader(sys.stdin.fileno())
        showing.cancel()

    loop.add_reader(sys.stdin.fileno(), end)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    try:
        await showing
    except asyncio.CancelledError:
        return ENDED
    except (ControllerError, OSError) as error:  # a full disk, or no process, file or memory to be had
        _say({"problem": str(error)})
        return PROBLEM
    return DONE


def _tell(result: Result) -> None:
    _say({"report": result.report()})


def _say(document: dict[str, object]) -> None:
    with suppress(BrokenPipeError):  # stdin has ended as well
        sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
