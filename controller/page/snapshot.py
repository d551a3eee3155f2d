"""What the page knows of its station at one moment, as the station's own JSON objects: what the rows are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from controller.model.status_document import StatusDocument

if TYPE_CHECKING:
    from controller.page.about import AboutPid

JsonRow = Mapping[str, Any]
"""A row of an answer of the station, with the keys that its documentation says; further ones may come."""


class Sample(NamedTuple):
    """How far a metric was on its way to a rollback (0 to 1) at a moment (seconds since 1970)."""

    at: float
    progress: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`as_of`: when the station looked last (seconds since 1970). `cut_since`: since when it does not answer."""

    status: StatusDocument | None = None
    parts: Mapping[str, JsonRow] = field(default_factory=dict)
    """The last part of each PID."""
    details: Mapping[str, JsonRow] = field(default_factory=dict)
    """Each deployment with its steps."""
    trends: Mapping[tuple[str, str], tuple[Sample, ...]] = field(default_factory=dict)
    """By deployment and metric, what the last minutes were."""
    as_of: float = 0.0
    pictured: float = 0.0
    """When a part last had a picture."""
    cut_since: float | None = None
    about: Mapping[str, AboutPid] = field(default_factory=dict)
    """What is known of the PIDs that somebody has open."""
