"""Commands in a user namespace of their own, where limits of the kernel hold for nobody else."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

import pytest


@cache
def _possible() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    probe = ["unshare", "-Ur", "sh", "-c", "echo 7 > /proc/sys/user/max_inotify_instances"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def with_inotify(command: list[str], *, instances: int = 128, watches: int = 8192) -> list[str]:
    """Return a command that runs another one where only so much of inotify is to be had; skip where none can be."""
    if not _possible():
        pytest.skip("this machine has no user namespaces of which a test may set the limits")
    limits = {"instances": instances, "watches": watches}
    first = "; ".join(f"echo {most} > /proc/sys/user/max_inotify_{name}" for name, most in limits.items())
    return ["unshare", "-Ur", "sh", "-c", f'{first}; exec "$@"', "sh", *command]
