"""What a child process inherits from us, and by which variables our own children are found again.

Ours, without what would bend the child's Python or its packages' installer, and without what is meant for a
controller: its options, its service manager's words, the marks of another process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

TOKEN_VARIABLE = "PVCTL_TOKEN"  # noqa: S105  (the name of a variable, not a secret)
"""In the environment of an algorithm process and all that it starts: which process of which store it is."""
STAGING_VARIABLE = "PVCTL_STAGING"
"""In the environment of whatever works in a staging folder: which folder."""

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20)}
"""Up to 128 MiB of what is freed are used again by the next call, where the C library would give them back and have the
kernel make them anew, page by page: that was most of the time of algorithms that work on copies of their picture.
32 MiB is the largest threshold that every glibc takes; larger arrays are mapped one by one as ever (ADR 42)."""

_BENDS_PYTHON = ("PYTHON", "__PYVENV", "VIRTUAL_ENV", "CONDA", "UV_", "PIP_")
_FOR_A_CONTROLLER = ("PVCTL_", "PROC_", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_")
_NOT_INHERITED = (*_BENDS_PYTHON, *_FOR_A_CONTROLLER)


def clean_environment() -> dict[str, str]:
    """Return what any child process of ours inherits."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}


def package_environment(
    root: str, images: str, python_path: Sequence[str], mark: Mapping[str, str], entry_point: str = ""
) -> dict[str, str]:
    """Return what code of a package has as its environment, in a proof and in an algorithm process alike.

    `root` is the package root (PROC_ALGO_ROOT), `images` the folder of shared images (PROC_SHM_DIR), `mark` by which
    variable the process and all that it starts are found again. `entry_point` is told here (PROC_ENTRY_POINT) and not
    as an argument, because an algorithm may look at its arguments; empty: the adapter reads it from the manifest. Where
    our own environment says something of the C library's allocator, that holds, and nothing is added to it.
    """
    ours = {"PROC_ENV": "prod", "PROC_ALGO_ROOT": root, "PROC_SHM_DIR": images}
    if entry_point:
        ours["PROC_ENTRY_POINT"] = entry_point
    path = {"PYTHONPATH": os.pathsep.join(python_path)} if python_path else {}
    inherited = clean_environment()
    return _allocator(inherited) | inherited | path | ours | dict(mark)


def _allocator(inherited: Mapping[str, str]) -> dict[str, str]:
    told = any(name.startswith("MALLOC_") for name in inherited)
    return {} if told or "glibc.malloc" in inherited.get("GLIBC_TUNABLES", "") else ALLOCATOR
