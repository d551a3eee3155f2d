"""Parameter types of the command line: text with units, KEY=VALUE, JSON or a file of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


class DurationText(click.ParamType[float]):
    """A duration such as 30s or 5m, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        from controller.model.units import parse_duration

        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class JsonOrFile(click.ParamType[Any]):
    """JSON text, or @FILE that holds it."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            text = Path(value[1:]).read_text(encoding="utf-8-sig") if value.startswith("@") else value
            return json.loads(text)
        except OSError as error:
            self.fail(f"cannot read {value[1:]}: {error.strerror}", param, ctx)
        except ValueError as error:
            self.fail(f"not JSON: {error}", param, ctx)


class KeyValue(click.ParamType[tuple[str, Any]]):
    """KEY=VALUE; a value that is JSON is taken as such, any other as text."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        key, separator, text = value.partition("=")
        if not separator or not key:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        try:
            return key, json.loads(text)
        except ValueError:
            return key, text
