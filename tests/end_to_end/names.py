"""The names that the files of a store are made of: keys, and words that stand for a state or an act.

`names_on_disk.txt` lists those of the release that `released.py` builds. Whoever renames in the code must leave them as
they are: a file that an earlier controller wrote, or one that it will read after a way back, knows no other. One name
is left out: `metadata.annotations` of the revision in force, which that release does not miss and nothing ever read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

FILES = (
    "active/*.json", "algorithms/deployed/*/*/receipt.json", "history/*.jsonl", "logs/audit.jsonl",
    "logs/controller.log", "registry.json", "revisions/current.json", "rollouts/.holds.json", "rollouts/.tallies.json",
    "rollouts/[!.]*.json", "run/*.json", "run/controller.lock", "status.json",
)  # fmt: skip
WORDS = {"action", "generation", "kind", "metric", "onInconclusive", "on_inconclusive", "outcome", "phase", "role",
         "state", "type"}  # fmt: skip
"""Keys whose values are words of the format too; of a sentence, the part before its colon."""
KEPT = Path(__file__).with_name("names_on_disk.txt")


def kept_names() -> set[str]:
    """Return the names that must be in a store."""
    return set(KEPT.read_text(encoding="utf-8").splitlines())


def names_in(store: Path, data: Collection[str]) -> set[str]:
    """Return the names in a store's files as lines, such as `active/*.json version`; keys in `data` count as `*`."""
    return {
        f"{pattern.replace('[!.]', '')} {name}"
        for pattern in FILES
        for path in store.glob(pattern)
        for document in _documents(path)
        for name in _names(document, data)
    }


def _documents(path: Path) -> Iterator[Any]:
    text = path.read_text(encoding="utf-8")
    for each in text.splitlines() if path.suffix in {".jsonl", ".log"} else [text]:
        yield json.loads(each)


def _names(document: Any, data: Collection[str], place: str = "") -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            name = "*" if key in data else key
            yield from _names(value, data, f"{place}.{name}" if place else name)
            if key in WORDS and isinstance(value, str) and value:
                yield f"{place}.{name}={value.partition(':')[0]}".removeprefix(".")
    elif isinstance(document, list):
        for value in document:
            yield from _names(value, data, f"{place}[]")
    if place:
        yield place
