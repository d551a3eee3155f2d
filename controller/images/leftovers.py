"""Images that clients shared in `run/images` and could not delete, because they were killed."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from controller.client.slots import PREFIX


def sweep_images(folder: Path) -> int:
    """Delete the images of clients that are gone; return how many. A living client holds a lock on each of its own."""
    swept = 0
    with suppress(FileNotFoundError):  # no folder yet, so no images
        for path in folder.glob(f"{PREFIX}*"):
            with suppress(OSError):  # its client has just deleted it, or still holds it
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                    swept += 1
                finally:
                    os.close(descriptor)
    return swept
