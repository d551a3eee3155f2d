"""A client that knows an API by its OpenAPI document alone, and holds every answer against what that promises."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jsonschema

from tests.end_to_end.running import through_folder
from tests.waiting import HANGS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
_STREAMS = {"text/event-stream", "application/x-ndjson"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        """Return what each line or event of a stream says."""
        texts = [line.removeprefix("data: ") for line in self.body.decode().splitlines()]
        return [json.loads(text) for text in texts if text.startswith(("{", "["))]


class ApiClient:
    """Calls operations by their operationIds, at a Unix socket. `exercised`: those that answered as they should."""

    def __init__(self, run: Path) -> None:
        self.document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
        self.operations = {
            operation["operationId"]: (method.upper(), path, operation)
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
        }
        self.exercised: set[str] = set()
        self._run = run

    def __call__(  # what a request is made of
        self,
        name: str,
        body: object = None,
        /,
        *,
        media_type: str = "application/json",
        expect: int = 200,
        enough: bytes = b"",
        headers: Mapping[str, str] | None = None,
        **parameters: Any,
    ) -> Answer:
        """Call an operation and return its answer, which is what the document says, with the status `expect`.

        `enough`: text in a stream that goes on, after which no more of it is read.
        """
        method, path, operation = self.operations[name]
        target = self._target(path, operation, parameters)
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if content is not None:
            taken = operation["requestBody"]["content"]
            assert media_type.partition(";")[0] in taken, f"{name} takes no {media_type}"
        sent = {**(headers or {}), **({} if content is None else {"Content-Type": media_type})}
        answer = self._send(method, target, content, sent, enough)
        assert answer.status == expect, (name, answer.status, answer.body[:500])
        self._hold(name, operation, answer)
        self.exercised.add(name)
        return answer

    def _target(self, path: str, operation: dict[str, Any], given: dict[str, Any]) -> str:
        known = {each["name"]: each for each in operation.get("parameters", ()) if each["in"] in {"path", "query"}}
        assert given.keys() <= known.keys(), f"{given.keys() - known.keys()} are no parameters of {path}"
        for name, parameter in known.items():
            assert name in given or not parameter["required"], name
            if "pattern" in parameter["schema"] and name in given:
                assert re.search(parameter["schema"]["pattern"], given[name])
        in_query = {name: value for name, value in given.items() if known[name]["in"] == "query"}
        in_path = {name: quote(value, safe="") for name, value in given.items() if known[name]["in"] == "path"}
        return path.format(**in_path) + (f"?{urlencode(in_query, doseq=True)}" if in_query else "")

    def _send(
        self, method: str, target: str, content: bytes | None, headers: Mapping[str, str], enough: bytes
    ) -> Answer:
        connection = http.client.HTTPConnection("station", timeout=HANGS)
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.settimeout(HANGS)
        try:
            with through_folder(self._run) as folder:
                channel.connect(f"{folder}/runner.sock")
            connection.sock = channel
            connection.request(method, target, content, dict(headers))
            answer = connection.getresponse()
            body = b""
            while piece := answer.read1(1 << 16):
                body += piece
                if enough and enough in body:
                    break
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)
        finally:
            connection.close()
            channel.close()

    def _hold(self, name: str, operation: dict[str, Any], answer: Answer) -> None:
        """Hold an answer against the document."""
        promised = operation["responses"].get(str(answer.status))
        assert promised is not None, f"{name} answered {answer.status}, which is not documented"
        promised = self._resolved(promised)
        for header in promised.get("headers", {}):
            needed = header == "Location" and answer.status == 202
            assert header.lower() in answer.headers or not needed, f"{name}: no {header}"
        if "content" not in promised:
            assert not answer.body
            return
        media_type = answer.headers["content-type"].partition(";")[0]
        assert media_type in promised["content"], f"{name} answered {media_type}, which is not documented"
        schema = promised["content"][media_type]["schema"]
        if media_type in _STREAMS:
            said = schema.get("x-line") or schema["properties"]["data"]["contentSchema"]
            for line in answer.lines:
                self._validate(line if "x-line" in schema or said.get("type") != "string" else json.dumps(line), said)
        elif media_type == "application/json":
            self._validate(answer.json, schema)

    def _validate(self, value: object, schema: dict[str, Any]) -> None:
        jsonschema.validate(
            value, {**schema, "components": self.document["components"]}, jsonschema.Draft202012Validator
        )

    def _resolved(self, promised: dict[str, Any]) -> dict[str, Any]:
        found: Any = self.document
        if "$ref" not in promised:
            return promised
        for part in promised["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return dict(found)
