"""The JSON that requests carry: its types, which are also its schema, and how it is read and refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from controller.client.arguments import CallArguments
from controller.errors import CallError, Code
from controller.station.commands.reconciling import PlannedChanges

_STRICT = ConfigDict(extra="forbid", strict=True)
_Arguments = TypeVar("_Arguments")
Seconds = Annotated[float, Field(gt=0, lt=1e9, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class DetectionArguments(CallArguments):
    """A detection's arguments as a body holds them; `image_ref` and `guide_image_ref` name images in `run/images`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    image_ref: str | None = None
    guide_image_ref: str | None = None


@dataclass(frozen=True, slots=True)
class PackageDetectionArguments(DetectionArguments):
    """A detection's arguments where a package is asked. `pid`: whose call it is; left out: the first with it."""

    pid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileArguments:
    """What a reconcile is asked with; `timeout` in seconds. `plan`: do nothing where it would do something else."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    allow_empty: bool = False
    wait: bool = False
    timeout: Seconds = 300.0
    plan: PlannedChanges | None = None


def reader(kind: type[_Arguments], what: str) -> Callable[[bytes | bytearray | memoryview], _Arguments]:
    """Return what reads JSON as `kind`; it raises CallError (1003) naming every mistake in `what`."""
    known = list(getattr(kind, "__dataclass_fields__", ()))

    @cache  # made by the first request: most resources are never asked anything
    def adapter() -> TypeAdapter[_Arguments]:
        return TypeAdapter(kind)

    def read(text: bytes | bytearray | memoryview) -> _Arguments:
        content = bytes(text) or b"{}"
        try:
            return _validated(adapter(), content)
        except ValidationError as error:
            problems = "; ".join(_problems(error.errors(include_url=False, include_input=False), known))
            raise CallError(
                Code.invalid_params,
                f"{what} is not valid: {problems}",
                next_step="see /openapi.json for what it may hold",
            ) from None

    return read


def _validated(adapter: TypeAdapter[_Arguments], content: bytes) -> _Arguments:
    try:
        return adapter.validate_json(content)
    except ValidationError as error:
        places = [each["loc"] for each in error.errors(include_url=False) if _is_whole(each)]
        if not places:
            raise
    return adapter.validate_json(_with_whole_numbers(content, places))


def _is_whole(error: ErrorDetails) -> bool:
    """Whether an integer is written with a fraction of nought: 67.0 is one as well (JSON Schema 2020-12, 4.2.2)."""
    given = error["input"]
    return error["type"] == "int_type" and isinstance(given, float) and given.is_integer()


def _with_whole_numbers(content: bytes, places: Iterable[tuple[int | str, ...]]) -> bytes:
    """Return a JSON document with the numbers at those places written as integers."""
    import json  # noqa: PLC0415 - hardly anybody writes them so

    document = json.loads(content)
    for place in places:
        at: Any = document
        with suppress(KeyError, IndexError, TypeError):  # a place also says which of several types was tried there
            for key in place:
                if isinstance(at[key], float):
                    at[key] = int(at[key])
                    break
                at = at[key]
    return json.dumps(document).encode()


def not_known(name: str, known: Iterable[str]) -> str:
    """Return what is said of a name that a request may not hold, with the one that was probably meant."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a refusal needs it

    close = get_close_matches(name, known, 1)
    return f"{name[:80]!r} is not known" + (f"; did you mean {close[0]!r}?" if close else "")


def _problems(errors: list[ErrorDetails], known: list[str]) -> Iterator[str]:
    for error in errors:
        path = ".".join(str(part) for part in error["loc"])
        if error["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
            yield not_known(path, known)
        else:
            yield f"{path}: {error['msg']}".removeprefix(": ")
