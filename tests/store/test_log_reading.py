"""The end of a log, and what is added to it, over any number of rotations."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.store.log_reading import LogFile


def rotate(path: Path) -> None:
    """As a shim does it."""
    for number in range(3, 0, -1):
        newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
        if newer.exists():
            newer.rename(path.with_name(f"{path.name}.{number}"))


def add(path: Path, *lines: int | str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def rest(log: LogFile) -> list[str]:
    found = []
    while text := log.more():
        found += text.splitlines()
    return found


@pytest.mark.parametrize("count", [0, 1, 5, 7, 8, 100])
def test_the_last_lines_are_those_of_all_generations(tmp_path: Path, count: int) -> None:
    path = tmp_path / "1.0.0-0.log"
    for each in ((1, 2, 3), (4, 5), (6, 7, 8)):
        rotate(path)
        add(path, *each)

    with LogFile(path) as log:
        text = log.last(count)
        add(path, 9)

        assert text.splitlines() == [str(number) for number in range(1, 9)][8 - min(count, 8) :]
        assert rest(log) == ["9"]


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    add(path, *(f"{number:06} {'ü' * 100}" for number in range(20_000)))

    with LogFile(path) as log:
        assert [line[:6] for line in log.last(1500).splitlines()] == [f"{each:06}" for each in range(18_500, 20_000)]


def test_nothing_is_missed_where_a_log_is_rotated_once_or_often_between_two_looks(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    add(path, 0)
    with LogFile(path) as log:
        log.last(1)
        expected = []
        for number, rotations in enumerate((0, 1, 2, 0, 1)):
            add(path, f"{number} before")
            expected.append(f"{number} before")
            for each in range(rotations):
                rotate(path)
                add(path, f"{number} after {each}")
                expected.append(f"{number} after {each}")
            assert rest(log) == expected, number
            expected = []
        rotate(path)
        assert rest(log) == [], "rotated, and no new one yet"
        add(path, "new")
        assert rest(log) == ["new"]


def test_a_line_comes_when_it_has_an_end_and_a_log_may_come_later(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    with LogFile(path) as log:
        assert (log.last(5), log.more()) == ("", "")
        path.write_text("whole\nhal")
        assert (log.more(), log.more(), log.rest()) == ("whole\n", "", "hal")
        add(path, "f ü")
        assert log.more() == "half ü\n"
    path.write_text("a\nb")
    with LogFile(path) as log:
        assert (log.last(5), log.rest()) == ("a\n", "b")


def test_a_log_that_was_emptied_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    add(path, *range(100))
    with LogFile(path) as log:
        log.last(1)
        path.write_text("")
        assert rest(log) == []
        add(path, "new")
        assert rest(log) == ["new"]
        path.unlink()
        assert rest(log) == []
        add(path, "another file")
        assert rest(log) == ["another file"]


def test_many_long_lines_are_bounded_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"".join(b"%08d%s\n" % (number, b"y" * 1015) for number in range(4096)))

    with LogFile(path) as log:
        text = log.last(10_000)

    assert 2**21 - 65536 <= len(text) <= 2**21
    assert text.splitlines()[-1][:8] == "00004095"
