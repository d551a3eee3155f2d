"""The JSON of requests: what is an integer for JSON Schema is one here, and what is none is refused by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest
from annotated_types import Interval
from pydantic import ConfigDict

from controller.errors import CallError, Code
from controller.http.arguments import DetectionArguments, reader

STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class Part:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    count: int
    share: float = 0.0


@dataclass(frozen=True)
class Asked:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    last: Annotated[int, Interval(ge=1, le=100)] = 5
    jobs: int | None = None
    either: int | str = ""
    numbers: tuple[int, ...] = ()
    parts: tuple[Part, ...] = ()
    text: str = ""
    flag: bool = False


READ = reader(Asked, "the request")


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ('{"last": 67.0}', Asked(last=67)),
        ('{"last": 6.7e1, "jobs": -2.0, "text": "67.0"}', Asked(last=67, jobs=-2, text="67.0")),
        ('{"either": 3.0}', Asked(either=3)),
        ('{"numbers": [1, 2.0, 3]}', Asked(numbers=(1, 2, 3))),
        ('{"parts": [{"count": 1.0, "share": 1.0}, {"count": 2}]}', Asked(parts=(Part(1, 1.0), Part(2)))),
    ],
)  # fmt: skip
def test_a_whole_number_may_be_written_with_a_fraction_of_nought(text: str, asked: Asked) -> None:
    assert READ(text.encode()) == asked


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"last": 67.5}', "last: Input should be a valid integer"),
        ('{"last": 101.0}', "last: Input should be less than or equal to 100"),
        ('{"last": 67.0, "text": 1.0}', "text: Input should be a valid string"),
        ('{"last": "67"}', "last: Input should be a valid integer"),
        ('{"flag": 1.0}', "flag: Input should be a valid boolean"),
        ('{"last": 67.0, "lasst": 1}', "'lasst' is not known; did you mean 'last'?"),
        ('{"last": 1e400}', "last: "),
        ('{"last": 67.0', "EOF"),
    ],
)
def test_what_is_none_is_refused_by_its_name(text: str, words: str) -> None:
    with pytest.raises(CallError) as caught:
        READ(text.encode())

    assert caught.value.code is Code.invalid_params
    assert words in str(caught.value)


def test_it_holds_for_a_detection_too() -> None:
    assert reader(DetectionArguments, "the request")(b'{"step_index": 2.0}').step_index == 2
