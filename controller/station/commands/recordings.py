"""Recorded calls: which there are, one of them with its pictures; taking them away, bringing them in, deleting them.

All of it is for callers who have the grant for recorded calls; see `Operation.recordings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Interval

from controller.errors import Code, CodedError
from controller.model.last_part import PartOutcome
from controller.model.recorded import RecordingFilter, RecordingKind
from controller.model.timestamps import parse_timestamp
from controller.station.commands.events import Feed
from controller.station.port import Access, Command, Operation, Route

MOST_RECORDINGS = 1000
"""Rows on a page, at most."""
ARCHIVE = "application/zip"
PNG, HTML = "image/png", "text/html"
PAGE_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
"""The Content-Security-Policy of a page over HTTP: what it shows was written by others. It says the same of itself."""
_FILTERS = {
    "id": "Only these calls; may be repeated, like every parameter whose value is a list.",
    "pid": "Only calls for these PIDs.",
    "deployment": "Only calls that this deployment answered.",
    "version": "Only calls that these versions answered.",
    "verdict": "Only these verdicts: OK, NG, ERROR (the algorithm said that it failed), FAILED (the call did).",
    "kind": "Only calls that were recorded for these reasons: NG, ERROR, disagreement, sample.",
    "since": "Only calls that ended at this time or later, RFC 3339.",
    "until": "Only calls that ended at this time or earlier, RFC 3339.",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which recorded calls are meant; what is left out does not matter. Times are RFC 3339.

    Raises CodedError 1003: a time is none.
    """

    id: tuple[str, ...] = ()
    pid: tuple[str, ...] = ()
    deployment: str | None = None
    version: tuple[str, ...] = ()
    verdict: tuple[PartOutcome, ...] = ()
    kind: tuple[RecordingKind, ...] = ()
    since: str | None = None
    until: str | None = None

    def __post_init__(self) -> None:
        self.epochs()

    def epochs(self) -> tuple[float | None, float | None]:
        """Return `since` and `until` in seconds since 1970."""
        return _epoch("since", self.since), _epoch("until", self.until)

    def wanted(self, before: str | None = None, last: int | None = None) -> RecordingFilter:
        """Return what is meant as the recordings are asked for it: calls before that one, the newest so many."""
        since, until = self.epochs()
        return RecordingFilter(
            ids=frozenset(self.id), pids=frozenset(self.pid), deployment=self.deployment,
            versions=frozenset(self.version), verdicts=frozenset(self.verdict), kinds=frozenset(self.kind),
            since=since, until=until, before=before, last=last,
        )  # fmt: skip

    @property
    def said(self) -> dict[str, object]:
        """What is asked for, and nothing that does not matter: for the audit, and to see whether it says anything."""
        given = {each.name: getattr(self, each.name) for each in fields(Chosen)}
        return {name: list(value) if isinstance(value, tuple) else value
                for name, value in given.items() if value not in {None, ()}}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecordingRow:
    """One recorded call, without its pictures and its data. `at`: when it ended, RFC 3339 UTC.

    `kinds`: why it is recorded. `defects`: how many rectangles the algorithm drew. `size`: bytes on the disk. `shape`:
    height and width of the picture, and its channels.
    """

    id: str
    pid: str
    deployment: str
    name: str
    version: str
    request_id: str
    at: str
    verdict: PartOutcome
    kinds: tuple[RecordingKind, ...]
    message: str
    latency_ms: float | None
    defects: int
    shape: tuple[int, ...]
    guide: bool
    size: int


@dataclass(frozen=True, slots=True)
class RecordingPage:
    """Recorded calls, the newest first. `next_before`: where the next page begins; null where there is none."""

    rows: tuple[RecordingRow, ...]
    next_before: str | None


