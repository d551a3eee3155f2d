"""Which processes serve, from raw records: of this process, of dead ones, of other stores, and garbage."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from controller.host.identity import identify
from controller.processes.record_files import serving, token_prefix

KEY = {"deployment": "screws", "name": "screw-check", "version": "1.0.0", "replica": 0}
SLOT = ("screws", "screw-check", "1.0.0", 0, False)


def write(run: Path, number: int, **changes: Any) -> None:
    """Write the record of a process that is this very one, proven and alive, unless `changes` say otherwise."""
    me = identify(os.getpid())
    assert me is not None
    document = {
        "token": f"{token_prefix(run)}{number:012x}", "exit": None, "holder": asdict(me), "adapter": asdict(me),
        "about": {"spec": {"key": KEY}, "started_at": "", "ready": {"sdk_version": "0.3.2", "generation": "0.3"}},
    } | changes  # fmt: skip
    (run / f"{token_prefix(run)}{number:012x}.json").write_text(json.dumps(document))


def test_a_proven_process_that_runs_serves(tmp_path: Path) -> None:
    write(tmp_path, 1)
    assert list(serving(tmp_path)) == [SLOT]


def test_a_shadow_is_told_from_the_processes_of_the_line(tmp_path: Path) -> None:
    write(tmp_path, 1, about={"spec": {"key": KEY | {"shadow": True}}, "ready": {"sdk_version": "", "generation": ""}})
    assert list(serving(tmp_path)) == [(*SLOT[:-1], True)]


@pytest.mark.parametrize(
    "changes",
    [
        {"exit": {"code": 0, "signal": None, "at": ""}},
        {"about": {"spec": {"key": KEY}, "started_at": "", "ready": None}},
        {"adapter": {"os_pid": os.getpid(), "start_ticks": 1, "boot_id": "another boot"}},
        {"holder": None},
        {"about": "garbage"},
        {"token": "another store's"},
    ],
)
def test_what_is_dead_unproven_or_garbage_does_not(tmp_path: Path, changes: dict[str, Any]) -> None:
    write(tmp_path, 1, **changes)
    write(tmp_path, 2)
    assert list(serving(tmp_path)) == [SLOT]


def test_torn_files_and_absent_folders_hold_none(tmp_path: Path) -> None:
    (tmp_path / f"{token_prefix(tmp_path)}{1:012x}.json").write_text('{"token": ')
    (tmp_path / f"{token_prefix(tmp_path)}{2:012x}.json").write_text("[]")
    assert list(serving(tmp_path)) == []
    assert list(serving(tmp_path / "nowhere")) == []
