"""A disk that fails: the system's own calls on chosen files, made to fail in this process."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def failing_syncs(path: Path, error: int = errno.ENOSPC, *, skip: int = 0) -> Iterator[list[str]]:
    """Let every sync of one file or folder fail, but for the first `skip`; yield what failed."""
    failed: list[str] = []
    syncs = count()

    def failing(sync: Any) -> Any:
        def fails(descriptor: int) -> None:
            where = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            if where == str(path) and next(syncs) >= skip:
                failed.append(where)
                raise OSError(error, os.strerror(error))
            sync(descriptor)

        return fails

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, failing(getattr(os, name)))
        yield failed
