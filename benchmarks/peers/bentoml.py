"""BentoML: one service with one worker; pictures as files (`pathlib.Path`), as its documentation has it for files.

Its own type for arrays, `numpy.ndarray`, travels as JSON from outside: seven million numbers for one picture.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import bentoml
import numpy as np

from benchmarks.peers.peer import VERSIONS, Call, CannotSwitch
from benchmarks.peers.serving import Posting, Server, free_port, npy, releases
from benchmarks.peers.work import answer


@bentoml.service(workers=1, traffic={"timeout": 30})
class Work:
    """The service."""

    @bentoml.api
    def detect(self, picture: Path, guide: Path) -> dict[str, Any]:
        return answer(np.load(picture), np.load(guide), VERSIONS[0])


class BentoML:
    """One `bentoml serve` with one worker."""

    ways = ("HTTP, multipart",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0

    def prepare(self) -> None:
        """Nothing: the service is this file."""

    def start(self) -> None:
        self._port = free_port()
        self._server = Server(
            [
                sys.executable, "-m", "bentoml", "serve", "benchmarks.peers.bentoml:Work",
                "--host", "127.0.0.1", "--port", str(self._port),
            ],
            self._folder,
            environment={"BENTOML_HOME": str(self._folder / "home"), "BENTOML_DO_NOT_TRACK": "True"},
        )  # fmt: skip
        self._server.until(lambda: bool(self.caller(self.ways[0])(*[np.zeros((4, 4, 3), np.uint8)] * 2)))

    def caller(self, way: str) -> Call:
        posting = Posting.to(self._port)
        return lambda picture, guide: posting.form("/detect", {"picture": npy(picture), "guide": npy(guide)})

    def switch(self, version: str) -> NoReturn:
        raise CannotSwitch(
            "`bentoml serve` keeps its service: a new version is a restart (`--reload` is one, for development)"
        )

    def versions(self) -> str:
        return releases("bentoml", "starlette", "uvicorn", "numpy")

    def stop(self) -> None:
        self._server.stop()
