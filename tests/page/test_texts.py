"""The catalogue is whole, the templates hold no text of their own, and each language has its own forms."""

from __future__ import annotations

import re
import time
from pathlib import Path
from string import Formatter

import pytest

import controller.page
from controller.page.texts import LANGUAGES, catalogue, chosen, texts

ROOT = Path(controller.page.__file__).parent
TEMPLATES = sorted((ROOT / "templates").glob("*.html"))
PARTLY = re.compile(r"t\('([a-z0-9.-]+\.)' ~|t\.known\('([a-z]+)'")


def test_every_text_is_there_in_every_language_with_the_same_places() -> None:
    for key, row in catalogue().items():
        assert len(row) == len(LANGUAGES), key
        assert all(each.strip() for each in row), key
        places = [{name for _, name, _, _ in Formatter().parse(each) if name} for each in row]
        assert all(each == places[0] for each in places), key


def test_templates_use_only_texts_that_there_are_and_every_text_is_used() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in TEMPLATES)
    whole = set(re.findall(r"\bt\('([\w.-]+)'(?! ~)", source)) | {"unknown"}
    begun = {f"{(first or second).rstrip('.')}." for first, second in PARTLY.findall(source)}
    chosen_by_name = {f"{name}{rest}" for name in ("filter", "density", "order") for rest in ("", *_values(name))}

    assert whole - set(catalogue()) == set()
    unused = {key for key in catalogue() if key not in whole | chosen_by_name and not key.startswith(tuple(begun))}
    assert unused == set()


def _values(name: str) -> list[str]:
    return [key.removeprefix(name) for key in catalogue() if key.startswith(f"{name}.")]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_holds_text_of_its_own(template: Path) -> None:
    source = template.read_text(encoding="utf-8")
    bare = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}", " ", source, flags=re.DOTALL)
    spoken = re.findall(r'(?:aria-label|alt|title|placeholder)="([^"]*)"', bare)
    shown = re.sub(r"<[^>]*>", " ", bare)

    assert re.findall(r"[^\W\d_]{2,}", shown) == []
    assert [each for each in spoken if re.search(r"[^\W\d_]", each)] == []


def test_no_template_has_script_or_style_in_its_markup() -> None:
    for path in TEMPLATES:
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"<style|\sstyle=|<script(?! src)|\son[a-z]+=|hx-on|javascript:|\|safe", source), path.name


def test_a_viewer_gets_the_language_they_chose_else_the_best_that_they_take() -> None:
    assert chosen("zh", "de") == "zh"
    assert chosen("xx", "de-AT,de;q=0.9,en;q=0.8") == "de"
    assert chosen(None, "fr, zh-CN;q=0.4, en;q=0.3") == "zh"
    assert chosen(None, "fr;q=x") == "en"


def test_numbers_are_written_as_each_language_writes_them() -> None:
    english, german = texts("en"), texts("de")

    assert (english.percent(0.0625), german.percent(0.0625)) == ("6.25\u202f%", "6,25\u202f%")
    assert (english.number(1234567), german.number(1234567)) == ("1,234,567", "1.234.567")
    assert (english.milliseconds(66.54), german.milliseconds(1250)) == ("66.5\u202fms", "1,25\u202fs")
    assert english.size(412_000_000) == "393\u202fMiB"
    assert english.amount("latencyP95", 0.8) == "800\u202fms"
    assert german.amount("errorRate", None) == "unbekannt"


def test_moments_in_a_sentence_are_told_as_the_time_at_the_station() -> None:
    sentence = texts("de").told("in quarantine since 2024-03-01T11:02:10Z: bad")

    assert re.fullmatch(r"in quarantine since \d\d\.\d\d\.2024 \d\d:\d\d:10: bad", sentence)
    assert texts("en").clock("no moment") == "no moment"


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2024-13-45T99:99:99Z"])
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York"])
def test_a_moment_that_no_calendar_has_there_is_told_as_it_was_said(
    moment: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        told = texts("en").told(f"it raised at {moment}")
    finally:
        monkeypatch.undo()
        time.tzset()

    assert told.startswith("it raised at ")
    assert texts("en").clock(1e300) == "1e+300"
