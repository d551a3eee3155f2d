"""Triton Inference Server with its Python backend; server and backend are those that `nvidia-pytriton` bundles.

The model is as the backend's documentation has it: `as_numpy()` of its inputs, one instance, no batching. Versions
change by explicit model control: a new version's folder is laid down, and the model is loaded again.
"""

from __future__ import annotations

import inspect
import json
import shutil
import sys
import sysconfig
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytriton
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import shared_memory

from benchmarks.peers import work
from benchmarks.peers.peer import VERSIONS, Call
from benchmarks.peers.serving import Server, free_port, releases

_CONFIG = """
name: "work"
backend: "python"
max_batch_size: 0
input [ { name: "PICTURE" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] },
        { name: "GUIDE" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] } ]
output [ { name: "ANSWER" data_type: TYPE_STRING dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
_MODEL = """
import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            picture = pb_utils.get_input_tensor_by_name(request, "PICTURE").as_numpy()
            guide = pb_utils.get_input_tensor_by_name(request, "GUIDE").as_numpy()
            text = json.dumps(answer(picture, guide, {version!r}))
            tensor = pb_utils.Tensor("ANSWER", np.array([text.encode()], dtype=np.object_))
            responses.append(pb_utils.InferenceResponse(output_tensors=[tensor]))
        return responses
"""
_LIBPYTHON = sysconfig.get_config_var("LIBDIR")
_NUMBERS = count()


class Triton:
    """One tritonserver with one instance of one model."""

    ways = ("system shared memory, gRPC", "gRPC", "HTTP")

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._models = folder / "models" / "work"
        self._closing: list[Callable[[], None]] = []
        self._grpc, self._http = 0, 0

    def prepare(self) -> None:
        """Copy the backend, and put the stub of this Python beside it, where the server looks for it."""
        bundle = Path(pytriton.__file__).parent / "tritonserver"
        backends = self._folder / "backends"
        shutil.copytree(bundle / "backends", backends, dirs_exist_ok=True)
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        stub = bundle / "python_backend_stubs" / python / "triton_python_backend_stub"
        if not stub.exists():
            raise RuntimeError(f"nvidia-pytriton has no stub of its Python backend for Python {python}")
        shutil.copy2(stub, backends / "python")

    def start(self) -> None:
        shutil.rmtree(self._models, ignore_errors=True)
        self._models.mkdir(parents=True)
        (self._models / "config.pbtxt").write_text(_CONFIG)
        self._lay_down("1", VERSIONS[0])
        self._grpc, self._http = free_port(), free_port()
        binary = Path(pytriton.__file__).parent / "tritonserver" / "bin" / "tritonserver"
        self._server = Server(
            [
                str(binary), f"--model-repository={self._models.parent}", "--model-control-mode=explicit",
                "--load-model=work", f"--backend-directory={self._folder / 'backends'}",
                "--http-address=127.0.0.1", f"--http-port={self._http}",
                "--grpc-address=127.0.0.1", f"--grpc-port={self._grpc}",
                "--allow-metrics=false", "--log-verbose=0", "--exit-timeout-secs=5",
            ],
            self._folder,
            environment={
                "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
                "LD_LIBRARY_PATH": f"{Path(pytriton.__file__).parents[1] / 'nvidia_pytriton.libs'}:{_LIBPYTHON}",
            },
        )  # fmt: skip
        client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{self._grpc}")
        self._server.until(lambda: _is_ready(client))
        client.close()

    def _lay_down(self, number: str, version: str) -> None:
        (self._models / number).mkdir()
        text = f"{inspect.getsource(work)}\n{_MODEL.replace('{version!r}', repr(version))}"
        (self._models / number / "model.py").write_text(text)

    def caller(self, way: str) -> Call:
        if way == "HTTP":
            http = tritonclient.http.InferenceServerClient(f"127.0.0.1:{self._http}")
            return self._by_value(http, tritonclient.http)
        grpc = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{self._grpc}")
        if way == "gRPC":
            return self._by_value(grpc, tritonclient.grpc)
        return self._by_shared_memory(grpc)

    def _by_value(self, client: Any, protocol: Any) -> Call:
        def call(picture: np.ndarray, guide: np.ndarray) -> Any:
            inputs = []
            for name, array in (("PICTURE", picture), ("GUIDE", guide)):
                one = protocol.InferInput(name, list(array.shape), "UINT8")
                one.set_data_from_numpy(array)
                inputs.append(one)
            return _answer(client.infer("work", inputs))

        return call

    def _by_shared_memory(self, client: Any) -> Call:
        """A region for each role, written anew for each call; one for both roles where they are one picture."""
        regions: dict[tuple[int, str], tuple[str, Any]] = {}

        def region(role: str, array: np.ndarray) -> str:
            key = (array.nbytes, role)
            if key not in regions:
                name = f"peers-{self._grpc}-{next(_NUMBERS)}"
                handle = shared_memory.create_shared_memory_region(name, f"/{name}", array.nbytes)
                self._closing.append(lambda: shared_memory.destroy_shared_memory_region(handle))
                client.register_system_shared_memory(name, f"/{name}", array.nbytes)
                regions[key] = name, handle
            name, handle = regions[key]
            shared_memory.set_shared_memory_region(handle, [array])
            return name

        def call(picture: np.ndarray, guide: np.ndarray) -> Any:
            places = {"PICTURE": region("picture", picture)}
            places["GUIDE"] = places["PICTURE"] if guide is picture else region("guide", guide)
            inputs = []
            for name, place in places.items():
                one = tritonclient.grpc.InferInput(name, list(picture.shape), "UINT8")
                one.set_shared_memory(place, picture.nbytes)
                inputs.append(one)
            return _answer(client.infer("work", inputs))

        return call

    def switch(self, version: str) -> None:
        """Lay the next folder down and load the model again: the policy "latest" takes the highest number."""
        newest = max(int(path.name) for path in self._models.iterdir() if path.is_dir())
        self._lay_down(str(newest + 1), version)
        with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{self._grpc}") as client:
            client.load_model("work")

    def versions(self) -> str:
        with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{self._grpc}") as client:
            server = client.get_server_metadata().version
        return f"Triton {server} ({releases('nvidia-pytriton', 'tritonclient', 'numpy')})"

    def stop(self) -> None:
        self._server.stop()
        while self._closing:
            self._closing.pop()()


def _is_ready(client: Any) -> bool:
    try:
        return bool(client.is_model_ready("work"))
    except tritonclient.grpc.InferenceServerException:
        return False


def _answer(result: Any) -> Any:
    return json.loads(result.as_numpy("ANSWER")[0])
