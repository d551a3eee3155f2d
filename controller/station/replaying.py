"""A replay that somebody asks a station for: which version is meant, and where its pictures are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from controller.errors import Code, NotApplicable, NotFound
from controller.model.document import did_you_mean
from controller.model.package import PackageRef
from controller.replay.document import ReplayDocument
from controller.station.between import NO_REVISION
from controller.station.commands.replaying import ReplayRecorded
from controller.station.port import Report
from controller.store.layout import StoreLayout
from controller.store.store import Store

if TYPE_CHECKING:
    from controller.reconciler.ports import Packages


async def replay_recorded(
    store: Store, packages: Packages, place: StoreLayout, command: ReplayRecorded, recordings: Path, report: Report
) -> ReplayDocument:
    """Carry out a replay with the `recordings` of a store or a file; its processes stand in the store at `place`.

    Raises:
        NotFound: there is no such deployment. NotApplicable: the version is not installed, or nothing can be compared.
        StoreError, ControllerError: it could not be carried out.
    """
    from controller.replay.asked import Asked, replay_version  # noqa: PLC0415 - few daemons are ever asked for one

    revision = await asyncio.to_thread(store.revision.read) or NO_REVISION
    deployment = revision.by_name.get(command.deployment)
    if deployment is None:
        raise NotFound(
            Code.invalid_params,
            f"there is no deployment {command.deployment[:80]!r} in the desired state in force"
            f"{did_you_mean(command.deployment[:80], revision.by_name)}",
            next_step="see `pvctl status`",
        )
    package = PackageRef(deployment.spec.package.name, command.version or deployment.spec.package.version)
    installation = (await asyncio.to_thread(packages.installations)).get(package)
    if installation is None:
        raise NotApplicable(
            Code.not_initialized, f"{package} is not installed",
            next_step="install its zip first, or show the zip itself: `pvctl replay --package ZIP --recordings FILE`",
        )  # fmt: skip
    asked = Asked(
        recordings=recordings, pids=command.pids or tuple(deployment.spec.pids), last=command.last,
        verdicts=command.only, limits=command.limits, iou=command.iou, jobs=command.jobs,
    )  # fmt: skip
    return await replay_version(asked, place, deployment, installation, report)
