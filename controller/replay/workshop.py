"""Where a replay works that somebody asked for without a controller: a temporary folder that goes with it.

Who is killed leaves it; the next one removes it, with whatever still runs there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from controller.packages.leftovers import end_work
from controller.processes.census import end_all
from controller.store.layout import StoreLayout

_PREFIX, _OWNED = "pvctl-replay-", ".owned"


@contextmanager
def workshop() -> Iterator[Path]:
    """Yield a folder that is nobody else's; stores may be made in it, below names of their own. Raises OSError."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    owned = os.open(folder / _OWNED, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        _put_away(folder)
        os.close(owned)


def _sweep() -> None:
    """Remove what killed ones left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.lstat().st_uid != os.getuid():
                continue
            owned = os.open(folder / _OWNED, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(owned, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError: its owner lives
                _put_away(folder)
            finally:
                os.close(owned)


def _put_away(folder: Path) -> None:
    for root in folder.iterdir():
        if root.is_dir():
            layout = StoreLayout.at(root)
            with suppress(OSError):
                end_work(layout.staging)
                end_all(layout)
    shutil.rmtree(folder, ignore_errors=True)
