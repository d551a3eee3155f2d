"""The real adapter inside a package's environment, with a watch on what the algorithm does. Started by `probe.py`.

Standard library only, any Python since 3.8. It makes itself what `python -m procvision_algorithm_sdk.adapter` is: the
same `__main__`, no arguments, the same folder on the path, frames on stdin and stdout. So whatever an algorithm does
while it is loaded (processes that it spawns, arguments that it parses, modules that it shadows) does the same here as
in a start. As little as possible is imported before.

usage: PROC_ENTRY_POINT=MODULE:CLASS probe_entry.py VERDICT_FD

Lines of Python literals go to VERDICT_FD: `("stage", text)` before each step, `("traceback", text)` where one failed,
and at last `("ok", what get_info() says)` or `("failed", message)`.
"""

# ruff: noqa: PTH109, PTH118, PLC0415, BLE001
# (few imports, and late ones, see above; and whatever an algorithm raises is an answer)

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

SDK = "procvision_algorithm_sdk"
MOST_TRACEBACK = 16384
MOST_WORDS = 2000


class RefusedError(Exception):
    """What loaded is of no use; the message says why."""


class Watched:
    """An algorithm of which the adapter itself runs `setup()`: here what it swallows is told."""

    def __init__(self, algorithm: Any, settle: Callable[[], None]) -> None:
        self._algorithm = algorithm
        self.setup = settle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._algorithm, name)


class Proof:
    """Loads the algorithm for the adapter, and tells of each step."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._told = False

    def tell(self, kind: str, value: object) -> None:
        data = (ascii((kind, value)) + "\n").encode("ascii")
        while data:
            data = data[os.write(self._descriptor, data) :]

    def stage(self, text: str) -> None:
        self.tell("stage", text)

    def fail(self, error: BaseException) -> None:
        """Tell once what went wrong; what the adapter makes of it comes after."""
        if not self._told:
            self._told = True
            self.tell("traceback", traceback_of(error))
            self.tell("failed", words_of(error))

    def load(self, entry_point: str, *, adapter_runs_setup: bool) -> Any:
        """Return the algorithm, as the adapter's own function does."""
        try:
            algorithm = self._create(entry_point)
            if adapter_runs_setup:
                return Watched(algorithm, lambda: self._settle(algorithm))
            self._settle(algorithm)
        except BaseException as error:
            self.fail(error)
            raise
        return algorithm

    def _create(self, entry_point: str) -> Any:
        import importlib

        self.stage("importing " + entry_point)
        module_name, _, class_name = entry_point.partition(":")
        algorithm = getattr(importlib.import_module(module_name), class_name)
        if not (isinstance(algorithm, type) and issubclass(algorithm, sys.modules[SDK].BaseAlgorithm)):
            raise RefusedError(entry_point + " is not a subclass of the SDK's BaseAlgorithm")
        self.stage("creating " + class_name)
        return algorithm()

    def _settle(self, algorithm: Any) -> None:
        try:
            setup = getattr(algorithm, "setup", None)
            if callable(setup) and callable_without_arguments(setup):
                self.stage("running setup()")
                setup()
            get_info, facts = getattr(algorithm, "get_info", None), {}
            if callable(get_info) and callable_without_arguments(get_info):
                self.stage("running get_info()")
                facts = facts_of(get_info())
            self.stage("reading an image")
            read_an_image(sys.modules[SDK])
            self.stage("answering the first ping")
            self.tell("ok", facts)
        except BaseException as error:
            self.fail(error)
            raise


def words_of(error: BaseException) -> str:
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error, SystemExit):
        return "it called sys.exit(" + repr(error.code) + ")"
    text = str(error)[:MOST_WORDS]
    return type(error).__name__ + ": " + text if text else type(error).__name__


def traceback_of(error: BaseException) -> str:
    """Return the traceback as Python prints it, from the algorithm's first frame on."""
    import traceback

    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename in (__file__, *importers()):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))[:MOST_TRACEBACK]


def importers() -> tuple[str, ...]:
    import importlib

    return "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>", str(importlib.__file__)


def callable_without_arguments(function: Callable[..., object]) -> bool:
    import inspect

    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def facts_of(info: Any) -> dict[str, Any]:
    """Return what get_info() says that the manifest says too; None for what it does not say."""
    if not isinstance(info, dict):
        raise RefusedError("get_info() returned " + type(info).__name__ + ", not a dict")
    for key in ("supported_pids", "steps"):
        if info.get(key) is not None and not isinstance(info[key], (list, tuple)):
            raise RefusedError("get_info() says " + key + " as " + type(info[key]).__name__ + ", not as a list")
    told = {key: None if info.get(key) is None else str(info[key]) for key in ("name", "version")}
    pids = info.get("supported_pids")
    return {**told, "supported_pids": None if pids is None else [str(pid) for pid in pids]}


def read_an_image(module: ModuleType) -> None:
    """Do what the first call does, so that its imports are done and their bytecode is written."""
    import numpy

    folder = os.environ["PROC_SHM_DIR"]
    numpy.save(os.path.join(folder, "proof.npy"), numpy.zeros((8, 8, 3), numpy.uint8))
    module.read_image_from_shared_memory("proof", {"width": 8, "height": 8, "color_space": "RGB"})


def adapter_spec() -> ModuleSpec | None:
    """Return what `python -m` would run; None where the SDK has no adapter."""
    from importlib.util import find_spec

    spec = find_spec(SDK + ".adapter")
    return find_spec(spec.name + ".__main__") if spec and spec.submodule_search_locations is not None else spec


def become(spec: ModuleSpec) -> ModuleType:
    """Make the adapter's module `__main__`, as `python -m` does, but for the call of its main()."""
    from types import ModuleType

    sys.argv = [str(spec.origin)]
    module = ModuleType("__main__")
    vars(module).update(
        __name__=spec.name, __spec__=spec, __file__=spec.origin, __package__=spec.parent, __loader__=spec.loader
    )
    sys.modules["__main__"] = module
    exec(spec.loader.get_code(spec.name), vars(module))  # type: ignore[union-attr]  # noqa: S102
    vars(module)["__name__"] = "__main__"
    return module


def prove(proof: Proof) -> None:
    proof.stage("importing the SDK")
    spec = adapter_spec()
    if spec is None:
        raise RefusedError("the SDK that was installed has no adapter")
    adapter: Any = become(spec)
    if hasattr(adapter, "_import_entry"):  # an SDK that has none is only asked for a pong
        runs_setup = "setup" in adapter.main.__code__.co_names
        adapter._import_entry = lambda entry: proof.load(entry, adapter_runs_setup=runs_setup)  # noqa: SLF001
    adapter.main()


def main() -> None:
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)
    sys.path[0] = os.getcwd()
    proof = Proof(descriptor)
    try:
        prove(proof)
    except BaseException as error:
        proof.fail(error)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception as error:  # the algorithm may have closed or replaced it
            os.write(2, words_of(error).encode("utf-8", "replace"))
    os._exit(0)  # threads that the algorithm left must not keep it


main()