@dataclass(frozen=True, slots=True)
class ListRecordings(Chosen, Command[RecordingPage]):
    """A page of the recorded calls that are meant: the newest, or those before the one named `before`.

    Raises CodedError 1003: `limit` is out of bounds, or a time is none.
    """

    limit: Annotated[int, Interval(ge=1, le=MOST_RECORDINGS)] = 100
    before: str | None = None

    def __post_init__(self) -> None:
        Chosen.__post_init__(self)
        if not 1 <= self.limit <= MOST_RECORDINGS:
            raise CodedError(
                Code.invalid_params, "limit is out of bounds", next_step=f"pass a number from 1 to {MOST_RECORDINGS}"
            )

    operation: ClassVar = Operation(
        Access.viewer,
        "Return a page of the recorded calls, newest first.",
        (
            Route(
                "GET", "/v1/recordings", "The page.", (400, 500),
                query={
                    **_FILTERS,
                    "limit": f"Calls at most, up to {MOST_RECORDINGS}.",
                    "before": "Only calls before this one: the next_before of the page before.",
                },
            ),
        ),
        RecordingPage,
        from_files=True,
        recordings=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RecordingDocument:
    """All that is known of a recorded call but its pictures. `arguments` as the caller gave them.

    `data`: what the algorithm said, as it said it; `error`: why a call with the verdict FAILED failed. `guide_shape`
    null: it had no guide picture of its own; `guide_is_image`: the camera picture was its guide, too.
    """

    id: str
    pid: str
    deployment: str
    name: str
    version: str
    digest: str
    request_id: str
    at: str
    verdict: PartOutcome
    kinds: tuple[RecordingKind, ...]
    message: str
    data: Mapping[str, Any]
    error: Mapping[str, Any] | None
    latency_ms: float | None
    arguments: Mapping[str, Any]
    shape: tuple[int, ...]
    color_space: str
    guide_shape: tuple[int, ...] | None
    guide_is_image: bool
    size: int


@dataclass(frozen=True, slots=True)
class GetRecording(Command[RecordingDocument]):
    """All that is known of one recorded call, without its pictures. Raises NotFound: it is not kept (any more)."""

    id: str
    operation: ClassVar = Operation(
        Access.viewer,
        "Return what is known of a recorded call: arguments, verdict, data, version, latency, time.",
        (Route("GET", "/v1/recordings/{recording}", "The call.", (404, 500), {"recording": "id"}),),
        RecordingDocument,
        from_files=True,
        recordings=True,
    )


@dataclass(frozen=True, slots=True)
class ShowRecording(Command[Feed[bytes]]):
    """One recorded call to look at, as the bytes of a file: `page`, a self-contained HTML page; `picture`, a PNG file.

    The picture is lossless; on the page one of more than 8 Mpx is reduced. `guide`: the PNG of its guide picture.
    Raises NotFound: it is not kept, has no such picture, or its files are damaged.
    """

    id: str
    form: Literal["page", "picture"] = "page"
    guide: bool = False
    operation: ClassVar = Operation(
        Access.viewer,
        "Return a recorded call to look at: a page with its picture and its defects, or the picture alone.",
        (
            Route("GET", "/v1/recordings/{recording}/page", "A page that needs nothing else.", (404, 429, 500),
                  {"recording": "id"}, {"form": "page"}),
            Route("GET", "/v1/recordings/{recording}/picture", "The picture as the algorithm got it, as a PNG file.",
                  (400, 404, 429, 500), {"recording": "id"}, {"form": "picture"},
                  {"guide": "true: the guide picture instead."}),
        ),
        from_files=True,
        recordings=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExportRecordings(Chosen, Command[Feed[bytes]]):
    """The recorded calls that are meant, with their pictures, as the bytes of one file; on record in the audit.

    `last`: of those the newest so many. Raises NotFound: there are none.
    """

    last: Annotated[int, Ge(1)] | None = None

    def __post_init__(self) -> None:
        Chosen.__post_init__(self)
        if self.last is not None and self.last < 1:
            raise CodedError(Code.invalid_params, "last is below 1", next_step="pass how many of the newest calls")

    operation: ClassVar = Operation(
        Access.viewer,
        "Return recorded calls with their pictures as one file, which another station imports.",
        (
            Route(
                "GET", "/v1/recordings/export", "The file.", (400, 404, 500),
                query={**_FILTERS, "last": "Of those, the newest so many."},
            ),
        ),
        recordings=True,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImportedRecordings:
    """What became of the calls in a file: `imported`, `already_there`, or not taken because they are `damaged`.

    `beyond`: there is no room for them within the bounds of their PIDs, and none gives way to what is imported.
    """

    imported: int
    already_there: int
    damaged: int
    beyond: int


@dataclass(frozen=True, slots=True)
class ImportRecordings(Command[ImportedRecordings]):
    """Take over the recorded calls of a file that was exported. Raises CodedError 1003: it is no such file."""

    path: Path
    operation: ClassVar = Operation(
        Access.admin,
        "Take over the recorded calls of a file that was exported, here or on another station.",
        (Route("POST", "/v1/recordings/import", "What became of its calls.", (400, 408, 413, 415)),),
        ImportedRecordings,
        long=True,
        recordings=True,
    )

    @property
    def about(self) -> str:
        """The file's name."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class DeletedRecordings:
    """How many recorded calls were deleted, and how many bytes they had."""

    deleted: int
    size: int


@dataclass(frozen=True, slots=True)
class DeleteRecordings(Chosen, Command[DeletedRecordings]):
    """Delete the recorded calls that are meant; `all`: every one. On record in the audit.

    Raises CodedError 1003: nothing says which, or something does although `all` is said.
    """

    all: bool = False

    def __post_init__(self) -> None:
        Chosen.__post_init__(self)
        if self.all == bool(self.said):
            wrong = "all and a filter are said" if self.all else "nothing says which recorded calls are to be deleted"
            raise CodedError(Code.invalid_params, wrong, next_step="name calls, or say a filter, or all for every one")

    operation: ClassVar = Operation(
        Access.admin,
        "Delete recorded calls.",
        (Route("POST", "/v1/recordings/delete", "How many there were.", (400, 408, 413, 415, 500)),),
        DeletedRecordings,
        recordings=True,
    )


def _epoch(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_timestamp(text)
    except (ValueError, OverflowError):
        raise CodedError(
            Code.invalid_params, f"{name}: {text[:40]!r} is no time", next_step="pass one such as 2026-01-31T08:15:00Z"
        ) from None
