"""All commands of a station: routes, the OpenAPI document and every check of what there is are made of this list."""

from __future__ import annotations

from controller.station.commands.activating import Activate, ListActive, Switch
from controller.station.commands.detecting import Detect
from controller.station.commands.events import FollowEvents
from controller.station.commands.feedback import GiveFeedback
from controller.station.commands.measuring import GetMetrics, GetSeries
from controller.station.commands.operations import FollowOperation, GetOperation, ListOperations, StartOperation
from controller.station.commands.operator import Abort, Pause, Promote, Restart, Resume, Retry, Rollback
from controller.station.commands.packages import Install, InstallStored, ListPackages, Uninstall
from controller.station.commands.parts import GetLastParts, GetPicture
from controller.station.commands.present import (
    GetDeployment,
    GetIdentity,
    GetPid,
    GetRevisions,
    ListDeployments,
    ListPids,
)
from controller.station.commands.reconciling import Down, GetDesiredTree, GetReadiness, PreviewPlan, Reconcile
from controller.station.commands.recordings import (
    DeleteRecordings,
    ExportRecordings,
    GetRecording,
    ImportRecordings,
    ListRecordings,
    ShowRecording,
)
from controller.station.commands.records import GetHistory, ReadAudit, ReadLogs, VerifyAudit
from controller.station.commands.replaying import ReplayExported, ReplayRecorded
from controller.station.commands.status import GetStatus
from controller.station.commands.tokens import CreateToken, ListTokens, RevokeToken
from controller.station.commands.validating import Validate, ValidateStored
from controller.station.port import Command

COMMANDS: tuple[type[Command[object]], ...] = (
    Detect, GetStatus, GetReadiness, Reconcile, Promote, Pause, Abort, Retry, Restart, Resume, Rollback, Install,
    Uninstall, Down, GetDesiredTree, PreviewPlan, GetHistory, ReadAudit, VerifyAudit, ReadLogs,
    GiveFeedback, GetSeries, GetLastParts, GetPicture, ListOperations, GetOperation, FollowOperation, StartOperation,
    FollowEvents, GetMetrics,
    InstallStored, Validate, ValidateStored, Activate, Switch, ListPackages, ListActive,
    CreateToken, ListTokens, RevokeToken,
    ListRecordings, DeleteRecordings, GetRecording, ShowRecording, ExportRecordings, ImportRecordings,
    ReplayRecorded, ReplayExported,
    ListDeployments, GetDeployment, ListPids, GetPid, GetRevisions, GetIdentity,
)  # fmt: skip
"""What is asked for most often first."""
