"""The data that most tests begin with: documents, revisions, zips, installations, processes, rollouts.

One builder for each kind, as plain as the kind allows; a test that needs something special says only that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from controller.model.desired import Deployment, Revision
from controller.model.objects import ProcessKey
from controller.model.observed import HELD_BY, ActiveMapping, BrokenMapping, HistoryEntry, ObservedProcess, ProcessState
from controller.model.package import Installation, PackageRecord, PackageRef, Receipt
from controller.model.rollout import Instant, Rollout, State
from controller.model.status_document import AuditRow
from controller.model.tally import LatencySketch, bin_of
from controller.rollouts.steps import pin_strategy
from controller.store.audit import AuditLog

AT = "2026-01-01T00:00:00Z"
SUPPORTED = ("A01", "A02", "A03")
"""The PIDs that a package is for where a test does not say."""


# --- what is desired


def deployment(
    name: str = "screw", version: str = "1.0.0", *pids: str, package: str = "screw", **spec: Any
) -> dict[str, Any]:
    """Return an AlgorithmDeployment document, for A01 and A02 unless told; `spec` are the other fields of its spec."""
    wanted = {"package": {"name": package, "version": version}, "pids": list(pids or ("A01", "A02"))}
    return {
        "apiVersion": "procvision.dev/v1",
        "kind": "AlgorithmDeployment",
        "metadata": {"name": name},
        "spec": {**wanted, **spec},
    }


def revision(*documents: Mapping[str, Any] | Deployment, id_: str = "r1", **policy: Any) -> Revision:
    """Return a revision of those deployments; `policy` are the fields of the station's policy."""
    return Revision.model_validate(
        {"id": id_, "source": "test", "loadedAt": AT, "deployments": documents, "policy": policy}
    )


# --- what a store has


def digest_of(ref: PackageRef) -> str:
    """Return the digest that an artefact has where a test does not say."""
    return f"sha256:{ref}"


def zip_record(ref: PackageRef, pids: tuple[str, ...] | None = SUPPORTED, digest: str = "") -> PackageRecord:
    """Return what is known of a zip in the store."""
    return PackageRecord(
        ref.name, ref.version, digest or digest_of(ref), "discovered", supported_pids=pids,
        zip_name=f"{ref.name}-{ref.version}.zip", fingerprint=(1, 1, 1),
    )  # fmt: skip


def zipped(*refs: PackageRef, pids: tuple[str, ...] | None = SUPPORTED) -> tuple[PackageRecord, ...]:
    """Return those zips as an observer sees them."""
    return tuple(zip_record(ref, pids) for ref in refs)


def receipt(ref: PackageRef, pids: tuple[str, ...] | None = SUPPORTED, digest: str = "", at: str = AT) -> Receipt:
    """Return the receipt of an installation."""
    return Receipt(
        ref.name, ref.version, digest or digest_of(ref), "m:C", pids, "src", (), "python", "3.11", "0.3.2", (), at
    )


def installation(ref: PackageRef, pids: tuple[str, ...] | None = SUPPORTED, digest: str = "") -> Installation:
    """Return an installation that is nowhere on this disk."""
    return Installation(receipt(ref, pids, digest), f"deployed/{ref.name}/{ref.version}")


def installed(*refs: PackageRef) -> dict[PackageRef, Installation]:
    """Return those installations as an observer sees them."""
    return {ref: installation(ref) for ref in refs}


def active(ref: PackageRef, *pids: str) -> dict[str, ActiveMapping | BrokenMapping]:
    """Return the mappings of PIDs that a version answers."""
    return {pid: ActiveMapping(ref.name, ref.version, AT) for pid in pids}


def past(ref: PackageRef, deployment_name: str | None = "screw", *, held: bool = False) -> tuple[HistoryEntry, ...]:
    """Return the history of a PID that was switched to a version once; `held`: by a hold."""
    reason = f"{HELD_BY}ann: test" if held else "test"
    return (HistoryEntry(AT, ref.name, ref.version, deployment_name, "r0", "root", reason),)


# --- what runs, and what calls come to


def sketch(seconds: Iterable[float]) -> LatencySketch:
    """Return the sketch of calls that took so long."""
    return LatencySketch.counted(Counter(map(bin_of, seconds)))


def process(
    ref: PackageRef, *, name: str = "screw", replica: int = 0, state: ProcessState = "ready", digest: str = "",
    shadow: bool = False,
) -> ObservedProcess:  # fmt: skip
    """Return a process of a deployment."""
    key = ProcessKey(name, ref.name, ref.version, replica, shadow=shadow)
    return ObservedProcess(key, digest or digest_of(ref), 10, state, "0.3.2", AT)


def running(*processes: ObservedProcess) -> dict[ProcessKey, ObservedProcess]:
    """Return those processes as an observer sees them."""
    return {each.key: each for each in processes}


# --- what is on record


def rollout(of: Deployment, stable: Mapping[str, PackageRef], state: State = "promoted", **more: Any) -> Rollout:
    """Return a rollout of a deployment's version that has come as far as `state`."""
    ref = of.spec.ref
    return Rollout(of.name, ref, digest_of(ref), pin_strategy(of), stable, state, AT, Instant("boot", 0.0), **more)


# --- what is on record


def audit_records(log: AuditLog) -> list[AuditRow]:
    """Return every record of an audit log, oldest first."""
    rows, before = log.page(1000)
    while before is not None:
        more, before = log.page(1000, before)
        rows += more
    return rows[::-1]
