"""A pass with nothing to do, at 1,000 and at 10,000 PIDs: against reading the files that it looks at.

The station is real but for its processes and packages: a store on disk, one deployment for every 20 PIDs, each with a
rollout behind it, everything as desired. The bare mechanism opens, reads and parses the same files.

usage: python -m benchmarks.passes [ROUNDS]
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from benchmarks.table import Row, median_ratio, milliseconds, print_table
from controller.model.desired import Deployment, Revision
from controller.model.objects import ProcessKey
from controller.model.observed import ObservedProcess
from controller.model.package import PackageRef
from controller.model.rollout import Instant, Rollout, RolloutRecord
from controller.reconciler.apply import Applier
from controller.reconciler.observe import Observer
from controller.reconciler.reconciler import Reconciler
from controller.reconciler.revisions import Desired
from controller.rollouts.machine import begin
from controller.store.layout import StoreLayout
from controller.store.rollout_codec import write_record
from controller.store.store import Store
from tests.builders import AT, deployment, digest_of, process, running
from tests.builders import revision as revision_of
from tests.reconciler.fakes import FakePackages

_PIDS_EACH, _DEPLOYMENTS_EACH = 20, 10
_AIM = 2.0


def run(rounds: int = 7) -> list[Row]:
    """Measure paired rounds at both sizes."""
    rows, passes = [], {}
    for size in (1_000, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            ours, bare = _measure(Path(folder), size, rounds)
        passes[size] = sorted(ours)[len(ours) // 2]
        what = f"pass with nothing to do, {size:,} PIDs / reading the same files"
        rows.append(Row(what, milliseconds(ours), milliseconds(bare), median_ratio(ours, bare), _AIM))
    growth = passes[10_000] / passes[1_000]
    rows.append(Row("ten times the PIDs (10 is linear)", f"{growth:.1f} ×", "10 ×", growth / 10, 1.2))
    return rows


def _measure(folder: Path, size: int, rounds: int) -> tuple[list[float], list[float]]:
    store = Store.at(StoreLayout.at(folder / "store"), lambda: AT)
    revision = _station(store, size)
    processes = _processes(revision)
    packages = FakePackages(store.layout)

    async def observe() -> Mapping[ProcessKey, ObservedProcess]:
        return processes

    observer = Observer(store, packages, observe)
    applier = Applier(store, packages, _Nobody(), actor="bench", now=lambda: AT, notify=lambda _: None)
    reconciler = Reconciler(store, observer, applier, lambda: Instant("boot", 1e6, 1.7e9))
    desired = Desired(revision)
    with asyncio.Runner() as runner:
        runner.run(_pass(reconciler, desired))
        time.sleep(2.5)  # a file changed a moment ago is read each time; those of a station at rest are older
        runner.run(_pass(reconciler, desired))
        files = [path for path in store.layout.root.rglob("*.json") if "history" not in path.parts]
        ours: list[float] = []
        bare: list[float] = []
        for turn in range(rounds):
            steps: list[tuple[list[float], Callable[[], object]]] = [
                (ours, lambda: runner.run(_pass(reconciler, desired))),
                (bare, lambda: _read(files)),
            ]
            for seconds, step in steps if turn % 2 else reversed(steps):
                seconds.append(_timed(step))
    return ours, bare


async def _pass(reconciler: Reconciler, desired: Desired) -> None:
    observed = await reconciler.observe(desired)
    planned = reconciler.plan(desired, observed)
    await reconciler.note(observed, planned)
    assert planned.empty, planned.actions[:3]
    outcome = await reconciler.conclude(desired, observed, planned)
    assert outcome.status.converged


def _read(files: list[Path]) -> list[Any]:
    """What reading alone takes: open, read, parse."""
    documents = []
    for path in files:
        with open(path, "rb") as file:  # noqa: PTH123 - the bare mechanism
            documents.append(orjson.loads(file.read()))
    return documents


def _timed(step: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _station(store: Store, size: int) -> Revision:
    """Write a store in which every PID is as desired, with a rollout behind each deployment."""
    store.create_folders()
    pids = [f"P{number:05d}" for number in range(size)]
    packages = FakePackages(store.layout)
    per_package = _PIDS_EACH * _DEPLOYMENTS_EACH
    for number, start in enumerate(range(0, size, per_package)):
        for version in ("1.0.0", "1.1.0"):
            packages.install(packages.add_zip(f"p{number}", version, tuple(pids[start : start + per_package])))
    groups = [pids[start : start + _PIDS_EACH] for start in range(0, size, _PIDS_EACH)]
    deployments = tuple(_deployment(number, group) for number, group in enumerate(groups))
    revision = revision_of(*deployments)
    store.revision.write(revision)
    store.registry.write(())
    for each in deployments:
        ref = each.spec.ref
        mapping = orjson.dumps({"name": ref.name, "version": ref.version, "activated_at": AT})
        for pid in each.spec.pids:
            store.layout.mapping(pid).write_bytes(mapping)
        stable = dict.fromkeys(each.spec.pids, PackageRef(ref.name, "1.0.0"))
        rollout = begin(each, digest_of(ref), stable, Instant("boot", 0.0), AT)
        done = RolloutRecord(_completed(rollout))
        path = store.layout.rollouts / f"{each.name}.json"
        path.write_bytes(write_record(done))
    return revision


def _completed(rollout: Rollout) -> Rollout:
    analysis = replace(rollout.analysis, baseline={}, delay=None, step_calls=0)
    return replace(rollout, state="completed", step=0, analysis=analysis)


def _deployment(number: int, pids: list[str]) -> Deployment:
    package = f"p{number // _DEPLOYMENTS_EACH}"
    return Deployment.model_validate(deployment(f"line-{number}", "1.1.0", *pids, package=package))


def _processes(revision: Revision) -> dict[ProcessKey, ObservedProcess]:
    return running(*(process(each.spec.ref, name=each.name) for each in revision.deployments))


class _Nobody:
    """No process is started or ended by a pass with nothing to do."""

    async def start(self, spec: Any) -> ObservedProcess:
        raise AssertionError(f"{spec} started")

    async def stop(self, key: ProcessKey, *, drain: float) -> None:
        raise AssertionError(f"{key} stopped after {drain}")


if __name__ == "__main__":
    met = print_table(run(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
    sys.exit(0 if met else 1)
