"""Processes are found by a variable in their environment, and nothing but what was found is ever signalled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from controller.host import identity
from controller.host.identity import find_processes, identify, is_same, kill_processes, send_signal, wait_for_end

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
        self._stack.callback(_end, process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    def found(self) -> dict[str, int]:
        return {value.removeprefix(self.prefix): who.os_pid for who, value in find_processes(VARIABLE, self.prefix)}


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(10)
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
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


def test_only_what_is_wanted_is_killed_and_with_all_its_offspring(marked: Marked) -> None:
    spared = marked.start("spared")
    breeder = marked.start("gone", BREED)
    assert len(list(find_processes(VARIABLE, f"{marked.prefix}gone"))) == 2
    kill_processes(VARIABLE, marked.prefix, lambda value: value.endswith("gone"))
    assert breeder.wait(10) == -signal.SIGKILL
    assert marked.found() == {"spared": spared.pid}
    kill_processes(VARIABLE, marked.prefix)
    assert spared.wait(10) == -signal.SIGKILL
    assert marked.found() == {}


def test_a_signal_reaches_one_process_or_none(marked: Marked) -> None:
    process = marked.start("one")
    who = identify(process.pid)
    assert who is not None
    assert is_same(who)
    assert send_signal(who, signal.SIGTERM)
    wait_for_end([who], 10)
    assert process.wait(10) == -signal.SIGTERM
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
        wait_for_end([who] if who else [], 10)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    assert process.wait(10) == 0
