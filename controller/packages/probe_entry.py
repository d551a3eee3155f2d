"""Runs inside a package's environment and proves its entry point. Started by `probe.py`, never imported.

Standard library only, any Python since 3.8. As little as possible is imported before the package's own folders are on
the path, so that what shadows a standard module there shadows it here as in the real adapter.

usage: probe_entry.py VERDICT_FD MODULE:CLASS

Lines of Python literals go to VERDICT_FD: `("stage", text)` before each step, and at last `("ok", facts)` or
`("failed", message)`. Whatever else the algorithm prints goes where it wants.
"""

# ruff: noqa: PTH109, PTH118, PLC0415, BLE001, SLF001
# (few imports, and late ones, see above; and whatever an algorithm raises is an answer)

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def tell(descriptor: int, kind: str, value: object) -> None:
    data = (ascii((kind, value)) + "\n").encode("ascii")
    while data:
        data = data[os.write(descriptor, data) :]


def words_of(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def callable_without_arguments(function: Callable[..., object]) -> bool:
    import inspect

    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def read_an_image(module: ModuleType) -> None:
    """Do what the first call does, so that its imports are done and their bytecode is written."""
    import numpy

    folder = os.environ["PROC_SHM_DIR"]
    numpy.save(os.path.join(folder, "proof.npy"), numpy.zeros((8, 8, 3), numpy.uint8))
    module.read_image_from_shared_memory("proof", {"width": 8, "height": 8, "color_space": "RGB"})


def prove(descriptor: int, entry_point: str) -> object:
    tell(descriptor, "stage", "importing the SDK")
    import importlib

    import procvision_algorithm_sdk  # type: ignore[import-untyped]
    import procvision_algorithm_sdk.adapter.__main__ as adapter  # type: ignore[import-untyped]

    read_an_image(procvision_algorithm_sdk)
    facts = {"sdk_version": adapter._get_sdk_version(), "supported_pids": None}

    tell(descriptor, "stage", "importing " + entry_point)
    module_name, _, class_name = entry_point.partition(":")
    algorithm = getattr(importlib.import_module(module_name), class_name)
    if not (isinstance(algorithm, type) and issubclass(algorithm, procvision_algorithm_sdk.BaseAlgorithm)):
        tell(descriptor, "failed", f"{entry_point} is not a subclass of the SDK's BaseAlgorithm")
        return None

    tell(descriptor, "stage", "creating " + class_name)
    instance = algorithm()
    setup = getattr(instance, "setup", None)
    if callable(setup) and callable_without_arguments(setup):
        tell(descriptor, "stage", "running setup()")
        setup()
    get_info = getattr(instance, "get_info", None)
    if callable(get_info) and callable_without_arguments(get_info):
        tell(descriptor, "stage", "running get_info()")
        info = get_info()
        if not isinstance(info, dict):
            tell(descriptor, "failed", f"get_info() returned {type(info).__name__}, not a dict")
            return None
        if info.get("supported_pids") is not None:
            facts["supported_pids"] = [str(pid) for pid in info["supported_pids"]]
    tell(descriptor, "ok", facts)
    return instance


def main() -> None:
    descriptor, entry_point = int(sys.argv[1]), sys.argv[2]
    os.set_inheritable(descriptor, False)
    sys.path[0] = os.getcwd()
    sys.argv = [sys.argv[0]]
    try:
        instance = prove(descriptor, entry_point)
    except SystemExit as error:
        tell(descriptor, "failed", f"it called sys.exit({error.code!r})")
        instance = None
    except BaseException as error:
        tell(descriptor, "failed", words_of(error))
        import traceback

        traceback.print_exc()
        instance = None
    teardown = getattr(instance, "teardown", None)
    if callable(teardown):
        try:
            teardown()
        except BaseException as error:  # the proof is made; the SDK ignores it too
            sys.stderr.write("teardown: " + words_of(error) + "\n")
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception as error:  # the algorithm may have closed or replaced it
            os.write(2, words_of(error).encode("utf-8", "replace"))
    os._exit(0)  # threads that the algorithm left must not keep it


main()
