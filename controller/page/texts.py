"""The page's words in three languages, from one table, and how numbers, times and sizes are written in each.

What the station says itself (messages of a deployment, errors, an algorithm's words) is English in every language, as
it is in the audit and on the command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Final

import orjson

LANGUAGES: Final = ("en", "de", "zh")
NAMES: Final = {"en": "English", "de": "Deutsch", "zh": "中文"}
_DECIMAL_COMMA: Final = {"de"}
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_SPACE: Final = "\u202f"
"""Narrow, and no line is broken there."""
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB")


class Texts:
    """The words and forms of one language."""

    def __init__(self, language: str, words: Mapping[str, str]) -> None:
        self.language = language
        self._words = words

    def __call__(self, key: str, **values: object) -> str:
        """Return a text with its places filled in. KeyError: there is no such text."""
        text = self._words[key]
        return text.format_map(values) if values else text

    def known(self, prefix: str, word: str) -> str:
        """Return the text for a word of the station, and the word itself where a newer station has more of them."""
        return self._words.get(f"{prefix}.{word}", word)

    def number(self, value: float, digits: int = 3) -> str:
        """Return a number with so many telling digits."""
        if value == round(value) and abs(value) < 1e15:
            return self._local(f"{round(value):,}")
        return self._local(f"{value:,.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}")

    def percent(self, share: float | None) -> str:
        """Return a share in percent; a dash where it is not known."""
        if share is None:
            return "–"
        return f"{self.number(share * 100)}{_SPACE}%"

    def milliseconds(self, value: float | None) -> str:
        """Return a time given in milliseconds; a dash where it is not known."""
        if value is None:
            return "–"
        return f"{self.number(value)}{_SPACE}ms" if value < 1000 else f"{self.number(value / 1000)}{_SPACE}s"

    def span(self, seconds: float) -> str:
        """Return a length of time in one unit."""
        for size, unit in ((3600, "h"), (60, "min")):
            if seconds >= size and seconds % size == 0:
                return f"{self.number(seconds / size)}{_SPACE}{unit}"
        return f"{self.number(seconds)}{_SPACE}s"

    def size(self, count: float | None) -> str:
        """Return a number of bytes; a dash where it is not known."""
        if count is None:
            return "–"
        at = 0
        while count >= 1024 and at < len(_SIZES) - 1:
            count, at = count / 1024, at + 1
        return f"{self.number(count)}{_SPACE}{_SIZES[at]}"

    def amount(self, metric: str, value: float | None) -> str:
        """Return the value of a judged metric in its own unit."""
        if value is None:
            return self("unknown")
        match metric:
            case "errorRate" | "timeoutRate" | "ngRate" | "cpu" | "escapes" | "overkill":
                return self.percent(value)
            case "newlyOK" | "newlyNG" | "replayErrorRate" | "replayTimeoutRate":
                return self.percent(value)
            case "latencyP95":
                return self.milliseconds(value * 1000)
            case "memory" if value > 1024:
                return self.size(value)
        return self.number(value)

    def clock(self, moment: str | float | None) -> str:
        """Return the time of day at the station; with the date where it is not today. Other text as it stands."""
        at = moment if isinstance(moment, float) else epoch_of(moment)
        here = _here(at) if at is not None else None
        if here is None:
            return "" if moment is None else str(moment)
        time = f"{here:%H:%M:%S}"
        if here.date() == datetime.now().astimezone().date():
            return time
        return f"{here:%d.%m.%Y} {time}" if self.language == "de" else f"{here:%Y-%m-%d} {time}"

    def told(self, sentence: str) -> str:
        """Return a sentence of the station with times of day in the place of timestamps."""
        return _MOMENT.sub(lambda found: self.clock(found[0]), sentence)

    def _local(self, number: str) -> str:
        if self.language in _DECIMAL_COMMA:
            return number.translate(str.maketrans(",.", ".,"))
        return number


def _here(at: float) -> datetime | None:
    """Return the time at the station; None where a calendar has none: what a stranger wrote may name any year."""
    try:
        return datetime.fromtimestamp(at).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def epoch_of(moment: str | None) -> float | None:
    """Return the seconds since 1970 of an RFC 3339 timestamp; None where it is none."""
    try:
        return datetime.fromisoformat(moment or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return None


@cache
def catalogue() -> Mapping[str, tuple[str, ...]]:
    """Return every text by its key, in the order of `LANGUAGES`."""
    table = orjson.loads(files(__package__).joinpath("catalogue.json").read_bytes())
    return {key: tuple(row) for key, row in table.items()}


@cache
def texts(language: str) -> Texts:
    """Return the texts of a language that there is."""
    at = LANGUAGES.index(language)
    return Texts(language, {key: row[at] for key, row in catalogue().items()})


def chosen(wanted: str | None, accepted: str) -> str:
    """Return the language of a viewer: what they chose, else the best of `Accept-Language`, else English."""
    if wanted in LANGUAGES:
        return str(wanted)
    ranked: list[tuple[float, int, str]] = []
    for at, each in enumerate(accepted[:400].split(",")):
        tag, _, weight = each.strip().partition(";q=")
        language = tag.split("-")[0].lower()
        if language in LANGUAGES:
            ranked.append((-_weight(weight), at, language))
    return min(ranked)[2] if ranked else LANGUAGES[0]


def _weight(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
