"""Query parameters: of a command's fields, by their types, on the way in (HTTP) and on the way out (the remote)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import orjson
import pytest
from starlette.requests import Request

from controller.client.addresses import Address
from controller.errors import CallError, Code
from controller.http.commands import CommandResource
from controller.http.openapi import document
from controller.http.request_body import BodyLimits
from controller.station.port import Access, Caller, Command, Operation, Report, Result, Route, silent
from controller.station.remote import RemoteStation

MEANINGS = {"limit": "How many.", "force": "Also then.", "word": "A text.", "pid": "Which PIDs.", "level": "How much."}


@dataclass(frozen=True, slots=True)
class Row:
    """A nested answer."""

    name: str
    parts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Find(Command[tuple[Row, ...]]):
    """A query with parameters of every kind."""

    subject: str
    word: str
    limit: int = 50
    force: bool = False
    pids: tuple[str, ...] = ()
    level: Literal["low", "high"] | None = None
    operation: ClassVar = Operation(
        Access.viewer,
        "Find.",
        (Route("GET", "/v1/things/{name}", "Things.", (400,), {"name": "subject", "pid": "pids"}, {}, MEANINGS),),
        tuple[Row, ...],
    )


class Finding:
    """A station that only remembers what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Command[object]] = []

    async def execute(self, command: Command[Result], caller: Caller, report: Report = silent) -> Result:
        self.asked.append(command)
        return (Row("a", (1, 2)),)  # type: ignore[return-value]


async def ask(query: str) -> Command[object]:
    station = Finding()
    resource = CommandResource(station, BodyLimits(), Find, Find.operation.routes[0])

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/v1/things/x", "query_string": query.encode(), "headers": [],
             "path_params": {"name": "x"}, "state": {}}  # fmt: skip
    answer = await resource.handle(Request(scope, receive))
    assert orjson.loads(answer.body) == [{"name": "a", "parts": [1, 2]}]
    return station.asked[0]


async def test_each_parameter_is_read_by_its_type_and_what_is_left_out_keeps_its_default() -> None:
    assert await ask("word=a%20b") == Find("x", "a b")
    assert await ask("word=&limit=7&force=true&pid=A01&pid=A02&level=high") == Find(
        "x", "", 7, force=True, pids=("A01", "A02"), level="high"
    )


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", "word: is missing"),
        ("word=a&limti=3", "'limti' is not known; did you mean 'limit'?"),
        ("word=a&limit=3.5", "limit: "),
        ("word=a&limit=true", "limit: "),
        ("word=a&force=yes", "force: 'yes' is not valid JSON for it"),
        ("word=a&force=1", "force: "),
        ("word=a&level=most", "level: "),
        ("word=a&word=b", "word: is given more than once"),
        ("word=a&name=y", "'name' is not known"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_name(query: str, told: str) -> None:
    with pytest.raises(CallError) as caught:
        await ask(query)
    assert caught.value.code == Code.invalid_params
    assert told in caught.value.message


def test_the_openapi_document_describes_them() -> None:
    resource = CommandResource(Finding(), BodyLimits(), Find, Find.operation.routes[0])
    (described,) = document([resource.endpoint()])["paths"].values()  # type: ignore[attr-defined]
    told = {each["name"]: each for each in described["get"]["parameters"]}
    assert set(told) == {"name", *MEANINGS}
    assert {name: each["required"] for name, each in told.items() if each["required"]} == {"name": True, "word": True}
    assert told["limit"]["schema"] == {"type": "integer"}
    assert told["pid"]["schema"] == {"type": "array", "items": {"type": "string"}}
    assert told["level"]["schema"] == {"enum": ["low", "high"], "type": "string"}
    assert "requestBody" not in described["get"]


@pytest.mark.parametrize(
    "command",
    [Find("x", "a&b=c ü"), Find("a/b", "", 7, force=True, pids=("A01", "A,2"), level="high"), Find("x", "a", 0)],
)
async def test_what_a_remote_station_sends_is_what_arrives(command: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str]] = []

    def remember(_address: object, method: str, target: str, *_: object, **__: object) -> list[bytes]:
        sent.append((method, target))
        return []

    remote = RemoteStation(Address.of(Path("/nowhere"), None, None))
    monkeypatch.setattr("controller.station.remote.request", remember)

    async def answer(*_: object) -> object:
        return [{"name": "a", "parts": [1], "newer": True}]

    monkeypatch.setattr(RemoteStation, "_exchange", answer)
    assert await remote.execute(command, Caller("mia")) == (Row("a", (1,)),)
    ((method, target),) = sent
    path, _, query = target.partition("?")
    assert (method, path) == ("GET", f"/v1/things/{command.subject.replace('/', '%2F')}")
    arrived = await ask(query)
    assert isinstance(arrived, Find)
    assert (arrived.word, arrived.limit, arrived.force, arrived.pids, arrived.level) == (
        command.word, command.limit, command.force, command.pids, command.level,
    )  # fmt: skip
