"""The frame codec: any cut of any stream gives the same objects, and what is no frame is named as such."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.errors import CallError, Code, ProtocolViolation
from controller.wire.frames import FRAME_LIMIT, FrameDecoder, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.floats(-1e300, 1e300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.text(), VALUES)


def feed_in_pieces(decoder: FrameDecoder, stream: bytes, size: int) -> list[dict]:
    return [found for start in range(0, len(stream), size) for found in decoder.feed(stream[start : start + size])]


@given(st.lists(DOCUMENTS, max_size=4), st.integers(1, 64))
def test_any_cut_gives_back_what_was_encoded(documents, size):
    stream = b"".join(map(encode, documents))
    decoder = FrameDecoder()
    assert feed_in_pieces(decoder, stream, size) == documents
    assert decoder.pending == 0


@given(st.lists(DOCUMENTS, min_size=2, max_size=4), st.data())
def test_a_reader_that_joins_in_the_middle_of_a_frame_finds_the_next(documents, data):
    first = encode(documents[0])
    cut = data.draw(st.integers(4, len(first)))
    stream = first[cut:] + b"".join(map(encode, documents[1:]))
    size = data.draw(st.integers(1, 64))
    assert feed_in_pieces(FrameDecoder(resync=True), stream, size) == documents[1:]


def test_a_reader_that_joins_within_a_header_loses_that_frame_only():
    stream = encode({"lost": 1}) + encode({"kept": 2})
    for cut in (1, 2, 3):
        assert FrameDecoder(resync=True).feed(stream[cut:]) == [{"kept": 2}]


def test_resynchronising_holds_no_garbage():
    decoder = FrameDecoder(resync=True)
    for _ in range(100):
        assert decoder.feed(b"x" * 65536) == []
    assert decoder.pending < 8


def test_a_text_where_a_frame_should_begin_is_shown_but_not_all_of_it():
    with pytest.raises(ProtocolViolation) as caught:
        FrameDecoder().feed(b"Loading model weights...\n" * 1000)
    assert "stdout was contaminated" in caught.value.message
    assert "Loading model weights" in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "body", [b"[1,2]", b"7", b'{"a":}', b'{"a":"\xff"}', b"", b'{"a":' + b"[" * 100_000, b'"\xed\xa0\x80"']
)
def test_what_is_no_json_object_is_a_violation(body):
    with pytest.raises(ProtocolViolation):
        FrameDecoder().feed(len(body).to_bytes(4, "big") + body)


def test_a_length_over_the_limit_is_refused_before_its_bytes_are_there():
    with pytest.raises(ProtocolViolation, match="16,777,216"):
        FrameDecoder().feed((FRAME_LIMIT + 1).to_bytes(4, "big"))


def test_numbers_that_json_does_not_know():
    body = json.dumps({"a": math.nan, "b": -math.inf, "c": [1.5, 10**30], "d": 2**63}).encode()
    assert FrameDecoder().feed(len(body).to_bytes(4, "big") + body) == [
        {"a": None, "b": None, "c": [1.5, 1e30], "d": 2**63}
    ]


def test_a_large_frame_in_small_pieces_is_read_without_copying_it_again_and_again():
    document = {"filler": "z" * 8_000_000}
    stream = encode(document)
    assert feed_in_pieces(FrameDecoder(), stream, 4096) == [document]


@pytest.mark.parametrize("value", [object(), 2**70, {1: "key"}, b"bytes"])
def test_what_json_cannot_carry_is_the_callers_mistake(value):
    with pytest.raises(CallError) as caught:
        encode({"value": value})
    assert caught.value.code is Code.invalid_params


def test_a_message_that_is_too_large_is_the_callers_mistake():
    with pytest.raises(CallError, match="at most 100"):
        encode({"value": "x" * 200}, limit=100)
