"""The audit chain: every edit, removal and insertion is named; a torn tail is cut and noted."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from controller.model.status_document import AuditRow
from controller.store import audit
from controller.store.audit import PARTS, AuditHead, AuditLog, AuditRecord
from controller.store.audit_pages import Wanted, page
from controller.store.layout import StoreLayout
from tests.builders import audit_records


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    ticks = count()
    return AuditLog(StoreLayout.at(tmp_path), lambda: f"2026-01-01T00:00:{next(ticks):02d}Z")


def record(number: int) -> AuditRecord:
    after = {"name": "screw", "version": f"1.0.{number}"}
    return AuditRecord(
        "root", "r1", "switch", f"pid/A{number:02d}", None, after, "a reason — with ünïcode", "succeeded"
    )


def filled(log: AuditLog, records: int = 5) -> Path:
    for number in range(records):
        log.append(record(number))
    return log._path


def test_an_untouched_log_holds(log: AuditLog) -> None:
    filled(log)

    result = log.verify()

    assert (result.broken_at, result.records) == (None, 5)
    assert result.head == log.head()


def test_records_that_are_added_together_are_chained_as_if_added_one_by_one(log: AuditLog) -> None:
    head = log.append(*map(record, range(5)))

    assert (log.verify().broken_at, log.verify().head) == (None, head)
    assert [each["object"] for each in audit_records(log)] == [f"pid/A{number:02d}" for number in range(5)]


def test_what_another_controller_added_meanwhile_is_chained_upon(log: AuditLog, tmp_path: Path) -> None:
    another = AuditLog(StoreLayout.at(tmp_path), lambda: "later")

    for number in range(3):
        log.append(record(number))
        another.append(record(number))

    assert (log.verify().broken_at, log.verify().records) == (None, 6)


def test_a_log_that_was_moved_aside_begins_anew(log: AuditLog) -> None:
    path = filled(log)
    path.rename(path.with_suffix(".old"))

    log.append(record(0))

    assert log.verify().records == 1


def test_records_carry_who_what_when_and_why(log: AuditLog) -> None:
    filled(log, 1)

    [found] = audit_records(log)

    assert (found["actor"], found["object"], found["time"]) == ("root", "pid/A00", "2026-01-01T00:00:00Z")
    assert found["after"] == {"name": "screw", "version": "1.0.0"}


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found_in_its_own_record(log: AuditLog, data: st.DataObject) -> None:
    path = log._path
    if not path.exists():
        filled(log)
    content = path.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    flipped[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(flipped))

    broken_at = log.verify().broken_at

    path.write_bytes(content)
    assert broken_at is not None
    assert broken_at <= content[:position].count(b"\n") + 1


def test_a_removed_record_is_named(log: AuditLog) -> None:
    path = filled(log)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))

    assert log.verify().broken_at == 3


def test_a_removed_tail_is_found_against_a_noted_head(log: AuditLog) -> None:
    path = filled(log)
    noted = log.head()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))

    assert log.verify().broken_at is None
    result = log.verify(noted)
    assert result.broken_at == 4
    assert "tail was removed" in result.reason


def test_a_noted_head_that_another_history_replaced_is_found(log: AuditLog) -> None:
    filled(log, 3)

    assert log.verify(AuditHead(2, "0" * 64)).broken_at == 2


def test_a_torn_last_line_is_cut_and_noted(log: AuditLog) -> None:
    path = filled(log, 2)
    with path.open("ab") as file:
        file.write(b'{"action":"swi')

    log.append(record(9))

    assert log.verify().broken_at is None
    assert [each["action"] for each in audit_records(log)] == ["switch", "switch", "audit.repair", "switch"]


def test_the_tail_is_read_without_its_cut_off_first_line(log: AuditLog) -> None:
    filled(log, 1600)

    tail = log.read_tail()

    assert 0 < len(tail) < 1600
    assert tail[-1]["seq"] == 1600


DAMAGED = (b"garbage\n", b"\n", b"{}\n", b"[]\n", b'{"seq":1,"hash":"x"}\n')


@pytest.mark.parametrize("line", DAMAGED)
def test_a_last_record_that_cannot_be_understood_is_set_aside_and_named_for_ever(log: AuditLog, line: bytes) -> None:
    path = filled(log, 2)
    head = log.head()
    with path.open("ab") as file:
        file.write(line)
    assert log.head() == head

    log.append(record(9))

    assert log.verify().broken_at == 3
    assert [each["action"] for each in audit_records(log)] == ["switch", "switch", "audit.damage", "switch"]
    assert [each["seq"] for each in audit_records(log)] == [1, 2, 3, 4]
    assert path.with_name("audit-000000000003.jsonl").read_bytes().endswith(line)


@pytest.fixture
def small(tmp_path: Path) -> AuditLog:
    """A log that is rotated after every few records."""
    return AuditLog(StoreLayout.at(tmp_path), lambda: "now", largest=2000)


def parts(log: AuditLog) -> list[Path]:
    return sorted(log._path.parent.glob("audit-*.jsonl"))


def test_the_chain_goes_on_from_part_to_part(small: AuditLog, tmp_path: Path) -> None:
    filled(small, 20)
    assert 1 < len(parts(small)) <= PARTS
    another = AuditLog(StoreLayout.at(tmp_path), lambda: "later", largest=2000)

    assert (small.verify().broken_at, small.verify().records, small.verify().first) == (None, 20, 1)
    assert another.append(record(20)).seq == 21
    assert [each["seq"] for each in audit_records(small)] == list(range(1, 22))
    assert [each["seq"] for each in small.read_tail()] == list(range(1, 22))
    assert [each["seq"] for each in small.page(3)[0]] == [21, 20, 19]
    assert small.head() == another.head() == small.verify().head
    noted = another.head()
    small._path.unlink()
    assert small.verify(noted).broken_at is not None, "a missing tail is found against a noted head"


def test_of_many_parts_the_newest_are_kept_and_the_rest_is_accounted_for(small: AuditLog) -> None:
    sizes = []
    for number in range(200):
        small.append(record(number))
        sizes.append(sum(path.stat().st_size for path in (*parts(small), small._path)))

    result = small.verify()
    assert len(parts(small)) == PARTS
    assert max(sizes) < 2000 * (PARTS + 2) * 1.5, "the files are bounded"
    assert (result.broken_at, result.head) == (None, small.head())
    assert result.first > 1
    early = AuditHead(result.first - 1, "of a record that is gone")
    assert small.verify(early).broken_at is None, "a head from before the oldest part says nothing"


def test_a_part_that_rotation_did_not_drop_is_missed(small: AuditLog) -> None:
    filled(small, 200)
    parts(small)[0].unlink()
    result = small.verify()
    assert (result.broken_at, result.records) == (1, 0)
    assert "no rotation says so" in result.reason

    parts(small)[3].unlink()
    assert small.verify().broken_at is not None


def test_a_changed_record_in_an_older_part_is_named(small: AuditLog) -> None:
    filled(small, 20)
    part = parts(small)[1]
    content = part.read_bytes()
    part.write_bytes(content.replace(b"a reason", b"A reason", 1))

    assert small.verify().broken_at == json.loads(content.splitlines()[0])["seq"]


@pytest.mark.parametrize("line", DAMAGED)
def test_records_before_and_after_a_damaged_line_are_shown(log: AuditLog, line: bytes) -> None:
    path = filled(log, 2)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + line + second)

    assert [each["seq"] for each in audit_records(log)] == [1, 2]
    assert [each["seq"] for each in log.read_tail()] == [1, 2]


@pytest.mark.parametrize("audit", [None, 5, {}, {"x": 1}, {"seq": "a", "hash": 1}])
def test_a_status_without_a_head_notes_an_empty_log(audit: object) -> None:
    assert AuditHead.noted_in({"audit": audit}) == AuditHead.noted_in(None) == AuditHead()
    assert AuditHead.noted_in({"audit": {"seq": 2, "hash": "ab"}}) == AuditHead(2, "ab")


def test_an_empty_log_holds(log: AuditLog) -> None:
    assert log.verify().records == 0
    assert log.head() == AuditHead()
    assert list(audit_records(log)) == []


def numbers(rows: list[AuditRow]) -> list[int]:
    return [each["seq"] for each in rows]


def test_pages_go_back_through_every_part_and_hold_each_record_once(small: AuditLog) -> None:
    filled(small, 120)
    assert len(parts(small)) > 3
    kept = list(range(120 + small.verify().records - 120, small.verify().first - 1, -1))

    for limit in (1, 7, 1000):
        found: list[int] = []
        before = None
        while True:
            rows, before = small.page(limit, before)
            assert len(rows) <= limit
            found += numbers(rows)
            if before is None:
                break
        assert found == kept, limit
    assert small.page(5, 1) == ([], None)
    assert numbers(small.page(2, 10**12)[0]) == kept[:2]


def test_a_page_misses_nothing_where_the_log_is_rotated_while_it_is_read(
    small: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(small, 12)
    looked = audit.page

    def rotated_first(*arguments: Any) -> Any:
        monkeypatch.setattr(audit, "page", looked)
        before = parts(small)
        while parts(small) == before:  # after the parts were listed
            small.append(record(0))
        return looked(*arguments)

    monkeypatch.setattr(audit, "page", rotated_first)
    rows, _ = small.page(1000)

    found = numbers(rows)
    assert found == list(range(found[0], 0, -1)), "no gap"
    assert found[0] == small.head().seq > 12


def test_a_page_holds_what_is_wanted_whoever_did_it_and_however_its_object_is_named(log: AuditLog) -> None:
    for number in range(6):
        log.append(replace(record(number), actor="ann" if number % 2 else "kiosk", worker="" if number % 3 else "bob"))
    log.append(replace(record(2), action="retire", object='deployment/"A02"', reason="ann switch pid/A02"))

    assert numbers(log.page(10, wanted=Wanted(actor="ann"))[0]) == [6, 4, 2]
    assert numbers(log.page(10, wanted=Wanted(actor="bob"))[0]) == [4, 1]
    assert numbers(log.page(10, wanted=Wanted(object="A02"))[0]) == [3]
    assert numbers(log.page(10, wanted=Wanted(object='"A02"'))[0]) == [7]
    assert numbers(log.page(10, wanted=Wanted(object="pid/A02", action="switch"))[0]) == [3]
    assert log.page(10, wanted=Wanted(actor="nobody")) == ([], None)


def test_one_page_looks_at_a_bounded_part_of_the_log_and_the_last_one_only_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog(StoreLayout.at(tmp_path), lambda: "t")
    log.append(replace(record(0), actor="rare"), *(replace(record(1), reason="x" * 1000) for _ in range(3000)))
    read = 0
    pread = os.pread

    def counted(descriptor: int, size: int, place: int) -> bytes:
        nonlocal read
        data = pread(descriptor, size, place)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)
    rows, before = page([log._path], 50, None, Wanted())
    last, read = read, 0
    assert (numbers(rows)[0], before) == (3001, 2952)
    assert last <= 3 * 64 * 1024
    rows, _ = page([log._path], 50, 700, Wanted())
    deep, read = read, 0
    assert (numbers(rows)[0], len(rows)) == (699, 50)
    assert deep <= 12 * 64 * 1024 < log._path.stat().st_size / 4
    found, pages, before = [], 0, None
    while not found or before is not None:
        rows, before = page([log._path], 50, before, Wanted(actor="rare"), 2**20)
        found += rows
        pages += 1
        assert read <= pages * (2**20 + 2**19), "a page that finds nothing ends all the same"
    assert (numbers(found), pages) == ([1], 4)


def test_lines_that_are_no_records_are_passed_over_when_going_back(small: AuditLog) -> None:
    filled(small, 3)
    with small._path.open("ab") as file:
        file.write(b'not a record\n{"seq": 3}\n')
    small.append(record(4))

    assert numbers(small.page(10)[0]) == [5, 4, 3, 2, 1]
    assert numbers(small.page(10, 4)[0]) == [3, 2, 1]
