"""How code of a package is executed: the one place for what has to hold for all of it. A sandbox would go here.

Nothing is started here. Who starts code of a package (the proof of its entry point, the shim of an algorithm process)
has pipes and a parent of its own kind; command, folder and environment it takes from here as they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.host.environment import package_environment

_ADAPTER_ENTRY = str(Path(__file__).with_name("adapter_entry.py"))
_ADAPTER = "procvision_algorithm_sdk.adapter"


def adapter_command(python: str) -> list[str]:
    """Return the command line of the SDK's adapter on a package's interpreter; see `adapter_entry.py`.

    What is printed is not held back (`-u`): it is to stand in the log when the algorithm hangs or dies next.
    """
    return [python, "-u", _ADAPTER_ENTRY, _ADAPTER]


@dataclass(frozen=True, slots=True)
class Execution:
    """A command, the folder that it works in, and all of its environment."""

    command: tuple[str, ...]
    folder: str
    environment: Mapping[str, str]


def package_execution(
    command: Sequence[str],
    *,
    root: Path,
    images: Path,
    python_path: Sequence[str],
    mark: Mapping[str, str],
    entry_point: str,
) -> Execution:
    """Return how a command that runs code of the package at `root` is executed; see `package_environment`.

    The folder is named as the kernel names it: PROC_ALGO_ROOT is then the working directory that the algorithm sees,
    also in a store that stands behind a link. PYTHONPATH takes no path with a colon: that is told from the folder on.
    """
    folder = os.path.realpath(root)
    python_path = [os.path.relpath(path, folder) if os.pathsep in path else path for path in python_path]
    return Execution(tuple(command), folder, package_environment(folder, str(images), python_path, mark, entry_point))
