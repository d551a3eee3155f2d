"""The reports of a replay: for people, for CI, and as one page; and what is exact about its shares."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from controller.model.comparison import Answer
from controller.model.intervals import clopper_pearson
from controller.replay.document import ReplayLimits, document_of
from controller.replay.journal import Journal
from controller.replay.junit import junit
from controller.replay.page import page_of
from controller.replay.result import Result, quantile
from controller.replay.shown import Shown
from controller.replay.words import facts, limits, matrix, verdict
from tests.replay.documents import NG, OK, REPLAY, RESULT, SCRATCH, SHOWN
from tests.replay.parts import part, record


def test_the_document_has_the_matrix_the_shares_with_their_intervals_and_what_differs() -> None:
    cells = {(cell["before"], cell["after"]): cell["pictures"] for cell in REPLAY["matrix"]}

    assert cells == {("OK", "OK"): 37, ("NG", "NG"): 17, ("NG", "OK"): 2, ("OK", "ERROR"): 1, ("ERROR", "ERROR"): 1}
    assert (REPLAY["wanted"], REPLAY["compared"], REPLAY["excused"], REPLAY["dropped"]) == (60, 56, 1, 2)
    assert REPLAY["refused"] == 1
    assert REPLAY["newly_ok"]["share"] == pytest.approx(2 / 56)
    assert REPLAY["newly_ok"]["interval"] == list(clopper_pearson(2, 56))
    assert (REPLAY["newly_ok"]["within"], REPLAY["newly_ng"]["within"], REPLAY["errors"]["within"]) == (
        False,
        True,
        False,
    )
    assert REPLAY["errors"]["of"] == 57
    assert [row["outcome"] for row in REPLAY["differing"]] == ["newly_ok", "error", "newly_ok"]
    assert not REPLAY["within_limits"]


def test_a_share_at_its_limit_is_within_and_a_failure_never_is() -> None:
    at_limit = ReplayLimits(2 / 56, 0, 1 / 57)
    about = {"deployment": "", "package": "p", "baseline": "recorded"}
    broken = Result(1, SHOWN[:1])
    broken.finish("its process had to be replaced 11 times")

    assert document_of(RESULT, SHOWN, limits=at_limit, **about)["within_limits"]
    assert not document_of(RESULT, SHOWN, limits=ReplayLimits(2 / 56 - 1e-6, 0, 1 / 57), **about)["within_limits"]
    assert not document_of(broken, SHOWN[:1], limits=ReplayLimits(1, 1, 1), **about)["within_limits"]


def test_the_words_for_people() -> None:
    assert matrix(REPLAY) == [
        ("OK", {"OK": 37, "NG": 0, "ERROR": 1}), ("NG", {"OK": 2, "NG": 17, "ERROR": 0}),
        ("ERROR", {"OK": 0, "NG": 0, "ERROR": 1}),
    ]  # fmt: skip
    assert limits(REPLAY)[0] == ("newly OK", "2 of 56", "3.57 % (0.44 % – 12.31 %)", "0.2 %", "beyond")
    assert dict(facts(REPLAY))["Pictures"] == (
        "56 of 60 compared, 1 without a verdict before, 2 not compared (1 because of arguments that a version does not "
        "take: params: threshold must be <1)"
    )
    assert dict(facts(REPLAY))["Memory"] == "90MiB at most"
    assert verdict(REPLAY) == "inspector@2.0.0 is beyond the limits"
    assert verdict({**REPLAY, "failure": "it never became ready"}) == "inspector@2.0.0 failed: it never became ready"


def test_junit_has_a_case_for_each_picture_whatever_an_algorithm_wrote() -> None:
    root = ElementTree.fromstring(junit(REPLAY))  # noqa: S314 - our own
    cases = {case.get("name", "").partition(" ")[2]: case for case in root.iter("testcase")}

    assert len(cases) == 60
    counts = {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "60", "failures": "2", "errors": "1", "skipped": "3"}
    assert {name for name, case in cases.items() if case.find("failure") is not None} == {"r30", "r60"}
    assert cases["r30"].find("failure").get("type") == "newly_ok"  # type: ignore[union-attr]
    assert "scratch at 4,6 10×3" in (cases["r30"].findtext("failure") or "")
    assert cases["r31"].find("error").get("type") == "error"  # type: ignore[union-attr]
    assert "the process ended \ufffd<b>& more" in (cases["r31"].findtext("error") or "")
    why = {name: cases[name].find("skipped").get("message") for name in ("r32", "r34")}  # type: ignore[union-attr]
    assert why == {
        "r32": "it could not be shown", "r34": "the recorded arguments are not taken: params: threshold must be <1",
    }  # fmt: skip
    properties = {each.get("name"): each.get("value") for each in root.iter("property")}
    assert (properties["within_limits"], properties["newly_ok_limit"]) == ("False", "0.002")


def test_junit_is_not_green_where_the_version_failed_as_a_whole() -> None:
    failed = REPLAY | {"failure": "did not become ready \x00", "pictures": REPLAY["pictures"][:1]}
    root = ElementTree.fromstring(junit(failed))  # type: ignore[arg-type]  # noqa: S314 - our own

    counts = {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "3", "failures": "0", "errors": "1", "skipped": "1"}
    _, whole, others = root.iter("testcase")
    assert whole.find("error").get("message") == "did not become ready \ufffd"  # type: ignore[union-attr]
    assert others.find("skipped").get("message") == "59 of 60 were not shown"  # type: ignore[union-attr]


class References(HTMLParser):
    """What a page refers to, its pictures and its rectangles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.images = self.uses = self.rectangles = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.images += tag == "image"
        self.uses += tag == "use"
        self.rectangles += tag == "rect"
        targets = [given.get(name) or "" for name in ("src", "href", "action", "data", "srcset")]
        self.outside += [each for each in targets if each and not each.startswith(("#", "data:"))]
        assert tag not in {"script", "link", "iframe", "object", "embed"}


