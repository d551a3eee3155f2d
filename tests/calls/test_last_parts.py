"""The last part of each PID: every end that a call can have, and nothing of calls that were for no part."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from controller.errors import CallError
from controller.model.last_part import LastPart
from controller.station.commands.parts import GetLastParts
from controller.station.parts import last_parts
from tests.calls.stations import NEXT, Station, station

pytestmark = pytest.mark.real


def rows(opened: Station) -> list[LastPart]:
    return last_parts(opened.plane, GetLastParts())


def part(opened: Station, pid: str = "A01") -> LastPart:
    return {each["pid"]: each for each in rows(opened)}[pid]


async def judged(opened: Station, message: str = "", **data: Any) -> LastPart:
    await opened.call(do="deep", text=json.dumps(data))
    return part(opened)


async def test_the_last_answer_is_kept_with_its_defects(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        assert rows(opened) == []
        rect = {"x": 1, "y": 2, "width": 3, "height": 4, "label": "scratch", "score": 0.5}
        row = await judged(opened, result_status="NG", ng_reason="two scratches", defect_rects=[rect, "junk"])
        answer = await opened.call(pid="A02")
        assert row["at"].endswith("Z")
        assert row == {
            **row, "pid": "A01", "name": "screw-check", "version": "1.0.0", "verdict": "NG", "message": "two scratches",
            "defects": [rect], "defects_malformed": 1, "error": None, "picture": None,
        }  # fmt: skip
        assert part(opened, "A02")["request_id"] == answer.request_id
        assert part(opened, "A02")["latency_ms"] == answer.latency_ms
        assert [each["pid"] for each in rows(opened)] == ["A01", "A02"]
        assert (await judged(opened, result_status="OK"))["verdict"] == "OK"
        await opened.call(status="ERROR", message="the model diverged")
        assert (part(opened)["verdict"], part(opened)["message"]) == ("ERROR", "the model diverged")


async def test_a_call_that_failed_is_the_last_part_too(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        await opened.call()
        error = await opened.failure(do="error", message="no memory", code="1009")
        row = part(opened)
        assert (row["verdict"], row["error"]) == ("FAILED", {"code": 1009, "name": "execute_exception"})
        assert (row["message"], row["version"], row["latency_ms"]) == (error.message, "1.0.0", None)
        opened.active.remove("A01")
        opened.plane.configure({})  # nobody serves it any more
        assert rows(opened) == []
        await opened.failure()
        assert rows(opened) == []


async def test_a_part_that_no_version_was_there_for_has_failed(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        opened.serve("C01", deployment="next", ref=NEXT.ref, start_timeout=0.05)
        await opened.failure("C01")
        assert (part(opened, "C01")["verdict"], part(opened, "C01")["error"]) == (
            "FAILED", {"code": 1004, "name": "not_initialized"},
        )  # fmt: skip
        with pytest.raises(CallError):
            await opened.call("Z99")
        assert [each["pid"] for each in rows(opened)] == ["C01"]


async def test_a_caller_that_left_has_no_part(layout, make_spec):
    async with station(layout, make_spec()) as opened:
        first = await opened.call()
        leaving = opened.calling(do="sleep", seconds=30)
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert part(opened)["request_id"] == first.request_id
