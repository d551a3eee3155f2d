"""What interrupted work leaves: folders in the staging folder, and the processes that work in them.

Such a process carries the folder's path in its environment, and is found by it: so a child that left its process group,
or outlived a killed controller, is ended, and never a stranger.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.errors import StoreError
from controller.host.conditions import host_error, is_shortage
from controller.host.environment import STAGING_VARIABLE
from controller.host.identity import kill_processes
from controller.packages.durability import discard_torn_cache
from controller.store.layout import StoreLayout


def mark(folder: Path) -> dict[str, str]:
    """Return what the environment of a process that works in `folder` has to hold."""
    return {STAGING_VARIABLE: str(folder)}


def end_work(staging: Path) -> None:
    """End every process that works in a folder below `staging`, by whatever name the store is called there."""
    place = staging.resolve()
    kill_processes(STAGING_VARIABLE, "", lambda marked: Path(marked).resolve().is_relative_to(place))


def end_processes(folder: Path) -> None:
    """End every process that carries the mark of `folder`, and wait for their ends."""
    kill_processes(STAGING_VARIABLE, str(folder), lambda marked: marked == str(folder))


def sweep(layout: StoreLayout) -> tuple[str, ...]:
    """Remove what interrupted work left, and return its paths. Only the store's controller may call it.

    Raises StoreError.
    """
    with disk_errors(layout.root):
        leftovers = sorted(layout.staging.iterdir()) if layout.staging.exists() else []
        for leftover in leftovers:
            end_processes(leftover)
            remove(leftover)
        torn = discard_torn_cache(layout.cache)
    return tuple(str(path) for path in leftovers) + ((str(layout.cache),) if torn else ())


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Raise what the disk of the store at `root` refuses as what it is: a StoreError, or a shortage of the machine."""
    try:
        yield
    except OSError as error:
        if is_shortage(error.errno):
            raise host_error(f"install into {root}", error) from error
        raise StoreError(
            f"cannot write to {error.filename or root}: {error.strerror or error}",
            next_step="check the disk, its free space and permissions",
        ) from error
