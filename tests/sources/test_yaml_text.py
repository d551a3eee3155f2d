"""YAML text: what is written stays what it is, and what is wrong is refused with its place."""

from __future__ import annotations

import pytest

from controller.sources.nodes import plain
from controller.sources.yaml_text import Limits, YamlFile, read_yaml


def read(text: str | bytes, **limits: int) -> YamlFile:
    return read_yaml(text.encode() if isinstance(text, str) else text, "f.yaml", Limits(**limits))


def values(text: str) -> list[object]:
    result = read(text)
    assert result.problems == []
    return [plain(document) for document in result.documents]


@pytest.mark.parametrize(
    "scalar",
    [
        "NO",
        "no",
        "on",
        "y",
        "True",
        "1e3",
        "007",
        "0o7",
        "0x1F",
        "1.10",
        "12:30",
        "2024-01-01",
        "1_000",
        ".5",
        "+1",
        "-0",
    ],
)
def test_a_scalar_stays_the_text_that_was_written(scalar: str) -> None:
    assert values(f"a: [{scalar}]\nb: {scalar}\n{scalar}: c\n") == [{"a": [scalar], "b": scalar, scalar: "c"}]


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [("null", None), ("~", None), ("", None), ("Null", None), ("'null'", "null"), ('"~"', "~"), ("''", ""),
     ("!!str null", "null"), ("!!str", ""), ("! x", "x"), ("!!int 5", "5"), ("!!bool true", "true"),
     ("!!null ~", None), ("nUll", "nUll"), ("|\n  null\n", "null\n")],
)  # fmt: skip
def test_only_plain_forms_of_null_are_nothing(scalar: str, expected: str | None) -> None:
    assert values(f"a: {scalar}\n") == [{"a": expected}]


def test_documents_that_are_empty_are_left_out() -> None:
    assert values("---\n---\n# only a comment\n---\na: 1\n---\nnull\n...\n") == [{"a": "1"}]
    assert values("") == []


def test_anchors_aliases_and_merges() -> None:
    text = "x: &x {p: 1, q: 2}\ny: {<<: *x, p: 3}\nz: {<<: [*x, {p: 9, r: 4}]}\nw: *x\nv: {'<<': 5}\n&k k: 1\n"
    assert values(text) == [
        {
            "x": {"p": "1", "q": "2"},
            "y": {"p": "3", "q": "2"},
            "z": {"p": "1", "q": "2", "r": "4"},
            "w": {"p": "1", "q": "2"},
            "v": {"<<": "5"},
            "k": "1",
        }
    ]


def test_anchors_end_with_their_document() -> None:
    assert [str(problem) for problem in read("a: &x 1\n---\nb: *x\n").problems] == [
        "f.yaml:2:4: *x refers to no anchor (expected &x above it)".replace(":2:", ":3:")
    ]


def test_a_byte_order_mark_is_tolerated_and_columns_count_characters() -> None:
    assert [plain(node) for node in read(b"\xef\xbb\xbfa: 1\n").documents] == [{"a": "1"}]
    assert str(read("{检测: 1, 检测: 2}\n").problems[0].mark) == "f.yaml:1:9"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1", "the key 'a' is written twice, first at f.yaml:1:1 (expected it once)"),
        ("a: {<<: {b: 1}, <<: {c: 2}}\n", "1:17", "the key << is written twice, first at f.yaml:1:5"),
        ("? [x]\n: 1\n", "1:3", "a list or mapping cannot be a key"),
        ("~: 1\n", "1:1", "nothing is written as a key"),
        ("a: !!python/object:os.system x\n", "1:4", "the tag !!python/object:os.system is not allowed"),
        ("a: !!int NO\n", "1:4", "the tag !!int is not allowed on 'NO'"),
        ("a: !!set {x: ~}\n", "1:4", "the tag !!set is not allowed on a mapping"),
        ("a: !!binary aGk=\n", "1:4", "the tag !!binary is not allowed"),
        ("a: &loop [*loop]\n", "1:11", "*loop contains itself"),
        ("a: &loop {b: {<<: *loop}}\n", "1:19", "*loop contains itself"),
        ("a: &one 1\nb: *onee\n", "2:4", "*onee refers to no anchor (expected &onee above it); did you mean one?"),
        ("a: {<<: [1]}\n", "1:5", "<< merges something that is no mapping"),
        ("a:\n\t- b\n", "2:1", "a tab cannot indent a line (expected spaces)"),
        ("a: b: c\n", "1:5", "a key cannot stand here"),
        ("a: [1, 2\nb: 3\n", "2:2", "the list is not closed"),
        ("a: {b: 1\n", "2:1", "the mapping is not closed"),
        ("a: 'x\nb: 1\n", "3:1", "a quoted text is not closed"),
        ("a:\n  b: 1\n c: 2\n", "3:2", "the line does not fit the one above"),
        ("a: - b\n", "1:4", "a list item cannot stand here"),
        ("a: @x\n", "1:4", "a text cannot start with @ (expected it in quotes)"),
        ('a: "\\q"\n', "1:5", "unknown escape in double quotes"),
        ("%YAML 3.0\n---\na: 1\n", "1:1", "this version of YAML is not known"),
        ("a: 1\n...\nb\n", "3:1", "something follows the end of the document"),
        ("a: x\x01\n", "1:5", "character U+0001 is not allowed"),
        (b"a: 1\nb: \xe9\n", "2:4", "the file is not UTF-8 but another encoding"),
        ("a: 1".encode("utf-16"), "1:1", "the file is not UTF-8 but UTF-16"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str | bytes, place: str, words: str) -> None:
    lines = [str(problem) for problem in read(text).problems]
    assert len(lines) == 1
    assert lines[0].startswith(f"f.yaml:{place}: ")
    assert words in lines[0]


def test_what_comes_before_a_syntax_error_is_still_read() -> None:
    result = read("a: 1\n---\nb: [\n")
    assert [plain(node) for node in result.documents] == [{"a": "1"}]
    assert len(result.problems) == 1


def test_billion_laughs_are_refused_before_they_are_expanded() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in zip("abcdefghi", "bcdefghij", strict=True)]
    result = read("\n".join(lines))
    assert [problem.mark.line for problem in result.problems] == [6]
    assert "more than 250000 values once aliases are expanded" in result.problems[0].message
    assert result.documents == []


def test_merges_count_as_expansion_too() -> None:
    text = (
        "a: &a {" + ", ".join(f"k{i}: 1" for i in range(50)) + "}\n" + "".join(f"m{i}: {{<<: *a}}\n" for i in range(50))
    )
    assert read(text).problems == []
    assert "aliases are expanded" in read(text, nodes=2000).problems[0].message


@pytest.mark.parametrize("text", ["[" * 40, "- " * 40 + "a", "{a: " * 40, "[" * 500_000])
def test_deep_nesting_is_refused(text: str) -> None:
    assert "the nesting is deeper than 32 levels" in read(text).problems[0].message


def test_nesting_through_aliases_counts() -> None:
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 40))
    assert "the nesting is deeper than 32 levels" in read(text).problems[0].message


def test_a_large_file_is_refused_by_its_size() -> None:
    assert read(b"a: " + b"x" * (1024 * 1024)).problems[0].message.startswith("the file is larger than 1024 KiB")
    assert read(b"a: " + b"x" * (1024 * 1024 - 3)).problems == []
