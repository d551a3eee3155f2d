"""One server's client side, in the server's own environment: asked and answering by lines of JSON.

`python -m benchmarks.peers.driver MODULE CLASS FOLDER`; `running.py` is who starts it and speaks to it.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TypedDict

from benchmarks.peers.peer import VERSIONS, CannotSwitch, Peer, Pictures, WrongAnswer

_WARM_UP = 8
_CALLERS = 2
_PACE = 0.005
"""Seconds that each caller rests between calls while versions are switched: a line has its cycle, too."""
_QUIET = 1.0
"""Seconds of calls before a switch, and after its first answer."""
_LONGEST = 45.0
"""Seconds after which a switch counts as not happening."""


class Measured(TypedDict):
    """Seconds that each call took; how many were made, warming up included, and the processor time of the caller for
    all of these (s)."""

    took: list[float]
    made: int
    used: float


def measure(peer: Peer, way: str, shape: list[int], *, same: bool, calls: int, seconds: float) -> Measured:
    """Return how long each of up to `calls` calls took, or of as many as `seconds` allow. Every answer is checked."""
    call, pictures = peer.caller(way), Pictures(*shape, same=same)
    took = []
    until = None
    used = 0.0
    for number in range(_WARM_UP + calls):
        if number == _WARM_UP:
            until = time.perf_counter() + seconds
        pictures.change()
        busy, began = time.process_time(), time.perf_counter()
        answer = call(pictures.picture, pictures.guide)
        ended = time.perf_counter()
        used += time.process_time() - busy
        pictures.check(answer, VERSIONS)
        if until is not None:
            took.append(ended - began)
            if ended > until:
                break
    return {"took": took, "made": number + 1, "used": used}


class Load:
    """Callers that call while versions change, and what became of every call."""

    def __init__(self, peer: Peer, shape: list[int]) -> None:
        self.answered: list[tuple[float, str]] = []
        """When (monotonic) an answer came, and of which version."""
        self.failed: list[str] = []
        self._over = threading.Event()
        self._peer, self._shape = peer, shape
        self._threads = [threading.Thread(target=self._call) for _ in range(_CALLERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _call(self) -> None:
        call, pictures = self._peer.caller(self._peer.ways[0]), Pictures(*self._shape)
        while not self._over.wait(_PACE):
            pictures.change()
            try:
                answer = call(pictures.picture, pictures.guide)
                pictures.check(answer, VERSIONS)
            except WrongAnswer as error:
                self.failed.append(f"WRONG: {error}")
            except Exception as error:  # noqa: BLE001  - whatever a client raises is a call that was lost
                self.failed.append(f"{type(error).__name__}: {error}"[:200])
            else:
                self.answered.append((time.monotonic(), answer["version"]))

    def first_of(self, version: str) -> float | None:
        return next((when for when, said in tuple(self.answered) if said == version), None)

    def longest_gap(self, since: float, until: float) -> float:
        """Return the longest time without an answer to any caller."""
        moments = [since, *sorted(when for when, _ in tuple(self.answered) if since <= when <= until), until]
        return max(after - before for before, after in itertools.pairwise(moments))


def switch(peer: Peer, shape: list[int]) -> dict[str, Any]:
    """Switch through all versions while callers call.

    Returns seconds to the first answer of each version, the longest gaps with and without a switch, and calls lost.
    """
    ready, gaps, quiet = [], [], []
    with Load(peer, shape) as load:
        for version in VERSIONS[1:]:
            resting = time.monotonic()
            time.sleep(_QUIET)
            began = time.monotonic()
            quiet.append(load.longest_gap(resting, began))
            peer.switch(version)
            while (first := load.first_of(version)) is None:
                if time.monotonic() - began > _LONGEST:
                    raise TimeoutError(f"no answer of {version} after {_LONGEST:.0f} s; failed: {load.failed[-2:]}")
                time.sleep(0.005)
            time.sleep(_QUIET)
            ready.append(first - began)
            gaps.append(load.longest_gap(began, time.monotonic()))
    return {
        "ready": ready, "gaps": gaps, "quiet": quiet, "answered": len(load.answered), "failed": len(load.failed),
        "why": sorted(set(load.failed))[:3],
    }  # fmt: skip


def _do(peer: Peer, order: dict[str, Any]) -> Any:
    match order.pop("do"):
        case "prepare":
            return peer.prepare()
        case "start":
            began = time.perf_counter()
            peer.start()
            return {"seconds": time.perf_counter() - began, "ways": peer.ways, "versions": peer.versions()}
        case "measure":
            return measure(peer, **order)
        case "switch":
            return switch(peer, **order)
        case "stop":
            return peer.stop()
        case other:
            raise ValueError(f"unknown order {other!r}")


def main(module: str, name: str, folder: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    peer: Peer | None = None
    for line in sys.stdin:
        try:
            if peer is None:
                peer = getattr(importlib.import_module(f"benchmarks.peers.{module}"), name)(Path(folder))
            answer = {"result": _do(peer, json.loads(line))}
        except CannotSwitch as error:
            answer = {"cannot": str(error)}
        except Exception as error:  # noqa: BLE001  - it becomes a row that says why
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:600]}
        try:
            print(json.dumps(answer), file=answers, flush=True)
        except BrokenPipeError:
            break
    if peer is not None:  # who asks is done, or was killed: then nobody else ends a server that outlives its starter
        with contextlib.suppress(Exception):
            peer.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
