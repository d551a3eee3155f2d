"""Text of strangers: what a terminal would obey or hide is written out, everything else stays what it is."""

from __future__ import annotations

import json
import unicodedata

import pytest

from controller.host.terminal import printable, printable_json, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 中文, é → ✓ \u3000\xa0.", "plain, 中文, é → ✓ \u3000\xa0."),
        ("\x1b]0;owned\x07\x1b[2J", "\\x1b]0;owned\\x07\\x1b[2J"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("A01\u202e10A\u2066", "A01\\u202e10A\\u2066"),
        ("zero\u200bwidth\ufeff\U000e0041", "zero\\u200bwidth\\ufeff\\U000e0041"),
        ("one\ntwo\rthree\tfour\u2028five\x85six", "one\\ntwo\\rthree\\tfour\\u2028five\\x85six"),
        ("half \ud83d", "half \\ud83d"),
        ("C:\\new", "C:\\new"),
    ],
)
def test_what_a_terminal_obeys_or_hides_is_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_no_control_character_does_anything_to_a_terminal() -> None:
    every = "".join(map(chr, (*range(0x3100), *range(0xD000, 0x11200), *range(0xE0000, 0xE0200))))

    left = {unicodedata.category(character) for character in printable(every)}

    assert left.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    assert set(printable_lines(every)) - set(printable(every)) == {"\n", "\t"}


def test_lines_keep_their_ends_and_tabs_and_a_carriage_return_is_an_end() -> None:
    assert printable_lines("one\r\n\ttwo\x1b[A\n10%\r20%\n") == "one\n\ttwo\\x1b[A\n10%\n20%\n"


def test_json_means_the_same_with_its_own_escapes() -> None:
    document = {"\x1b": ["\x9b\x7f\u202e\U000e0041 中 → \ud83d", {"\n": "\r\t"}]}

    text = printable_json(json.dumps(document, indent=2, ensure_ascii=False))

    assert json.loads(text) == document
    assert printable_lines(text) == text
    assert "中 →" in text
