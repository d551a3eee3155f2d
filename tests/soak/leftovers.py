"""What a station holds while it is idle, and what is left of it in the end: descriptors, processes, files."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path


def descriptors(os_pid: int) -> Counter[str]:
    """Return how many descriptors a process has, by what they are: `socket`, `pipe`, `anon_inode:[eventfd]`, a path."""
    found: Counter[str] = Counter()
    folder = Path(f"/proc/{os_pid}/fd")
    for link in folder.iterdir():
        try:
            found[re.sub(r":\[\d+\]", "", str(link.readlink()))] += 1
        except FileNotFoundError:  # closed since the folder was listed
            continue
    return found


def resident_bytes(os_pid: int) -> int:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{os_pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def image_files(store: Path) -> list[str]:
    """Return the names of the files in a store's `run/images`."""
    folder = store / "run" / "images"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
