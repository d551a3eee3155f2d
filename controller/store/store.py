"""One runtime store, opened: every file of it behind the class that may touch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from controller.errors import StoreError
from controller.store.active import ActiveMappings
from controller.store.atomic import make_folders_durably
from controller.store.audit import AuditLog
from controller.store.history import PidHistory
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from controller.store.patch import PatchFile
from controller.store.refused import RefusedRevisions
from controller.store.registry import Registry
from controller.store.revisions import AppliedRevision
from controller.store.rollouts import RolloutFiles
from controller.store.status_file import StatusFile
from controller.store.unrecorded import Unrecorded


@dataclass(frozen=True, slots=True)
class Store:
    """The parts of a store. `now` returns the present as an RFC 3339 timestamp."""

    layout: StoreLayout
    lock: MutationLock
    active: ActiveMappings
    history: PidHistory
    audit: AuditLog
    registry: Registry
    revision: AppliedRevision
    refused: RefusedRevisions
    status: StatusFile
    rollouts: RolloutFiles
    patch: PatchFile
    unrecorded: Unrecorded = field(default_factory=Unrecorded)

    @classmethod
    def at(cls, layout: StoreLayout, now: Callable[[], str]) -> Store:
        """Return the store at a place, whether it exists yet or not; nothing is written."""
        return cls(
            layout, MutationLock(layout), ActiveMappings(layout), PidHistory(layout), AuditLog(layout, now),
            Registry(layout), AppliedRevision(layout), RefusedRevisions(layout, now), StatusFile(layout),
            RolloutFiles(layout), PatchFile(layout),
        )  # fmt: skip

    def create_folders(self) -> None:
        """Make every folder that a store has. Raises StoreError."""
        try:
            make_folders_durably(self.layout.folders)
        except OSError as error:
            raise StoreError(
                f"cannot create the store at {self.layout.root}: {error.strerror}",
                next_step="check --store and its permissions",
            ) from error
