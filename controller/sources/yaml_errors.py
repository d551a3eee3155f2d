"""The YAML parser's complaints in plain words: what is wrong, and what was expected instead."""

from __future__ import annotations

import yaml

_PHRASES = (
    # Pieces of libyaml's and of PyYAML's own wording for one mistake, and ours.
    (("mapping values are not allowed",), "a key cannot stand here (expected quotes around text that contains ': ')"),
    (("found unexpected end of stream",), "a quoted text is not closed (expected the same quote at its end)"),
    (("found unexpected document indicator",), "a quoted text is not closed (expected the same quote at its end)"),
    (("',' or ']'",), "the list is not closed (expected ',' or ']')"),
    (("',' or '}'",), "the mapping is not closed (expected ',' or '}')"),
    (("expected ':'",), "this line is neither a key nor a list item (expected 'key: value')"),
    (
        ("expected key", "expected <block end>", "expected '-' indicator"),
        "the line does not fit the one above (expected the same indentation, and 'key: value' or '- item')",
    ),
    (
        ("expected node content", "expected the node content"),
        "a value is missing, or a sign stands where none can (expected a value, or quotes around the sign)",
    ),
    (("comment or line break", "comment or a line break"), "text follows | or > (expected it on the next lines)"),
    (("mapping keys are not allowed",), "a ? cannot stand here (expected quotes around text that starts with it)"),
    (("directive name", "unexpected non-alphabetical"), "a line cannot start with % (expected quotes around it)"),
    (("sequence entries are not allowed",), "a list item cannot stand here (expected it on a line of its own)"),
    (("unknown escape character",), "unknown escape in double quotes (expected single quotes or \\\\)"),
    (("undefined tag handle",), "a tag is not allowed here (expected no tag)"),
    (("incompatible YAML document",), "this version of YAML is not known (expected no %YAML line)"),
    (("alphabetic or numeric",), "the name of an anchor or alias is missing (expected letters and digits)"),
    (("<document start>",), "something follows the end of the document (expected --- between documents)"),
)


def in_plain_words(error: yaml.MarkedYAMLError, text: str) -> str:
    """Return what is wrong with `text`, without the parser's vocabulary."""
    problem = str(error.problem or "")
    lines = text.splitlines()
    mark = error.problem_mark
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if mark and line[: mark.column + 1].strip(" ").startswith("\t"):
        return "a tab cannot indent a line (expected spaces)"
    if "cannot start any token" in problem and mark:
        return f"a text cannot start with {line[mark.column : mark.column + 1]} (expected it in quotes)"
    for pieces, message in _PHRASES:
        if any(piece in problem for piece in pieces):
            return message
    return f"not valid YAML: {problem or error.context} (expected 'key: value' lines)"
