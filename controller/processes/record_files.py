"""The records of processes as files and raw documents: imports next to nothing, so that `pvctl status` answers at once.

`run/<token>.json`, one per process, is written by its shim; `records.py` knows what stands in it, as types. A token
names the store (by its `run` folder's device and inode, so that a copy of a store claims nobody's processes) and, by
its random part, the process.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from controller.host.identity import ProcessIdentity, is_same

_ASIDE = "images"
"""Below `run`: where a shim writes its record when the disk is full."""
_NAME = re.compile(r"([0-9a-f]+-[0-9a-f]+-[0-9a-f]{12})\.(json|json\.tmp|sock)")


def token_prefix(run: Path) -> str:
    """Return how the tokens of a store begin. Raises OSError where the folder is not there."""
    status = run.stat()
    return f"{status.st_dev:x}-{status.st_ino:x}-"


def files(run: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files in `run` that belong to processes, of this store or one it was copied from, and their tokens.

    First those for which only the memory beside the images had room: they are newer. What others put there is none.
    """
    if not run.is_dir():
        return
    owner = run.stat().st_uid
    for folder in (run / _ASIDE, run):
        names = sorted(os.listdir(folder)) if folder.is_dir() else ()  # noqa: PTH208 - as names
        for name in names:
            if match := _NAME.fullmatch(name):
                path = folder / name
                if folder is run or _owned(path, owner):
                    yield path, match[1]


def _owned(path: Path, owner: int) -> bool:
    try:
        status = path.lstat()
    except OSError:  # it was removed meanwhile
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == owner


def documents(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the content of this store's records. What is torn or garbage is none, and left to the sweep."""
    prefix, seen = token_prefix(run) if run.is_dir() else "", set()
    for path, token in files(run):
        if path.suffix != ".json" or not token.startswith(prefix) or token in seen:
            continue
        try:
            document = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(document, dict) and document.get("token") == token:
            seen.add(token)
            yield document


def serving(run: Path) -> Iterator[tuple[str, str, str, int, bool]]:
    """Yield (deployment, name, version, replica, shadow) of each process of the store that was proven and runs."""
    for document in documents(run):
        try:
            key = document["about"]["spec"]["key"]
            slot = str(key["deployment"]), str(key["name"]), str(key["version"]), int(key["replica"])
            shadow = key.get("shadow") is True
            if _serves(document):
                yield (*slot, shadow)
        except (TypeError, KeyError, ValueError):  # not a record
            continue


def _serves(document: dict[str, Any]) -> bool:
    if document["exit"] is not None or not document["about"]["ready"]:
        return False
    return all(is_same(ProcessIdentity.from_document(document[who])) for who in ("holder", "adapter"))
