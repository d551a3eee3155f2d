"""A replay that somebody asked for: of an installed version, or of packages that are installed only for it."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controller.errors import ControllerError
from controller.model.comparison import Agreement
from controller.model.desired import Deployment
from controller.model.last_part import PartOutcome
from controller.model.objects import ProcessKey
from controller.model.package import Installation, Receipt
from controller.model.recorded import RecordingFilter
from controller.packages.install import Installer
from controller.reconciler.apply import process_spec
from controller.replay.document import USUAL_LIMITS, ReplayDocument, ReplayLimits, document_of
from controller.replay.journal import read
from controller.replay.replays import beside_the_line
from controller.replay.result import Result
from controller.replay.running import run_worker
from controller.replay.task import ReplayTask
from controller.replay.workshop import workshop
from controller.store.layout import StoreLayout
from controller.store.store import Store

Report = Callable[[str], None]
_NAMED = 5
"""Packages that a message names."""
_LINES = 10
"""Lines of progress, about."""
RECORDED = "recorded"
"""What a version is compared with that no other one is shown the pictures beside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked for. `recordings`: the store, or the exported file, with the pictures; `pids` empty: all of them.

    `last` None: all pictures, newest first; `verdicts` empty: whatever was recorded. `iou` None: only verdicts are
    compared. `call_timeout` (s) None: the deployment's.
    """

    recordings: Path
    pids: tuple[str, ...] = ()
    last: int | None = None
    verdicts: tuple[PartOutcome, ...] = ()
    limits: ReplayLimits = USUAL_LIMITS
    iou: float | None = None
    jobs: int = 1
    call_timeout: float | None = None


async def replay_version(
    asked: Asked, place: StoreLayout, deployment: Deployment, installation: Installation, report: Report
) -> ReplayDocument:
    """Show pictures to an installed version of a deployment, its processes in the store at `place`.

    Raises StoreError, ControllerError: it could not be carried out.
    """
    journal = place.replays_asked / f"{secrets.token_hex(8)}.jsonl"
    try:
        task = _task(asked, place, deployment, installation, journal)
        task = replace(task, not_packages=(installation.ref,))
        return await _carry_out(asked, task, deployment.name, RECORDED, report)
    finally:
        with suppress(OSError):
            journal.unlink(missing_ok=True)


def replay_packages(asked: Asked, zips: tuple[Path, ...], now: Callable[[], str], report: Report) -> ReplayDocument:
    """Show pictures to the last of one or two packages; what the first of two says is compared with. Blocks.

    Both are installed in a temporary folder of which nothing is left. Shown are the calls that packages of the first
    one's name answered, of the PIDs that it supports.

    Raises:
        PackageError: one of them is not valid. StoreError, ControllerError: it could not be carried out.
    """
    with workshop() as folder:
        baseline, name, whose = "", RECORDED, None
        for number, zip_path in enumerate(zips):
            place = StoreLayout.at(folder / str(number))
            installation = _installed(place, zip_path, now, report)
            whose = whose or installation.receipt
            deployment = _deployment(asked, installation.receipt)
            journal = place.replays / f"{number}.jsonl"
            task = replace(
                _task(asked, place, deployment, installation, journal),
                baseline=baseline, gives_way=False, whole=True,
                name=whose.name, pids=asked.pids or tuple(whose.supported_pids or ()),
            )  # fmt: skip
            _require_calls(task)
            document = asyncio.run(_carry_out(asked, task, "", name, report))
            if document["failure"] and zip_path is not zips[-1]:
                raise ControllerError(f"nothing can be compared with {installation.ref}: {document['failure']}")
            baseline, name = str(journal), str(installation.ref)
    return document


def _require_calls(task: ReplayTask) -> None:
    """Raise ControllerError where none of the recorded calls is meant, saying whose they are."""
    from controller.replay.showing import source_of  # noqa: PLC0415 - needed where there is no station only

    source = source_of(Path(task.recordings))
    if source.calls(replace(task.wanted, last=1)):
        return
    there = Counter(f"{call.package} of {call.pid}" for call in source.calls(RecordingFilter()))
    has = ", ".join(f"{count} × {whose}" for whose, count in there.most_common(_NAMED)) or "no call"
    at = f" at {', '.join(task.pids)}" if task.pids else ""
    raise ControllerError(
        f"{task.recordings} has no call that was answered by a package {task.name}{at}; it has {has}",
        next_step="export the calls of that package with `pvctl recordings export`, or see --pid and --only",
    )


def _installed(place: StoreLayout, zip_path: Path, now: Callable[[], str], report: Report) -> Installation:
    store = Store.at(place, now)
    store.create_folders()
    installer = Installer.of(store, now)
    receipt = installer.install(zip_path, progress=lambda step: report(f"{zip_path.name}: {step} …"))
    report(f"{zip_path.name}: {receipt.ref} is ready")
    return installer.installations()[receipt.ref]


def _deployment(asked: Asked, receipt: Receipt) -> Deployment:
    """Return what stands in place of a deployment: as by default, for the PIDs of the pictures."""
    timeouts = {} if asked.call_timeout is None else {"timeouts": {"call": asked.call_timeout}}
    pids = list(asked.pids or receipt.supported_pids or ()) or ["any"]
    return Deployment.model_validate({
        "apiVersion": "procvision.dev/v1", "kind": "AlgorithmDeployment", "metadata": {"name": "replay"},
        "spec": {"package": {"name": receipt.name, "version": receipt.version}, "pids": pids, **timeouts},
    })  # fmt: skip


def _task(
    asked: Asked, place: StoreLayout, deployment: Deployment, installation: Installation, journal: Path
) -> ReplayTask:
    receipt, memory = installation.receipt, deployment.spec.health.memory
    key = ProcessKey(deployment.name, receipt.name, receipt.version)
    spec = process_spec(key, deployment, installation, Store.at(place, str))
    if asked.call_timeout is not None:
        spec = replace(spec, call_timeout=asked.call_timeout)
    return ReplayTask(
        root=str(place.root), recordings=str(asked.recordings.absolute()), journal=str(journal),
        spec=beside_the_line(place, spec), mark={}, pids=asked.pids, last=asked.last, verdicts=asked.verdicts,
        iou=asked.iou, memory_max=memory.max if memory else None, jobs=asked.jobs,
    )  # fmt: skip


async def _carry_out(asked: Asked, task: ReplayTask, deployment: str, baseline: str, report: Report) -> ReplayDocument:
    package, told = str(task.spec.key.ref), 0

    def tell(said: Mapping[str, Any]) -> None:
        nonlocal told
        counts = Agreement.from_document(said["agreement"])
        shown = counts.calls + counts.excused + counts.dropped
        if shown - told >= said["wanted"] / _LINES:
            told = shown
            report(f"{package}: {shown} of {said['wanted']} pictures shown …")

    await run_worker(task, tell)
    journal = await asyncio.to_thread(read, Path(task.journal))
    if journal is None or journal.end is None:
        raise ControllerError(f"what came of the pictures is gone from {task.journal}")
    report(f"{package}: {len(journal.shown)} pictures shown")
    return document_of(
        Result.of(journal), journal.shown,
        deployment=deployment, package=package, baseline=baseline, limits=asked.limits,
    )  # fmt: skip
