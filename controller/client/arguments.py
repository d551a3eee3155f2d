"""The arguments of a detection beside its images (design 3.6): one value, from who asks to the algorithm.

It stands in the client's room because that is the lowest one that all who carry it may import: host applications must
load neither `model` nor pydantic, and the command line, HTTP and calls lie above. Bounds stand in the fields' metadata
under the names that pydantic gives them, so that HTTP reads a body, and documents it, by this very class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.errors import CallError, Code

_PHASE = "^(pre|execute)$"
_LONGEST = 1e9


@dataclass(frozen=True, slots=True)
class CallArguments:
    """What a detection is asked with. What is None is left out.

    `step_desc` and `guide_info` are for 0.3.x algorithms, `params`, `session` and `phase` (left out: pre, then execute)
    for 0.0.x ones; what a generation has no place for must be well-formed and is not passed on. `timeout`: seconds that
    the caller waits for the answer.
    """

    step_index: int = field(default=1, metadata={"ge": 1})
    step_desc: str = ""
    guide_info: list[Any] | dict[str, Any] | None = None
    params: Mapping[str, Any] | None = None
    session: Mapping[str, Any] | None = None
    phase: str | None = field(default=None, metadata={"pattern": _PHASE})
    timeout: float | None = field(default=None, metadata={"gt": 0, "lt": _LONGEST, "allow_inf_nan": False})

    def to_document(self) -> dict[str, Any]:
        """Return what is to be sent: everything that is not left out."""
        found = {name: getattr(self, name) for name in CallArguments.__slots__}
        return {name: value for name, value in found.items() if value is not None}

    def check(self) -> None:
        """Raise CallError 1003 where an argument is malformed, whatever algorithm it is for."""
        index, guide, params, session, timeout = (
            self.step_index, self.guide_info, self.params, self.session, self.timeout,
        )  # fmt: skip
        _require(type(index) is int and index >= 1, "step_index", "a whole number from 1")
        _require(isinstance(self.step_desc, str), "step_desc", "text")
        _require(guide is None or isinstance(guide, (list, tuple, dict)), "guide_info", "a list, or an object")
        _require(params is None or isinstance(params, Mapping), "params", "an object")
        _require(session is None or _is_session(session), "session", 'an object {"id": text, "context": {…}}')
        _require(self.phase is None or _is_phase(self.phase), "phase", "pre or execute, or leave it out")
        _require(timeout is None or _is_time(timeout), "timeout", "a positive number of seconds")


def _require(holds: bool, what: str, need: str) -> None:
    if not holds:
        raise CallError(Code.invalid_params, f"{what} is not valid", next_step=f"pass {need}")


def _is_session(session: object) -> bool:
    return (
        isinstance(session, Mapping)
        and session.keys() <= {"id", "context"}
        and isinstance(session.get("id", ""), str)
        and isinstance(session.get("context", {}), Mapping)
    )


def _is_phase(phase: object) -> bool:
    return isinstance(phase, str) and re.fullmatch(_PHASE, phase) is not None


def _is_time(seconds: object) -> bool:
    return isinstance(seconds, (int, float)) and seconds is not True and 0 < seconds < _LONGEST
