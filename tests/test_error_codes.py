"""One truth about error codes: what the tables in the documents say is what the code does, for every code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.errors import CallError, Code, CodedError
from controller.http.failures import error_response
from controller.http.openapi_words import STATUS
from controller.model.tally import Kind, classify
from controller.processes.conversation import failure_of
from controller.wire.messages import CallFailed

HEADINGS = ("### Packages", "### Detections", "### Access")
DOCS = Path(__file__).parents[1] / "docs"
CALLS = [code for code in Code if code < Code.invalid_zip]
ACCESS = [code for code in Code if code > Code.unsafe_uninstall]
OF_HTTP = {408, 413, 415, 431}
"""Statuses that the HTTP layer gives before there is a call."""
SECOND = {(Code.shared_memory_not_found, 503), (Code.unknown, 503)}
"""Codes that have another status where the host is at fault: no room for a picture, no room for a connection."""


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a line of a page."""
    text = (DOCS / page).read_text(encoding="utf-8").partition(heading)[2]
    lines = re.findall(r"^\|.*\|$", re.split(r"\n\n(?!\|)", text[text.index("\n|") :])[0], re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def codes_in(text: str) -> list[Code]:
    """Return the codes that a cell names; `1001–1003` names all between."""
    found = []
    for first, last in re.findall(r"\b([123]\d{3})(?:–([123]\d{3}))?", text):
        found += [code for code in Code if int(first) <= code <= int(last or first)]
    return found


def test_every_code_has_one_row_under_its_own_name() -> None:
    named = [row[0] for heading in HEADINGS for row in rows("operations.md", heading)]
    packages = [code for code in Code if code not in {*CALLS, *ACCESS}]
    assert named == [f"{int(code)} {code.name}" for code in (*packages, *CALLS, *ACCESS)]


def test_every_status_is_as_documented() -> None:
    documented = {
        (code, int(status))
        for statuses, codes, _ in rows("operations.md", "**What a failure comes back as:**")
        for status in statuses.split(", ")
        for code in codes_in(codes)
        if int(status) not in OF_HTTP
    }
    told = {(code, error_response(CallError(code, "words")).status_code) for code in (*CALLS, *ACCESS)}
    assert documented - SECOND == told
    assert documented >= SECOND
    no_room = CallError(Code.shared_memory_not_found, "words", details={"fault": "host"})
    assert error_response(no_room).status_code == 503


def test_the_openapi_document_names_the_codes_of_each_status() -> None:
    for code in Code:
        status = error_response(CodedError(code, "words")).status_code
        if status != 409:  # its codes are said by the routes that have it
            assert code in codes_in(STATUS[status]), code
    assert Code.shared_memory_not_found in codes_in(STATUS[503])


def test_what_counts_is_as_documented() -> None:
    kinds = {"a call and an error": Kind.error, "a call and a timeout": Kind.timeout, "nothing": Kind.ignored}
    documented = {
        code: next(kind for words, kind in kinds.items() if counts.startswith(words))
        for ended, counts in rows("analysis.md", "## What counts")
        for code in codes_in(ended)
    }
    assert documented == {code: classify(code) for code in CALLS}


@pytest.mark.parametrize("code", CALLS)
def test_an_algorithms_own_code_always_counts_against_it(code: Code) -> None:
    assert classify(failure_of(CallFailed("r", "words", str(int(code)))).code) is Kind.error
