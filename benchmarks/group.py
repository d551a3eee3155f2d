"""A scheduling group of its own for what is measured, as a service with `CPUWeight=`, a container or a pod has one.

Without one, the kernel shares processors between sessions (sched(7), autogroup). Whoever is SCHED_IDLE is so within its
own session only then, and who wakes in another one may wait for the next tick, up to 4 ms.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOTS = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu")


@contextmanager
def own_group() -> Iterator[None]:
    """Run the block, and all that it starts, in a group of its own; say so where that cannot be done."""
    root = next((each for each in _ROOTS if (each / "cgroup.procs").is_file() and _shares_processors(each)), None)
    group = None if root is None else root / f"benchmark-{os.getpid()}"
    try:
        if root is None or group is None:
            raise FileNotFoundError("there is no controller `cpu`")
        group.mkdir()
        _move_to(group)
    except OSError as error:
        print(f"without a scheduling group of its own ({error}): the figures are those of a bare shell")
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):  # what was measured may leave somebody behind
            _move_to(root)
            group.rmdir()


def _shares_processors(root: Path) -> bool:
    """Whether groups below share processors: version 1 of control groups, or 2 with `cpu` handed down."""
    controllers = root / "cgroup.controllers"
    if not controllers.is_file():
        return (root / "cpu.shares").is_file()
    if "cpu" not in controllers.read_text().split():
        return False
    with suppress(OSError):
        (root / "cgroup.subtree_control").write_text("+cpu")
    return "cpu" in (root / "cgroup.subtree_control").read_text().split()


def _move_to(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))
