"""What the page asks of its station, by typed queries, in the name of the page itself: every viewer may see it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import cast

import orjson

from controller.model.status_document import StatusDocument
from controller.page.snapshot import JsonRow
from controller.station.commands.events import Event, FollowEvents
from controller.station.commands.measuring import DeploymentSeries, GetSeries
from controller.station.commands.parts import GetLastParts, GetPicture, PictureFile
from controller.station.commands.present import GetPid, GetRevisions, ListDeployments, PidDocument, Revisions
from controller.station.commands.recordings import ShowRecording
from controller.station.commands.records import AuditPage, GetHistory, HistoryRow, LogPiece, ReadAudit, ReadLogs
from controller.station.commands.status import GetStatus
from controller.station.port import Access, Caller, Station

PAGE = Caller("page", Access.viewer)
_KINDS = "status,parts,audit"
EVERYTHING = ""
"""In the place of an object that was acted on: it is not known which."""


class StationReader:
    """Queries of one station. Each raises ControllerError, or OSError, where it cannot be asked."""

    def __init__(self, station: Station) -> None:
        self._station = station

    async def status(self) -> StatusDocument:
        """Return the status document."""
        return await self._station.execute(GetStatus(), PAGE)

    async def parts(self) -> Sequence[JsonRow]:
        """Return the last part of each PID."""
        return cast(Sequence[JsonRow], await self._station.execute(GetLastParts(pictured=True), PAGE))

    async def deployments(self) -> Sequence[JsonRow]:
        """Return the deployments with their steps."""
        return cast(Sequence[JsonRow], await self._station.execute(ListDeployments(), PAGE))

    async def changes(self) -> AsyncIterator[str | None]:
        """Yield, as it happens, what each act on the station is about, such as `pid/A01`; None: what happens is no act.

        Ends when the station does.
        """
        feed = await self._station.execute(FollowEvents(kinds=_KINDS), PAGE)
        try:
            async for batch in feed:
                for event in batch.events:
                    yield _acted_on(event)
        finally:
            await feed.aclose()

    async def versions(self, subject: str) -> Sequence[tuple[str, str]]:
        """Return what a PID, or the PIDs of a deployment, had: (PID, version), oldest first."""
        return [(each.pid, each.version) for each in await self.history(subject) if each.version is not None]

    async def history(self, subject: str) -> Sequence[HistoryRow]:
        """Return which versions answered, oldest first. Raises NotFound."""
        return await self._station.execute(GetHistory(subject), PAGE)

    async def pid(self, pid: str) -> PidDocument:
        """Return what is known of a PID. Raises NotFound."""
        return await self._station.execute(GetPid(pid), PAGE)

    async def revisions(self) -> Revisions:
        """Return the revision in force and those that were refused lately."""
        return await self._station.execute(GetRevisions(), PAGE)

    async def audit(self, asked: ReadAudit) -> AuditPage:
        """Return a page of the audit, newest first."""
        return await self._station.execute(asked, PAGE)

    async def log(self, asked: ReadLogs) -> Sequence[LogPiece]:
        """Return the last lines of logs. Raises NotFound."""
        feed = await self._station.execute(asked, PAGE)
        try:
            return [piece async for batch in feed for piece in batch]
        finally:
            await feed.aclose()

    async def series(self, deployment: str, seconds: int) -> DeploymentSeries:
        """Return what a deployment's calls came to over time."""
        return await self._station.execute(GetSeries(deployment, seconds), PAGE)

    async def picture(self, pid: str, request_id: str) -> PictureFile:
        """Return the picture of a part. Raises NoPicture."""
        return await self._station.execute(GetPicture(pid, request_id), PAGE)

    async def recording(self, call_id: str, caller: Caller) -> bytes:
        """Return the page of a recorded call for who may see it. Raises NotFound, AccessDenied."""
        feed = await self._station.execute(ShowRecording(call_id), caller)
        try:
            return b"".join([piece async for piece in feed])
        finally:
            await feed.aclose()


def _acted_on(event: Event) -> str | None:
    match event.kind:
        case "audit":
            return str(orjson.loads(event.data)["object"])
        case "reset":
            return EVERYTHING
    return None
