"""Server-sent events cut out of bytes, however they come."""

from __future__ import annotations

import pytest

from controller.station.remote_feeds import Block, Blocks, batch_of

STREAM = 'retry: 2000\n\nid: a-1\nevent: audit\ndata: {"text": "ü: 1"}\n\n: alive\n\n: alive\nid: a-7\n\n'.encode()


@pytest.mark.parametrize("size", [1, 3, 64])
def test_whatever_comes_after_an_event_has_its_id_so_that_nothing_is_missed_after_a_break(size: int) -> None:
    blocks = Blocks()
    found = [each for at in range(0, len(STREAM), size) for each in blocks.hear(STREAM[at : at + size])]

    event = Block("a-1", "audit", '{"text": "ü: 1"}'.encode())
    assert found == [Block("", "", b""), event, Block("a-1", "", b""), Block("a-7", "", b"")]
    assert [batch_of(each).last for each in found] == ["", "a-1", "a-1", "a-7"]
