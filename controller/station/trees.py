"""The desired tree that a caller names, against the one that the running daemon keeps.

A daemon reads one tree. Whoever asks it to reconcile, or asks what it would do, while having another tree in mind would
be told "converged" about a tree that nobody looked at.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from controller.errors import OtherTree
from controller.station.commands.reconciling import DesiredTree
from controller.station.port import TreeUse


class NamedTree(NamedTuple):
    """The tree of a command line; `given` where somebody named it, by option or environment."""

    path: Path
    given: bool = True


def tree_at(path: Path) -> DesiredTree:
    """Return a tree with what tells it from others, by whatever name: links, relative paths and mounts are one tree."""
    real = path.resolve()
    try:
        status = real.stat()
    except OSError:  # not there now, or not ours to see: its name has to do
        return DesiredTree(str(real))
    return DesiredTree(str(real), status.st_dev, status.st_ino)


def followed(named: NamedTree, theirs: DesiredTree, use: TreeUse, store: Path) -> Path:
    """Return the path of the tree that a command is about: the daemon's, by the caller's name for it where it has one.

    A default that nobody named and that is not there is no other tree. One that is there counts for a command that
    reads it.

    Raises:
        OtherTree: it is another one.
    """
    ours = tree_at(named.path)
    if _is_same(ours, theirs):
        return named.path
    if not named.given and (use < TreeUse.read or not ours.inode):
        return Path(theirs.path)
    what = "--desired" if named.given else "the default of --desired here"
    raise OtherTree(
        f"the daemon of {store} keeps {theirs.path} as desired, and {what} is another tree: {ours.path}; "
        "nothing was done",
        next_step=f"say --desired {theirs.path}, or bring the change to where the daemon reads it; "
        "`pvctl validate` checks any tree, `pvctl plan --proposal` shows what one would change",
    )


def _is_same(ours: DesiredTree, theirs: DesiredTree) -> bool:
    if ours.inode and theirs.inode:
        return (ours.device, ours.inode) == (theirs.device, theirs.inode)
    return ours.path == theirs.path
