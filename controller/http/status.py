"""`GET /v1/status`: the status document (design 3.3)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from controller.http.ports import Control
from controller.http.resource import Content, Operation, json_response
from controller.model.status import Status


class StatusResource:
    """The resource, for one daemon."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> tuple[Operation, ...]:
        """Return what the resource offers."""
        return (
            Operation(
                "GET", "/v1/status", self.status, "Return the status document.",
                answers={200: Content(Status, "The status; further keys may be added.")}, errors=(500,),
            ),
        )  # fmt: skip

    async def status(self, _: Request) -> Response:
        return json_response(self._control.status())
