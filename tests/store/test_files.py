"""Mappings, histories, registry, revision and status: what is read back, and what damage looks like."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from controller.errors import StoreError
from controller.model.desired import Revision
from controller.model.observed import ActiveMapping, BrokenMapping, HistoryEntry
from controller.model.package import PackageRecord
from controller.model.status import RevisionStatus, Status
from controller.store.layout import StoreLayout
from controller.store.store import Store

NO_STATUS = (b"[]", b"null", b"5", b"{}", b'{"revision":null}', b'{"deployments":[1]}')
MAPPING = ActiveMapping("screw", "1.0.0", "2026-01-01T00:00:00Z")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.at(StoreLayout.at(tmp_path / "store"), lambda: "2026-01-01T00:00:00Z")
    store.create_folders()
    return store


def accept(mapping: ActiveMapping) -> None:
    assert mapping == MAPPING


def test_a_mapping_is_read_back_with_exactly_its_three_keys(store: Store) -> None:
    store.active.write_all({"A01": MAPPING}, accept)

    assert store.active.read("A01") == MAPPING
    assert store.active.read_all() == {"A01": MAPPING}
    text = store.layout.mapping("A01").read_text()
    assert text.count(":") == 3 + MAPPING.activated_at.count(":")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"\x00\xff", b'{"name": "a", "version": "1"}',
        b'{"name": "a", "version": 1, "activated_at": "x"}',
        b'{"name": "a", "version": "1", "activated_at": "x", "more": 1}',
        b'{"name": "", "version": "1", "activated_at": "x"}',
    ],
)  # fmt: skip
def test_a_damaged_mapping_is_told_from_an_absent_one(store: Store, content: bytes) -> None:
    store.layout.mapping("A01").write_bytes(content)

    assert isinstance(store.active.read("A01"), BrokenMapping)
    assert store.active.read("A02") is None


def test_a_mapping_that_the_validation_refuses_stays_as_it_was(store: Store) -> None:
    store.active.write_all({"A01": MAPPING}, accept)

    def refuse(mapping: ActiveMapping) -> None:
        raise StoreError("not installed")

    failures = store.active.write_all({"A01": ActiveMapping("screw", "9", "x")}, refuse)

    assert {pid: str(error) for pid, error in failures.items()} == {"A01": "not installed"}

    assert store.active.read("A01") == MAPPING


def test_leftovers_of_an_interrupted_write_are_swept(store: Store) -> None:
    (store.layout.active / "A01.json.tmp").write_bytes(b"{")

    assert store.active.sweep() == ("A01.json.tmp",)
    assert list(store.layout.active.iterdir()) == []


def entry(version: str) -> HistoryEntry:
    return HistoryEntry("2026-01-01T00:00:00Z", "screw", version, "d", "r1", "root", "because")


def test_a_history_is_appended_to_and_survives_a_torn_line(store: Store) -> None:
    store.history.append("A01", entry("1"))
    with store.layout.pid_history("A01").open("ab") as file:
        file.write(b'{"at": "20')

    store.history.append("A01", entry("2"))

    assert [each.version for each in store.history.read("A01")] == ["1", "2"]
    assert store.history.read("A02") == ()


@pytest.mark.parametrize(
    "line",
    [
        b"garbage", b"[]", b"{}",
        b'{"at":1,"name":2,"version":3,"deployment":4,"revision":5,"actor":6,"reason":7}',
        b'{"at":null,"name":"screw","version":"1","deployment":"d","revision":"r","actor":"a","reason":"b"}',
    ],
)  # fmt: skip
def test_a_line_of_a_history_that_holds_no_entry_is_passed_over(store: Store, line: bytes) -> None:
    store.history.append("A01", entry("1"))
    with store.layout.pid_history("A01").open("ab") as file:
        file.write(line + b"\n")

    assert store.history.read("A01") == (entry("1"),)


RECORD = PackageRecord("screw", "1", "sha256:a", "installed", None, "", ("A01",), "screw.zip", (1, 2, 3))


def test_the_registry_is_read_back_and_not_rewritten_when_equal(store: Store) -> None:
    assert store.registry.write([RECORD]) is True
    before = store.layout.registry.stat().st_mtime_ns

    assert store.registry.read() == (RECORD,)
    assert store.registry.write([RECORD]) is False
    assert store.layout.registry.stat().st_mtime_ns == before


def test_who_repairs_the_registry_and_who_writes_it_may_come_at_once(store: Store) -> None:
    contents = [replace(RECORD, version=f"{number}.0.0") for number in range(40)]
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda record: isinstance(store.registry.write([record]), bool), contents))
    assert store.registry.read() in [(each,) for each in contents]


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"packages": [{}]}', b'{"packages": 3}', b"\xff"])
def test_a_lost_or_damaged_registry_reads_as_none(store: Store, content: bytes | None) -> None:
    if content is not None:
        store.layout.registry.write_bytes(content)

    assert store.registry.read() is None


def test_the_revision_in_force_survives_and_a_damaged_one_is_none(store: Store) -> None:
    revision = Revision.model_validate({"id": "abc", "source": "desired", "loadedAt": "2026-01-01T00:00:00Z"})

    assert store.revision.read() is None
    store.revision.write(revision)
    assert store.revision.read() == revision
    store.layout.revision.write_bytes(b"{")
    assert store.revision.read() is None


def test_the_status_is_read_back(store: Store) -> None:
    assert store.status.read() is None
    document = Status(RevisionStatus("r1", "desired", valid=True), converged=True).to_document()
    store.status.write(document)

    assert store.status.read() == orjson.loads(orjson.dumps(document))


@pytest.mark.parametrize("content", [*NO_STATUS, b"{", b"\xff"])
def test_a_status_that_is_damaged_is_as_good_as_none(store: Store, content: bytes) -> None:
    store.layout.status.write_bytes(content)

    assert store.status.read() is None


def test_a_store_that_cannot_be_made_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match=r"cannot create the store at .*file.*--store"):
        Store.at(StoreLayout.at(tmp_path / "file"), str).create_folders()
