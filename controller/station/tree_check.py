"""Whether a desired tree still says what is in force, for a reader without a controller."""

from __future__ import annotations

from pathlib import Path

from controller.errors import DesiredStateError
from controller.host.clock import utc_now
from controller.reconciler.revisions import load_desired
from controller.sources.folder import FolderSource
from controller.store.layout import StoreLayout
from controller.store.store import Store


def check_tree(layout: StoreLayout, tree: str) -> tuple[tuple[str, ...], bool]:
    """Return what is wrong with a tree, and whether it is a valid one that differs from the revision in force.

    Raises:
        StoreError: the revision in force cannot be read.
    """
    store = Store.at(layout, utc_now)
    try:
        desired = load_desired(FolderSource(Path(tree)), store)
    except DesiredStateError as error:
        return error.problems, False
    in_force, revision = store.revision.read(), desired.revision
    if desired.problems or in_force is None:
        return desired.problems, not desired.problems
    # When it was read and by which path are no differences.
    return (), revision.model_copy(update={"loaded_at": in_force.loaded_at, "source": in_force.source}) != in_force
