"""A store in memory, for thousands of histories; and a tap on a store's writes.

Each part takes the place of the public methods of the real one, whose signatures mypy holds it to. A method that a part
does not have is the real one, and fails: there is no file behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controller.errors import StoreError
from controller.model.desired import Revision
from controller.model.observed import ActiveMapping, BrokenMapping, HistoryEntry
from controller.model.package import PackageRecord, PackageRef
from controller.model.rollout import Hold, Memory, RolloutRecord
from controller.model.status_document import AuditRow, StatusDocument
from controller.store.active import ActiveMappings
from controller.store.audit import AuditHead, AuditLog, AuditRecord, Verification
from controller.store.history import PidHistory
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from controller.store.patch import PatchFile
from controller.store.refused import Refusal, RefusedRevisions
from controller.store.registry import Registry
from controller.store.revisions import AppliedRevision
from controller.store.rollout_codec import read_holds, read_record, write_holds, write_record
from controller.store.rollouts import RolloutFiles
from controller.store.status_file import StatusFile
from controller.store.store import Store

MUTATORS = frozenset({"write", "remove", "append", "write_holds"})


@dataclass(frozen=True)
class Receipt:
    """Stands in for the path of a receipt."""

    there: bool

    def is_file(self) -> bool:
        return self.there


class MemoryLayout(StoreLayout):
    """Paths that lead nowhere, but for receipts, which are looked up."""

    def __init__(self, root: Path, installed: Callable[[PackageRef], bool] = lambda _: False) -> None:
        super().__init__(root)
        self.installed = installed

    def receipt(self, ref: PackageRef) -> Any:
        return Receipt(self.installed(ref))


class MemoryLock(MutationLock):
    """Nobody else is there."""

    def __init__(self) -> None: ...

    @contextmanager
    def held(self) -> Iterator[None]:
        yield


class MemoryActive(ActiveMappings):
    """Mappings; `mappings` may be changed by hand."""

    def __init__(self) -> None:
        self.mappings: dict[str, ActiveMapping | BrokenMapping] = {}

    def read(self, pid: str) -> ActiveMapping | BrokenMapping | None:
        return self.mappings.get(pid)

    def read_all(self) -> dict[str, ActiveMapping | BrokenMapping]:
        return dict(self.mappings)

    def write_all(
        self, mappings: Mapping[str, ActiveMapping], validate: Callable[[ActiveMapping], None]
    ) -> dict[str, Exception]:
        failures: dict[str, Exception] = {}
        for pid, mapping in mappings.items():
            try:
                validate(mapping)
                self.mappings[pid] = mapping
            except StoreError as error:
                failures[pid] = error
        return failures

    def remove(self, pid: str) -> None:
        self.mappings.pop(pid, None)

    def sweep(self) -> tuple[str, ...]:
        return ()


class MemoryHistory(PidHistory):
    def __init__(self) -> None:
        self.entries: dict[str, tuple[HistoryEntry, ...]] = {}

    def read(self, pid: str) -> tuple[HistoryEntry, ...]:
        return self.entries.get(pid, ())

    def append(self, pid: str, entry: HistoryEntry) -> None:
        self.entries[pid] = (*self.read(pid), entry)


class MemoryAudit(AuditLog):
    """Records without the hash chain."""

    def __init__(self, now: Callable[[], str]) -> None:
        self.records: list[AuditRow] = []
        self.now = now

    def append(self, *records: AuditRecord) -> AuditHead:
        for record in records:
            row: Any = {name: getattr(record, name) for name in AuditRecord.__slots__} | {"time": self.now()}
            self.records.append(row)
        return self.head()

    def head(self) -> AuditHead:
        return AuditHead(len(self.records), f"hash {len(self.records)}")

    def read(self, last: int | None = None) -> Iterator[AuditRow]:
        return iter(self.records)

    def read_tail(self) -> tuple[AuditRow, ...]:
        return tuple(self.records[-100:])

    def verify(self, noted: AuditHead | None = None) -> Verification:
        return Verification(len(self.records), self.head())


class MemoryRegistry(Registry):
    """Begins empty, which is not lost."""

    def __init__(self) -> None:
        self.records: tuple[PackageRecord, ...] = ()

    def read(self) -> tuple[PackageRecord, ...]:
        return self.records

    def written_at(self) -> int:
        return 0

    def write(self, records: Iterable[PackageRecord]) -> bool:
        before, self.records = (
            self.records, tuple(sorted(records, key=lambda each: (each.name, each.version, each.zip_name or "")))
        )  # fmt: skip
        return before != self.records


class MemoryRevision(AppliedRevision):
    def __init__(self) -> None:
        self.revision: Revision | None = None

    def read(self) -> Revision | None:
        return self.revision

    def write(self, revision: Revision) -> bool:
        before, self.revision = self.revision, revision
        return before != revision


class MemoryRefused(RefusedRevisions):
    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[str, ...]]] = []

    def read(self) -> tuple[Refusal, ...]:
        return tuple(Refusal("", source, problems) for source, problems in reversed(self.told))

    def note(self, source: str, problems: Sequence[str]) -> None:
        self.told.append((source, tuple(problems)))


class MemoryStatus(StatusFile):
    def __init__(self) -> None:
        self.document: StatusDocument | None = None

    @property
    def untouched(self) -> bool:
        return True

    def read(self) -> StatusDocument | None:
        return self.document

    def write(self, document: StatusDocument) -> bool:
        before, self.document = self.document, document
        return before != document


class MemoryPatch(PatchFile):
    """The patch that is offered."""

    def __init__(self) -> None:
        self.offered = ""

    def offer(self, patch: str) -> None:
        self.offered = patch


class MemoryRollouts(RolloutFiles):
    def __init__(self) -> None:
        self.records: dict[str, RolloutRecord] = {}
        self.holds: dict[str, Hold] = {}

    def memory(self) -> Memory:
        return Memory(dict(self.records), dict(self.holds))

    def record(self, deployment: str) -> RolloutRecord:
        return self.records.get(deployment, RolloutRecord())

    def write(self, deployment: str, record: RolloutRecord) -> bool:
        changed = self.records.get(deployment) != record
        self.records[deployment] = record
        return changed

    def read_holds(self) -> dict[str, Hold]:
        return dict(self.holds)

    def keep_copies(self) -> None:
        """Nothing is damaged here."""

    def write_holds(self, holds: Iterable[Hold]) -> bool:
        self.holds = {hold.pid: hold for hold in holds}
        return True

    def pass_through_disk(self) -> None:
        """Turn everything into JSON and back, as a restart does."""
        for name, record in self.records.items():
            self.records[name] = read_record(write_record(record))
            assert self.records[name] == record, f"{name} is read back differently"
        self.holds = {hold.pid: hold for hold in read_holds(write_holds(self.holds.values()))}


class Tapped:
    """A part of a store whose writes are announced before and after they happen."""

    def __init__(self, name: str, part: Any, tap: Callable[[str, str, tuple[Any, ...], bool], None]) -> None:
        self.__dict__.update(_name=name, part=part, _tap=tap)

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "write_all":
            return self._write_all
        if (self._name, attribute) == ("audit", "append"):
            return self._append
        value = getattr(self.part, attribute)
        if attribute not in MUTATORS:
            return value

        def announced(*arguments: Any) -> Any:
            self._tap(self._name, attribute, arguments, False)
            result = value(*arguments)
            self._tap(self._name, attribute, arguments, True)
            return result

        return announced

    # A batch is announced write by write: a controller may be killed between any two of them.

    def _append(self, *records: AuditRecord) -> None:
        for record in records:
            self._tap(self._name, "append", (record,), False)
            self.part.append(record)
            self._tap(self._name, "append", (record,), True)

    def _write_all(self, mappings: Mapping[str, ActiveMapping], validate: Any) -> dict[str, Exception]:
        failures: dict[str, Exception] = {}
        for pid, mapping in mappings.items():
            self._tap(self._name, "write", (pid, mapping), False)
            failed = self.part.write_all({pid: mapping}, validate)
            failures |= failed
            if not failed:
                self._tap(self._name, "write", (pid, mapping), True)
        return failures


TAPPED = ("active", "history", "audit", "revision", "rollouts")


def tapped(store: Store, tap: Callable[[str, str, tuple[Any, ...], bool], None]) -> Store:
    """Return the same store with its writes announced."""
    parts: dict[str, Any] = {name: Tapped(name, getattr(store, name), tap) for name in TAPPED}
    return replace(store, **parts)


def memory_store(now: Callable[[], str], installed: Callable[[PackageRef], bool]) -> Store:
    """Return an empty store in memory."""
    return Store(
        MemoryLayout(Path("/nowhere"), installed), MemoryLock(), MemoryActive(), MemoryHistory(), MemoryAudit(now),
        MemoryRegistry(), MemoryRevision(), MemoryRefused(), MemoryStatus(), MemoryRollouts(), MemoryPatch(),
    )  # fmt: skip
