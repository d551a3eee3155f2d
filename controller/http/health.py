"""`GET /healthz` and `GET /readyz`: whether the daemon lives, and whether every active version can answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import Response

from controller.http.ports import Control
from controller.http.resource import Content, Operation, json_response


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether every active version can answer; `reason` says why not."""

    ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Life:
    """A sign of life."""

    alive: bool = True


class Health:
    """Both resources, for one daemon."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> tuple[Operation, ...]:
        """Return what the resources offer."""
        return (
            Operation(
                "GET", "/healthz", self.healthz, "Say that the daemon is alive.",
                answers={200: Content(Life, "It is.")},
            ),
            Operation(
                "GET", "/readyz", self.readyz, "Say whether every active version can answer.",
                answers={200: Content(Readiness, "It can."), 503: Content(Readiness, "It cannot, for this reason.")},
            ),
        )  # fmt: skip

    async def healthz(self, _: Request) -> Response:
        return json_response(asdict(Life()))

    async def readyz(self, _: Request) -> Response:
        ready, reason = self._control.ready()
        return json_response(asdict(Readiness(ready, reason)), 200 if ready else 503)
