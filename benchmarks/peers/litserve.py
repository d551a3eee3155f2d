"""LitServe: one worker; pictures as files of a form, as its documentation has it for images.

`python -m benchmarks.peers.litserve PORT` is the server itself. Annotations are objects here: LitServe looks at them.
"""

import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from fastapi import Request

from benchmarks.peers.peer import VERSIONS
from benchmarks.peers.restarted import Restarted
from benchmarks.peers.work import answer


class Work(litserve.LitAPI):
    """The model."""

    def setup(self, device: str) -> None:
        """Nothing is loaded."""

    def decode_request(self, request: Request) -> Any:
        return [np.load(request[role].file) for role in ("picture", "guide")]

    def predict(self, x: Any) -> Any:
        return answer(*x, VERSIONS[0])

    def encode_response(self, output: Any) -> Any:
        return output


class LitServe(Restarted):
    """One LitServe server with one worker."""

    path = "/predict"
    distributions = ("litserve", "fastapi", "uvicorn")
    why_not = "a running server keeps its model: a new version is a restart behind a proxy"

    def command(self, folder: Path, port: int) -> list[str]:
        del folder
        return [sys.executable, "-m", "benchmarks.peers.litserve", str(port)]


if __name__ == "__main__":
    server = litserve.LitServer(Work(), accelerator="cpu", workers_per_device=1, timeout=30)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
