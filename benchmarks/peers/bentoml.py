"""BentoML: one service with one worker; pictures as files (`pathlib.Path`), as its documentation has it for files.

Its own type for arrays, `numpy.ndarray`, travels as JSON from outside: seven million numbers for one picture.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bentoml
import numpy as np

from benchmarks.peers.peer import VERSIONS
from benchmarks.peers.restarted import Restarted
from benchmarks.peers.work import answer


@bentoml.service(workers=1, traffic={"timeout": 30})
class Work:
    """The service."""

    @bentoml.api
    def detect(self, picture: Path, guide: Path) -> dict[str, Any]:
        return answer(np.load(picture), np.load(guide), VERSIONS[0])


class BentoML(Restarted):
    """One `bentoml serve` with one worker."""

    path = "/detect"
    distributions = ("bentoml", "starlette", "uvicorn")
    why_not = "`bentoml serve` keeps its service: a new version is a restart (`--reload` is one, for development)"

    def command(self, folder: Path, port: int) -> list[str]:
        del folder
        service = ["serve", "benchmarks.peers.bentoml:Work", "--host", "127.0.0.1", "--port", str(port)]
        return [sys.executable, "-m", "bentoml", *service]

    def environment(self, folder: Path) -> dict[str, str]:
        return {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "True"}
