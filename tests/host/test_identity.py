"""Processes are found by a variable in their environment, and nothing but what was found is ever signalled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from controller.host import identity
from controller.host.identity import find_processes, identify, is_same, kill_processes, send_signal, wait_for_end
from tests.waiting import HANGS

VARIABLE = "PVCTL_TEST_MARK"
pytestmark = pytest.mark.real


class Marked:
    """Starts processes that carry a mark, and ends them with the test."""

    def __init__(self, prefix: str, stack: ExitStack) -> None:
        self.prefix = prefix
        self._stack = stack

    def start(self, mark: str, first: str = "", last: str = "sys.stdin.read()") -> subprocess.Popen[str]:
        """Start a process that does `first`, says that it is up, and does `last`; return when it is up."""
        process = subprocess.Popen(
            [sys.executable, "-c", f"import subprocess, sys\n{first}\nprint('up', flush=True)\n{last}"], text=True,
            env={**os.environ, VARIABLE: self.prefix + mark}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.own(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    def own(self, process: subprocess.Popen[Any]) -> None:
        """End a process with the test."""
        self._stack.callback(_end, process)

    def found(self) -> dict[str, int]:
        return {value.removeprefix(self.prefix): who.os_pid for who, value in find_processes(VARIABLE, self.prefix)}


def _end(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait(HANGS)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


@pytest.fixture
def marked(tmp_path: object) -> Iterator[Marked]:
    with ExitStack() as stack:
        marked = Marked(f"{tmp_path}:", stack)
        yield marked
    kill_processes(VARIABLE, marked.prefix)  # what a failed test left


BREED = "subprocess.Popen(['sleep', '613'], stdout=subprocess.DEVNULL, start_new_session=True)"


def test_a_process_is_found_by_what_its_variable_begins_with(marked: Marked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{marked.prefix}the caller itself")
    one, other = marked.start("one"), marked.start("gr\udcfc\u00df")
    assert marked.found() == {"one": one.pid, "gr\udcfc\u00df": other.pid}
    assert list(find_processes(VARIABLE, f"{marked.prefix}two")) == []
    assert list(find_processes(f"{VARIABLE}_OTHER", "")) == []
    _end(one)
    assert marked.found() == {"gr\udcfc\u00df": other.pid}


def test_a_number_that_changed_hands_while_it_was_looked_at_is_not_found(
    marked: Marked, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = marked.start("mine")

    def too_late(_: int) -> identity.ProcessIdentity | None:
        """Identify a stranger who has got the number, because the marked process has just ended."""
        _end(process)
        return identify(os.getpid())

    monkeypatch.setattr(identity, "identify", too_late)
    assert list(find_processes(VARIABLE, marked.prefix)) == []
    assert process.poll() == -signal.SIGKILL


NEW_MEMORY, NO_ENVIRONMENT, NO_MEMORY, THROUGH = (2_560_000, 0, 0), (2_560_000, 7, 7), (0, 0, 0), (2_560_000, 7, 99)
"""What `stat` tells of a process whose environment is empty: bytes of memory, where the environment starts and ends."""


class Looks:
    """Lets the kernel say of one process that it has no environment, as often as there is something to tell of it."""

    def __init__(self, os_pid: int, *told: tuple[int, int, int]) -> None:
        self.count = 0
        self._os_pid, self._told = os_pid, list(told)
        self._read = identity._read

    def read(self, os_pid: int, name: str) -> bytes:
        if os_pid != self._os_pid or name not in {"environ", "stat"}:
            return self._read(os_pid, name)
        if name == "environ":
            self.count += 1
            return b"" if self._told else self._read(os_pid, name)
        fields = self._read(os_pid, name).split(b" ")  # the name of this process has no space in it
        if self._told:
            memory, start, end = self._told.pop(0)
            fields[22], fields[49], fields[50] = (b"%d" % each for each in (memory, start, end))
        return b" ".join(fields)


@pytest.mark.parametrize(
    ("told", "is_found", "looks"),
    [
        ([NEW_MEMORY] * 3, True, 4),
        ([NEW_MEMORY, THROUGH], True, 3),
        ([THROUGH], True, 2),
        ([NEW_MEMORY, NO_MEMORY], False, 2),
        ([NO_MEMORY], False, 1),
        ([NO_ENVIRONMENT], False, 1),
    ],
)
def test_a_process_in_the_middle_of_an_exec_is_looked_at_again(
    marked: Marked, monkeypatch: pytest.MonkeyPatch, told: list[tuple[int, int, int]], is_found: bool, looks: int
) -> None:
    process = marked.start("one")
    seen = Looks(process.pid, *told)
    monkeypatch.setattr(identity, "_EXEC_PATIENCE", HANGS)
    monkeypatch.setattr(identity, "_read", seen.read)
    assert marked.found() == ({"one": process.pid} if is_found else {})
    assert seen.count == looks


def test_an_exec_that_does_not_come_to_its_end_holds_up_nobody_for_long(
    marked: Marked, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = marked.start("stuck"), marked.start("other")
    seen = Looks(stuck.pid, *[NEW_MEMORY] * 10_000)
    monkeypatch.setattr(identity, "_EXEC_PATIENCE", 0.05)
    monkeypatch.setattr(identity, "_read", seen.read)
    assert marked.found() == {"other": other.pid}
    assert 1 < seen.count < 10_000


def test_processes_that_do_nothing_but_exec_are_found_by_every_look(marked: Marked) -> None:
    for number in range(4):
        loop = {"LOOP": 'exec sh -c "$LOOP"', VARIABLE: f"{marked.prefix}{number}", "PATH": os.environ["PATH"]}
        marked.own(subprocess.Popen(["sh", "-c", loop["LOOP"]], env=loop))
    for _ in range(60):
        assert marked.found().keys() == {"0", "1", "2", "3"}


def test_a_program_without_an_environment_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen([sys.executable, "-I", "-c", "print('up', flush=True); input()"], env={},
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        seen = Looks(process.pid)
        monkeypatch.setattr(identity, "_read", seen.read)
        assert list(find_processes(VARIABLE, "")) == []
        assert seen.count == 1
        process.kill()


def test_only_what_is_wanted_is_killed_and_with_all_its_offspring(marked: Marked) -> None:
    spared = marked.start("spared")
    breeder = marked.start("gone", BREED)
    assert len(list(find_processes(VARIABLE, f"{marked.prefix}gone"))) == 2
    kill_processes(VARIABLE, marked.prefix, lambda value: value.endswith("gone"))
    assert breeder.wait(HANGS) == -signal.SIGKILL
    assert marked.found() == {"spared": spared.pid}
    kill_processes(VARIABLE, marked.prefix)
    assert spared.wait(HANGS) == -signal.SIGKILL
    assert marked.found() == {}


def test_a_signal_reaches_one_process_or_none(marked: Marked) -> None:
    process = marked.start("one")
    who = identify(process.pid)
    assert who is not None
    assert is_same(who)
    assert send_signal(who, signal.SIGTERM)
    wait_for_end([who], HANGS)
    assert process.wait(HANGS) == -signal.SIGTERM
    assert identify(process.pid) is None
    assert not send_signal(who, signal.SIGTERM)
    wait_for_end([who], 600)


def test_a_wait_for_an_end_works_with_many_open_descriptors(marked: Marked) -> None:
    process = marked.start("one", last="")
    who = identify(process.pid)
    opened: list[int] = []
    with suppress(OSError):  # the limit of descriptors: as many as there may be
        while len(opened) < 1100:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    try:
        wait_for_end([who] if who else [], HANGS)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    assert process.wait(HANGS) == 0
