"""Algorithms for tests, benchmarks and examples, in words that fit both SDK generations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from examples.packing.tools import Generation


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An algorithm in words that fit both SDK generations.

    `top` stands at module level, `setup` in `__init__` (0.3) or `setup()` (0.0), `body` in `execute`, where `image` is
    the array, `params` the first dict of guide_info or the user_params, and `ok(**debug)`, `ng(reason)` and
    `error(message)` build results. `info` overrides keys of what a 0.0 package's `get_info()` returns.
    """

    body: str = "return ok()"
    setup: str = "pass"
    top: str = ""
    info: Mapping[str, Any] | None = None

    def source(self, generation: Generation, class_name: str, pids: Sequence[str] | None) -> str:
        if generation == "0.3":
            methods = _METHODS_03.format(setup=_indent(self.setup), body=_indent(self.body))
        else:
            info = {"supported_pids": list(pids or ()), "steps": [], **(self.info or {})}
            methods = _METHODS_00.format(info=info, setup=_indent(self.setup), body=_indent(self.body))
        return f"{_PREAMBLE}\n{self.top}\n\n\nclass {class_name}(BaseAlgorithm):\n{methods}"


def _indent(code: str) -> str:
    return "\n".join(" " * 8 + line for line in code.splitlines())


_PREAMBLE = """
import os, sys, time
from procvision_algorithm_sdk import BaseAlgorithm, read_image_from_shared_memory


def ok(**debug):
    return {"status": "OK", "data": {"result_status": "OK", "defect_rects": [], "debug": debug}}


def ng(reason):
    return {"status": "OK", "data": {"result_status": "NG", "ng_reason": reason, "defect_rects": []}}


def error(message):
    return {"status": "ERROR", "message": message}


def first_dict(guide_info):
    if isinstance(guide_info, dict):
        return guide_info
    return next((item for item in guide_info or [] if isinstance(item, dict)), {})
"""
_METHODS_03 = """
    def __init__(self):
        super().__init__()
{setup}

    def execute(self, step_index, step_desc, cur_image, guide_image, guide_info):
        image, params = cur_image, first_dict(guide_info)
{body}
"""
_METHODS_00 = """
    def setup(self):
{setup}

    def get_info(self):
        return {info!r}

    def pre_execute(self, step_index, pid, session, user_params, shared_mem_id, image_meta):
        return {{"status": "OK", "message": "ready"}}

    def execute(self, step_index, pid, session, user_params, shared_mem_id, image_meta):
        image, params = read_image_from_shared_memory(shared_mem_id, image_meta), user_params
{body}
"""

OK = Algorithm()
BRIGHTNESS = Algorithm(
    body="mean = float(image.mean())\nreturn ok(mean=mean) if mean >= params.get('dark_below', 100) else ng('too dark')"
)
"""NG where the image's mean is below `dark_below` (100 by default)."""
ECHO = Algorithm(
    body="return ok(mean=float(image.mean()), shape=list(image.shape), first=[int(v) for v in image[0, 0]],\n"
    "          os_pid=os.getpid(), params=params)"
)
"""Returns what the image that arrived looks like: mean, shape, first pixel, and the process that saw it."""
ERROR = Algorithm(body="return error(params.get('message', 'lamp is off'))")
RAISES = Algorithm(body="raise ValueError('no focus')")
CRASHES = Algorithm(body="os._exit(int(params.get('exit', 3))) if params.get('crash', True) else None\nreturn ok()")
"""Dies in execute, unless called with `crash: false`."""
SLEEPS = Algorithm(body="time.sleep(float(params.get('seconds', 0)))\nreturn ok(os_pid=os.getpid())")
"""Takes `seconds` in execute."""
PRINTS = Algorithm(top="print('hello from import')", setup="print('hello from set-up')", body="print('x')\nreturn ok()")
IMPORT_RAISES = Algorithm(top="raise RuntimeError('model file model.onnx is damaged')")
IMPORT_EXITS = Algorithm(top="print('licence expired')\nsys.exit(0)")
IMPORT_DIES = Algorithm(top="sys.stderr.write('last words\\n'); sys.stderr.flush(); os._exit(0)")
SETUP_RAISES = Algorithm(setup="raise RuntimeError('no such camera: cam-7')")
SETUP_HANGS = Algorithm(
    setup="import subprocess\nsubprocess.Popen(['sleep', '613'])\nprint('loading', flush=True)\ntime.sleep(613)"
)
"""Hangs in set-up, with a child process that would survive it."""
SERVED = "'.staging' not in os.getcwd()"
"""True where an algorithm serves, false in its proof: for what passes the proof and fails later."""
NEVER_READY = Algorithm(top=f"if {SERVED}: time.sleep(613)")
NOT_AN_ALGORITHM = Algorithm(top="BaseAlgorithm = object")
SHADOWS_STDOUT = Algorithm(top="os.write(1, b'not a frame, just text on the wire\\n' * 50)")
"""Writes past Python's stdout at import: breaks the frames of 0.0, is diverted by 0.3."""
SPAWNS = Algorithm(
    setup="import multiprocessing\nwith multiprocessing.get_context('spawn').Pool(1) as pool:\n"
    "    assert pool.map(abs, [-1]) == [1]"
)
"""Loads with the help of a spawned process, which imports `__main__` again."""
PARSES_ARGUMENTS = Algorithm(top="import argparse\nargparse.ArgumentParser().parse_args()")
"""Parses the arguments at import, as a script that became a module does; any argument ends it."""
