"""`POST /v1/down`: end every algorithm process of the store, and the daemon."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import Response

from controller.http.ports import Control
from controller.http.resource import Content, Operation, json_response


@dataclass(frozen=True, slots=True)
class Ended:
    """The processes that were ended, by name."""

    ended: tuple[str, ...]


class Down:
    """The resource, for one daemon."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> tuple[Operation, ...]:
        """Return what the resource offers."""
        return (
            Operation(
                "POST", "/v1/down", self.down, "End every algorithm process, then the daemon.",
                answers={200: Content(Ended, "All of them ended.")}, errors=(500,),
            ),
        )  # fmt: skip

    async def down(self, _: Request) -> Response:
        return json_response(asdict(Ended(await self._control.down())))
