"""The query that has to answer at once, also on a station that fails: no dataclasses here, their module costs 8 ms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.station.port import Access, Command, Operation, Route

if TYPE_CHECKING:  # named in quotes where a query says its result
    from controller.model.status_document import StatusDocument  # noqa: F401


class GetStatus(Command["StatusDocument"]):
    """The status document (design 3.3)."""

    __slots__ = ()
    operation = Operation(
        Access.viewer,
        "Return the status document.",
        (Route("GET", "/v1/status", "The status; further keys may be added.", (500,)),),
    )
