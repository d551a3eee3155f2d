"""The replays of the rollouts of one store: begun, kept on the disk, ended when no rollout wants them any more."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from controller.errors import ControllerError, StoreError
from controller.model.actions import Replay
from controller.model.replay import ReplayKey, ReplayReport
from controller.processes.spec import ProcessSpec
from controller.replay.journal import read
from controller.replay.result import Result, key_of, mark_of, report_of
from controller.replay.running import run_worker
from controller.replay.task import ReplayTask
from controller.store.layout import StoreLayout

log = logging.getLogger(__name__)


class RolloutReplays:
    """The port `Replays` of the reconciler, on a store; what earlier controllers left is read at once.

    `on_progress` is called when one has come further. One store has one of these at a time.
    """

    def __init__(self, layout: StoreLayout) -> None:
        self._layout = layout
        self._reports = _left_by_others(layout)
        self._running: dict[ReplayKey, asyncio.Task[Mapping[str, Any]]] = {}
        self.on_progress: Callable[[], None] = lambda: None

    async def run(self, action: Replay, spec: ProcessSpec, memory_max: int | None) -> None:
        """Show what is still to be shown; see `Replays`."""
        key = action.key
        known = self._reports.get(key.deployment)
        if known is not None and known.key == key and known.done:
            return
        task = _task(self._layout, action, spec, memory_max)
        self._reports[key.deployment] = replace(known, problem="") if known and known.key == key else ReplayReport(key)
        worker = self._running[key] = asyncio.create_task(run_worker(task, partial(self._tell, key)))
        try:
            await asyncio.wait((worker,))
            if not worker.cancelled():
                worker.result()
        except ControllerError as error:
            self._reports[key.deployment] = replace(self._reports[key.deployment], problem=str(error))
            raise
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
            del self._running[key]

    def _tell(self, key: ReplayKey, document: Mapping[str, Any]) -> None:
        self._reports[key.deployment] = report_of(key, document)
        self.on_progress()

    def keep(self, wanted: Collection[ReplayKey], deployments: Collection[str]) -> None:
        """End the runs that are not wanted, and forget deployments that are gone; see `Replays`."""
        for key, worker in self._running.items():
            known = self._reports.get(key.deployment)
            if key not in wanted and not (known and known.done) and worker.cancel():
                log.info("the replay for %s is ended: it is not wanted any more", key.deployment)
        for name in self._reports.keys() - set(deployments):
            del self._reports[name]
            with suppress(OSError):  # it is forgotten all the same, and its next replay begins anew
                self._layout.replay(name).unlink(missing_ok=True)

    def reports(self) -> Mapping[str, ReplayReport]:
        """Return how far the latest replay of each deployment has come."""
        return dict(self._reports)


def _left_by_others(layout: StoreLayout) -> dict[str, ReplayReport]:
    """Return the reports of the journals; one that cannot be read counts as none, and its pictures are shown again."""
    found: dict[str, ReplayReport] = {}
    shutil.rmtree(layout.replays_asked, ignore_errors=True)
    for path in sorted(layout.replays.glob("*.jsonl")):
        with suppress(StoreError, ValueError, KeyError, TypeError):
            if (journal := read(path)) is not None:
                key = key_of(journal.mark)
                found[key.deployment] = report_of(key, Result.of(journal).report())
    return found


def _task(layout: StoreLayout, action: Replay, spec: ProcessSpec, memory_max: int | None) -> ReplayTask:
    key = action.key
    return ReplayTask(
        root=str(layout.root),
        recordings=str(layout.root),
        journal=str(layout.replay(key.deployment)),
        spec=beside_the_line(layout, spec),
        mark=mark_of(key, pids=sorted(action.pids), last=action.last, iou=action.iou),
        pids=action.pids,
        last=action.last,
        not_packages=(key.target,) if action.answered_by else (key.target, *action.quarantined),
        answered_by=action.answered_by,
        name=None if action.answered_by else key.target.name,
        iou=action.iou,
        memory_max=memory_max,
    )


def beside_the_line(layout: StoreLayout, spec: ProcessSpec) -> ProcessSpec:
    """Return how a process like that of the line is started for a replay: under a name and with a log of its own."""
    key = replace(spec.key, deployment=f"_replay.{spec.key.deployment}", replica=0)
    log_path = layout.replay_log(spec.key.deployment, spec.key.version)
    return replace(spec, key=key, log_path=str(log_path))
