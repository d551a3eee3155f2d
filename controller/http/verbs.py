"""`POST /v1/deployments/{name}/{verb}` and `POST /v1/pids/{pid}/{verb}`: operators' verbs, passed through."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from controller.errors import CallError, Code
from controller.http.failures import Refused
from controller.http.peers import actor_of
from controller.http.ports import Control
from controller.http.request_body import BodyLimits
from controller.http.resource import Content, Operation, json_response

DEPLOYMENT_VERBS = ("promote", "pause", "abort", "retry", "resume", "rollback")
PID_VERBS = ("resume", "rollback")
_ERRORS = (400, 404, 409, 413, 422, 500, 503)


class Verbs:
    """Both resources, for one daemon."""

    def __init__(self, control: Control, limits: BodyLimits) -> None:
        self._control = control
        self._limits = limits

    def operations(self) -> tuple[Operation, ...]:
        """Return what the resources offer."""
        body = Content(dict[str, Any], "The verb's arguments, such as {reason, to, emergency, full}; may be left out.")
        answers = {200: Content(dict[str, Any], "What was done.")}
        return (
            Operation(
                "POST", "/v1/deployments/{name}/{verb}", self.on_deployment, "Carry out a verb on a deployment.",
                (body,), answers, _ERRORS, parameters={"verb": {"enum": list(DEPLOYMENT_VERBS)}},
            ),
            Operation(
                "POST", "/v1/pids/{pid}/{verb}", self.on_pid, "Carry out a verb on a PID.",
                (body,), answers, _ERRORS, parameters={"verb": {"enum": list(PID_VERBS)}},
            ),
        )  # fmt: skip

    async def on_deployment(self, request: Request) -> Response:
        return await self._operate(request, request.path_params["name"], DEPLOYMENT_VERBS)

    async def on_pid(self, request: Request) -> Response:
        return await self._operate(request, request.path_params["pid"], PID_VERBS)

    async def _operate(self, request: Request, subject: str, verbs: tuple[str, ...]) -> Response:
        verb = request.path_params["verb"]
        if verb not in verbs:
            raise Refused(404, f"there is no verb {verb[:80]!r} here", next_step=f"use {', '.join(verbs)}")
        async with self._limits.body(request) as body:
            arguments = _arguments(body)
        return json_response(await self._control.operate(verb, subject, arguments, actor_of(request)))


def _arguments(body: bytes) -> dict[str, Any]:
    try:
        arguments = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise CallError(Code.invalid_params, f"the request is not JSON: {error}", next_step="send an object") from None
    if not isinstance(arguments, dict):
        raise CallError(Code.invalid_params, "the request is no JSON object", next_step="send an object, or nothing")
    return arguments
