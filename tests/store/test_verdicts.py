"""The journal of verdicts: found again for feedback, also by the next daemon, and bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import StoreError
from controller.model.package import PackageRef
from controller.store.layout import StoreLayout
from controller.store.verdicts import GivenVerdict, Truth, VerdictJournal

REF = PackageRef("screw-check", "1.0.0")


@pytest.fixture
def layout(tmp_path: Path) -> StoreLayout:
    layout = StoreLayout.at(tmp_path / "store")
    layout.rollouts.mkdir(parents=True)
    return layout


def given(number: int) -> GivenVerdict:
    return GivenVerdict(f"r{number:04}", "A01", REF, "NG" if number % 2 else "OK")


def test_a_verdict_is_found_before_and_after_it_is_written_and_by_the_next_daemon(layout: StoreLayout) -> None:
    journal = VerdictJournal(layout)
    journal.note(given(1))
    assert journal.find("r0001") == (given(1), None)
    journal.save()
    assert journal.find("r0001") == (given(1), None)
    assert journal.find("r000") == (None, None)

    journal.tell(Truth("r0001", "OK", "inspection"))
    assert VerdictJournal(layout).find("r0001") == (given(1), Truth("r0001", "OK", "inspection"))


def test_the_files_are_bounded_and_at_least_the_last_verdicts_are_known(layout: StoreLayout) -> None:
    journal = VerdictJournal(layout, lines=10)
    for number in range(35):
        journal.note(given(number))
        journal.save()
    assert all(journal.find(f"r{number:04}")[0] == given(number) for number in range(25, 35))
    assert journal.find("r0000") == (None, None)
    assert sum(len(path.read_text().splitlines()) for path in layout.rollouts.iterdir()) <= 20


def test_the_next_daemon_counts_the_lines_that_are_there(layout: StoreLayout) -> None:
    for number in range(35):
        journal = VerdictJournal(layout, lines=10)
        journal.note(given(number))
        journal.save()
    assert sum(len(path.read_text().splitlines()) for path in layout.rollouts.iterdir()) <= 20


def test_a_torn_line_costs_its_own_verdict_alone(layout: StoreLayout) -> None:
    journal = VerdictJournal(layout)
    journal.note(given(1))
    journal.save()
    with (layout.rollouts / ".verdicts.jsonl").open("a") as file:
        file.write('{"id": "r0002", "pid"')
    journal.tell(Truth("r0001", "OK", ""))
    assert journal.find("r0001") == (given(1), Truth("r0001", "OK", ""))
    assert journal.find("r0002") == (None, None)


def test_what_cannot_be_written_is_kept_for_the_next_time(layout: StoreLayout) -> None:
    journal = VerdictJournal(layout)
    path = layout.rollouts / ".verdicts.jsonl"
    path.mkdir()
    journal.note(given(1))
    with pytest.raises(OSError, match="directory"):
        journal.save()
    with pytest.raises(StoreError):
        journal.tell(Truth("r0001", "OK", ""))
    path.rmdir()
    journal.note(given(2))
    journal.save()
    assert [journal.find(f"r000{number}")[0] for number in (1, 2)] == [given(1), given(2)]


def test_a_torn_line_takes_no_later_verdict_with_it(layout: StoreLayout) -> None:
    journal = VerdictJournal(layout)
    journal.note(given(1))
    journal.save()
    with (layout.rollouts / ".verdicts.jsonl").open("ab") as file:
        file.write(b'{"id": "r0002", "pi')
    journal.note(given(3))
    journal.save()
    assert [VerdictJournal(layout).find(f"r000{number}")[0] for number in (1, 2, 3)] == [given(1), None, given(3)]