def test_the_page_stands_alone_with_both_versions_on_each_differing_picture(tmp_path: Path) -> None:
    page = page_of(REPLAY, record(tmp_path / "store", (30, 31)))
    found = References(page)

    assert found.outside == []
    assert not re.search(r"url\(|@import|https?://", page.replace("http://www.w3.org", ""))
    assert (found.images, found.uses) == (2, 2), "30 and 31 twice each; 60 is not recorded any more"
    assert found.rectangles == 1, "the scratch that the version before has found on 30"
    assert "The picture is not recorded any more." in page
    assert "<b>&" not in page
    assert "threshold must be &lt;1" in page
    assert page.index("r30") < page.index("r60") < page.index("r31"), "what lets parts pass comes first"


def test_a_picture_that_differs_by_the_places_of_defects_alone() -> None:
    elsewhere = {**SCRATCH, "x": 20.0}
    shown = Shown("id", "A01", before=NG, after=Answer("NG", (elsewhere,), 1.0)).compared(0.5)
    result = Result.of(Journal({}, ("id",), [Shown.from_document(shown.to_document())]))
    document = document_of(
        result, [shown], deployment="", package="p", baseline="recorded", limits=ReplayLimits(1, 1, 0)
    )  # fmt: skip

    assert (result.agreement.ng_ng, result.agreement.newly_ok, result.agreement.newly_ng) == (1, 1, 1)
    assert document["differing"][0]["outcome"] == "both"
    assert Shown("id", before=NG, after=OK).compared(0.5).difference.newly_ok


@pytest.mark.parametrize(("share", "expected"), [(0.5, 3), (0.95, 5), (0.2, 1), (0.21, 2), (0, 1)])
def test_a_quantile_is_the_value_of_the_nearest_rank(share: float, expected: int) -> None:
    assert quantile([3, 1, 5, 2, 4], share) == expected
    assert quantile([], share) is None


def test_a_part_says_what_is_on_it() -> None:
    assert bytes(part(30).pixels[:2]) == b"\x1e\xff"
    assert bytes(part(31).pixels[:2]) == b"\x1f\x00"
