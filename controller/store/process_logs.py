"""`logs/algorithms/<deployment>/`: what processes wrote. Each log is bounded by its shim, their number here."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from controller.store.layout import StoreLayout

KEPT = 6
"""Log files of removed versions that each deployment keeps: the last words of the last few."""


def prune(layout: StoreLayout, versions: Collection[str]) -> None:
    """Remove the logs of versions that are not installed, but for the newest few of each deployment.

    What cannot be removed stays: a log is no reason for an act to fail.
    """
    with suppress(OSError):
        for folder in (layout.logs / "algorithms").iterdir():
            with suppress(OSError):
                gone = [path for path in folder.iterdir() if _version(path) not in versions]
                for path in sorted(gone, key=lambda each: each.stat().st_mtime_ns, reverse=True)[KEPT:]:
                    path.unlink()


def _version(path: Path) -> str:
    """Return the version of `<version>-<replica>[.shadow].log`, or of an older generation of it."""
    return path.name.rpartition(".log")[0].rpartition("-")[0]
