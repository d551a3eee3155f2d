"""Queries inside a daemon: from what its loop knows, and from the store's files, read in threads beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, cast

from controller.errors import Code, CodedError
from controller.model.status_document import StatusDocument
from controller.reconciler.preview import Preview, preview
from controller.station import queries
from controller.station.commands.events import EventBatch, Feed, FollowEvents
from controller.station.commands.present import (
    DeploymentDocument,
    GetDeployment,
    GetIdentity,
    GetPid,
    GetRevisions,
    Identity,
    ListDeployments,
    ListPids,
    PidDocument,
    Revisions,
)
from controller.station.commands.reconciling import (
    DesiredTree,
    GetDesiredTree,
    GetReadiness,
    PlanDocument,
    PreviewPlan,
    Readiness,
)
from controller.station.commands.records import (
    AuditPage,
    AuditVerification,
    GetHistory,
    HistoryRow,
    LogPiece,
    ReadAudit,
    ReadLogs,
    VerifyAudit,
)
from controller.station.commands.status import GetStatus
from controller.station.log_feeds import LogFeed
from controller.station.log_places import LogPlaces
from controller.station.plan_document import plan_document
from controller.station.port import Caller, Command, Report
from controller.station.present import Present, revisions
from controller.station.trees import tree_at

if TYPE_CHECKING:
    from controller.station.local import Parts

Execute = Callable[[Command[object], Caller, Report], Awaitable[object]]


class Reading:
    """Answers the queries of one daemon's station."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._verifying = False

    @property
    def executors(self) -> Mapping[type[Command[object]], Execute]:
        """What answers each query."""
        return cast(
            "Mapping[type[Command[object]], Execute]",
            {
                GetStatus: self.status, GetReadiness: self._readiness, GetDesiredTree: self._desired_tree,
                PreviewPlan: self._plan, GetRevisions: self._revisions, GetIdentity: self._identity,
                ListDeployments: self._deployments, GetDeployment: self._deployment,
                ListPids: self._pids, GetPid: self._pid,
                GetHistory: self._history, ReadAudit: self._audit, VerifyAudit: self._verify_audit,
                ReadLogs: self._logs, FollowEvents: self._events,
            },
        )  # fmt: skip

    # What the loop knows.

    async def status(self, _command: GetStatus, _caller: Caller, _report: Report) -> StatusDocument:
        """Return the status as of the last pass that could be finished, and why a later one could not be."""
        loop = self._parts.loop
        if loop.refusal is not None:
            return loop.refusal
        if loop.outcome is None:
            raise CodedError(Code.not_initialized, self.starting(), next_step="ask again in a moment")
        document = loop.outcome.status.to_document()
        if loop.concluded is not None and "daemon" in document:
            document["daemon"]["age_s"] = round(self._parts.clock().seconds - loop.concluded.seconds, 3)
        if loop.failing:
            document["converged"] = False
            document["waiting"].append({"what": "the daemon's next pass", "until": None, "reason": loop.failing})
        return document

    def starting(self) -> str:
        """Say why there is no outcome of a pass yet."""
        failing = self._parts.loop.failing
        if self._parts.loop.refusal is not None:
            return "no revision is valid yet"
        return f"the daemon cannot finish its first pass: {failing}" if failing else "the daemon is still starting"

    async def _readiness(self, _command: GetReadiness, _caller: Caller, _report: Report) -> Readiness:
        outcome, failing = self._parts.loop.outcome, self._parts.loop.failing
        if outcome is None:
            return Readiness(False, self.starting())
        if failing:  # calls go on; but nothing that fails now would be mended
            return Readiness(False, f"the last pass could not be finished: {failing}")
        waiting = [pid.pid for pid in outcome.status.pids if pid.active and not pid.ready]
        return Readiness(not waiting, f"not ready: {', '.join(waiting)}" if waiting else "")

    async def _present(self) -> Present:
        status = await self.status(GetStatus(), Caller(""), lambda _: None)
        memory = await asyncio.to_thread(self._parts.store.rollouts.memory)
        outcome = self._parts.loop.outcome
        return Present(status, memory, outcome.desired.revision if outcome else None, self._parts.clock())

    async def _deployments(self, _query: ListDeployments, _caller: Caller, _report: Report) -> list[DeploymentDocument]:
        return (await self._present()).deployments()

    async def _deployment(self, query: GetDeployment, _caller: Caller, _report: Report) -> DeploymentDocument:
        return (await self._present()).deployment(query.name)

    async def _pids(self, _query: ListPids, _caller: Caller, _report: Report) -> list[PidDocument]:
        return (await self._present()).pids()

    async def _pid(self, query: GetPid, _caller: Caller, _report: Report) -> PidDocument:
        return (await self._present()).pid(query.pid)

    async def _identity(self, _query: GetIdentity, caller: Caller, _report: Report) -> Identity:
        return Identity(caller.name, caller.access.name, caller.sees_recordings)

    async def _events(self, query: FollowEvents, _caller: Caller, _report: Report) -> Feed[EventBatch]:
        return self._parts.events.subscribe(query.last_event_id, query.wanted)

    # The desired tree.

    async def preview(self, command: PreviewPlan) -> Preview:
        """Return what a reconcile would do now."""
        parts = self._parts
        return await preview(
            parts.source, parts.store, parts.observer, parts.clock,
            allow_empty=command.allow_empty, serve=command.serve,
        )  # fmt: skip

    async def _plan(self, command: PreviewPlan, _caller: Caller, _report: Report) -> PlanDocument:
        return plan_document(await self.preview(command))

    async def _desired_tree(self, _query: GetDesiredTree, _caller: Caller, _report: Report) -> DesiredTree:
        return await asyncio.to_thread(tree_at, self._parts.desired)

    # The store's files.

    async def _revisions(self, _query: GetRevisions, _caller: Caller, _report: Report) -> Revisions:
        outcome, store = self._parts.loop.outcome, self._parts.store
        in_force = outcome.desired.revision if outcome else await asyncio.to_thread(store.revision.read)
        return revisions(in_force, await asyncio.to_thread(store.refused.read))

    async def _history(self, query: GetHistory, _caller: Caller, _report: Report) -> tuple[HistoryRow, ...]:
        return await asyncio.to_thread(queries.history, self._parts.store, query)

    async def _audit(self, query: ReadAudit, _caller: Caller, _report: Report) -> AuditPage:
        return await asyncio.to_thread(queries.audit, self._parts.store, query)

    async def _verify_audit(self, query: VerifyAudit, _caller: Caller, _report: Report) -> AuditVerification:
        """One at a time: it reads and hashes the whole log."""
        if self._verifying:
            raise CodedError(Code.busy, "the audit is being verified already", next_step="ask again in a moment")
        self._verifying = True
        try:
            return await asyncio.to_thread(queries.verify_audit, self._parts.store, query)
        finally:
            self._verifying = False

    async def _logs(self, query: ReadLogs, _caller: Caller, _report: Report) -> Feed[tuple[LogPiece, ...]]:
        places = await asyncio.to_thread(LogPlaces, self._parts.store, query)
        return LogFeed(places.look, query, self._parts.followers)
