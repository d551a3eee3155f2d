"""The revision in force: taken from its source as a whole where it is valid, else the last valid one goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from controller.errors import DesiredStateError, StoreError
from controller.model.desired import Revision
from controller.reconciler.ports import Source
from controller.sources.quiescing import QuiescingTree
from controller.store.store import Store

log = logging.getLogger(__name__)

_EMPTY_TREE = (
    "the desired tree has no deployments, but some are in force: nothing was removed; "
    "if everything is really to be removed, say --allow-empty"
)


@dataclass(frozen=True, slots=True)
class Desired:
    """The revision in force and, where a newer one was refused, everything that is wrong with that one.

    `fingerprint` is the source's as it was read last.
    """

    revision: Revision
    problems: tuple[str, ...] = ()
    fingerprint: str = ""
    unwritten: bool = False
    """Whether the newer one is valid, but the disk did not take it: it is tried again."""


class RevisionTaker:
    """Takes a new revision when the desired tree has changed and is quiet, and remembers what is in force."""

    def __init__(self, source: Source, store: Store, tree: QuiescingTree, being_written: Callable[[], bool]) -> None:
        self._source = source
        self._store = store
        self._tree = tree
        self._being_written = being_written
        self._desired: Desired | None = None
        self._allow_empty = False

    def read_again(self, *, allow_empty: bool = False) -> None:
        """Read the tree at the next look whether it has changed or not."""
        self._allow_empty = allow_empty
        self._tree.read_again()

    def take(self) -> tuple[Desired | None, bool]:
        """Return what is in force, and whether the tree is still changing.

        Raises DesiredStateError where no revision, new or old, is valid.
        """
        verdict = self._tree.look(being_written=self._being_written())
        if verdict == "quiet":
            try:
                desired = take_revision(
                    self._source, self._store, allow_empty=self._allow_empty, where=str(self._tree.folder)
                )
            except DesiredStateError as error:
                self._allow_empty = False
                _tell_refusal(error.problems, None)
                raise
            self._tell(desired)
            self._desired = desired
            if desired.unwritten:
                self._tree.read_again()
            else:
                self._allow_empty = False
        return self._desired, verdict == "changing"

    def _tell(self, desired: Desired) -> None:
        """Say what was read, where it is news."""
        revision = desired.revision
        if desired == self._desired:
            return
        if desired.problems:
            _tell_refusal(desired.problems, revision)
        elif self._desired is None or self._desired.problems or self._desired.revision.id != revision.id:
            what = f"{len(revision.deployments)} deployments, {len(revision.by_pid)} PIDs"
            words = ("revision %s is in force: %s from %s", revision.id, what, revision.source)
            log.info(*words, extra={"revision": revision.id})


def _tell_refusal(problems: tuple[str, ...], in_force: Revision | None) -> None:
    """Say in one line that a tree was refused."""
    more = f" (and {len(problems) - 1} more; `pvctl validate` lists them)" if len(problems) > 1 else ""
    goes_on = f"revision {in_force.id} of {in_force.loaded_at} stays in force" if in_force else "none is in force"
    about = {"revision": in_force.id if in_force else None}
    log.error("the desired tree is refused: %s%s; %s", problems[0], more, goes_on, extra=about)


def load_desired(source: Source, store: Store, *, allow_empty: bool = False) -> Desired:
    """Return the source's revision where it may be taken, else the last valid one with the problems of the newer.

    Reads only. Raises DesiredStateError where there is no earlier one to keep to.
    """
    in_force, fingerprint = store.revision.read(), source.fingerprint()
    try:
        revision = source.load()
        some_in_force = bool(in_force.deployments) if in_force is not None else store.revision.there
        if some_in_force and not revision.deployments and not allow_empty:
            raise DesiredStateError((f"{revision.source}: {_EMPTY_TREE}",))
    except DesiredStateError as error:
        if in_force is None:
            raise
        return Desired(in_force, error.problems, fingerprint)
    if in_force is not None and in_force.model_copy(update={"loaded_at": revision.loaded_at}) == revision:
        return Desired(in_force, (), fingerprint)
    return Desired(revision, (), fingerprint)


def take_revision(source: Source, store: Store, *, allow_empty: bool = False, where: str = "") -> Desired:
    """Put the source's revision in force where it may be taken, and return what is in force now.

    One that is refused is remembered; `where` says where it is. One that cannot be written down is not taken: the last
    one stays in force, and only where there is none to go on with, the new one is.

    Raises DesiredStateError where no revision, new or old, is valid.
    """
    try:
        desired = load_desired(source, store, allow_empty=allow_empty)
    except DesiredStateError as error:
        store.refused.note(where, error.problems)
        raise
    if desired.problems:
        store.refused.note(where, desired.problems)
        return desired
    try:
        store.revision.write(desired.revision)
    except StoreError as error:
        problem = f"revision {desired.revision.id} cannot be put in force: {error}"
        in_force = store.revision.read() or desired.revision
        return Desired(in_force, (problem,), desired.fingerprint, unwritten=True)
    return desired
