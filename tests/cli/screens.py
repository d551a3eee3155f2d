"""Status documents as stations have them on a bad day, for tests of what people see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.model.status_document import (
        DeploymentRow,
        EvidenceRow,
        PackageRow,
        PictureRow,
        PidRow,
        ProcessRow,
        StatusDocument,
    )

NOW = 1_800_000_000.0
"""The present of the documents: 2027-01-15T08:00:00Z."""
LONG = "surface-inspection-of-brake-discs-line-0017"


def deployment(name: str, phase: str = "Healthy", message: str = "", **more: object) -> DeploymentRow:
    row: DeploymentRow = {
        "name": name, "phase": phase, "observed_generation": "a1b2c3d4e5f6", "package": name, "target_version": "1.1.0",
        "stable_version": "1.0.0", "current_step_index": None, "desired_weight": 100, "actual_weight": 100,
        "quarantined": [], "message": message or f"{name}@1.1.0 serves its PIDs", "conditions": [], "proven": True,
    }  # fmt: skip
    return row | more  # type: ignore[return-value]


def evidence(metric: str, value: float | None, limit: float, samples: int, needed: int, progress: float) -> EvidenceRow:
    return {
        "metric": metric, "value": value, "limit": limit, "samples": samples, "needed": needed, "progress": progress,
        "message": "",
    }  # fmt: skip


def pid(name: str, owner: str, version: str = "1.1.0", *, ready: bool = True, held: bool = False) -> PidRow:
    return {
        "pid": name, "deployment": owner,
        "active": {"name": owner, "version": version, "activated_at": "2027-01-15T07:50:00.000000Z"},
        "target_version": "1.1.0", "pinned": False, "held": held, "ready": ready,
        "health": {"samples": 120, "error_rate": 0.0125, "timeout_rate": 0.0, "latency_p50_ms": 8.0,
                   "latency_p95_ms": 12.4, "ng_rate": 0.1},
    }  # fmt: skip


def process(owner: str, version: str = "1.1.0", state: str = "ready") -> ProcessRow:
    return {
        "deployment": owner, "name": owner, "version": version, "replica": 0, "os_pid": 41234, "state": state,
        "sdk_version": "0.3.2", "rss_bytes": 181 * 2**20, "cpu_percent": 12.0, "restarts": 2,
        "started_at": "2027-01-12T08:00:00.000000Z",
    }  # fmt: skip


def package(name: str, version: str, state: str = "installed", reason: str = "") -> PackageRow:
    return {
        "name": name, "version": version, "digest": f"sha256:{'ab' * 32}", "state": state,
        "error_code": 2001 if reason else None, "reason": reason, "supported_pids": None,
    }  # fmt: skip


def document(**more: object) -> StatusDocument:
    row: StatusDocument = {
        "revision": {"id": "sha256:0123456789abcdef", "source": "/etc/procvision/desired", "valid": True, "errors": [],
                     "loaded_at": "2027-01-15T07:00:00Z"},
        "converged": True, "deployments": [deployment("screws")], "pids": [pid("A01", "screws")],
        "processes": [process("screws")], "packages": [package("screws", "1.1.0")], "waiting": [],
        "daemon": {"alive": True, "os_pid": 812, "started_at": "2027-01-12T08:00:00Z",
                   "source": "/etc/procvision/desired", "age_s": 1.2},
        "host": {"store_free_bytes": 1, "memory_store_free_bytes": 1, "memory_free_bytes": 1, "conditions": []},
    }  # fmt: skip
    return row | more  # type: ignore[return-value]


def rollout() -> StatusDocument:
    """A canary that waits for calls, with a metric on its way to a rollback."""
    return document(
        converged=False,
        deployments=[
            deployment("cells"),
            deployment(
                "screws", "Paused",
                "step 2 of 4: screws@1.1.0: setWeight 25; pause 600s; `pvctl promote screws` goes on at once",
                current_step_index=1, actual_weight=25, desired_weight=25,
                evidence=[
                    evidence("errorRate", 0.031, 0.05, 34, 50, 0.18), evidence("timeoutRate", 0.0, 0.01, 34, 50, 0.0),
                    evidence("latencyP95", 0.912, 0.8, 34, 50, 0.64), evidence("samples", 34, 50, 34, 50, 0.0),
                ],
            ),
        ],
        pids=[pid("A01", "screws", "1.0.0"), pid("A02", "screws", "1.0.0"), pid("A03", "screws"), pid("B01", "cells")],
        processes=[process("screws", "1.0.0"), process("screws"), process("cells")],
        packages=[package("screws", "1.0.0"), package("screws", "1.1.0"), package("cells", "1.1.0")],
        waiting=[{"what": "rollout/screws", "until": "2027-01-15T08:04:32Z", "reason": "pause 600s"}],
    )  # fmt: skip


def replayed() -> StatusDocument:
    """A version that a replay has stopped, and the pictures on which it differs."""
    picture: PictureRow = {
        "pid": "A02", "request_id": "4f1c", "recording": "01HF7YAT00000", "before": "NG", "after": "OK",
        "at": "2027-01-15T07:59:00Z",
    }  # fmt: skip
    pictures: list[PictureRow] = [picture | {"recording": f"01HF7YAT0000{n}"} for n in range(5)]  # type: ignore[misc]
    found = evidence("newlyOK", 0.01, 0.002, 500, 50, 1.0) | {"pictures": pictures}
    failed = deployment(
        "screws", "Degraded", "screws@1.1.0 is in quarantine since 2027-01-15T07:59:10Z: replay: newly OK 1 %",
        evidence=[found, evidence("newlyNG", 0.002, 0.02, 500, 50, 0.09)],
    )  # fmt: skip
    return document(converged=False, deployments=[failed])


def bad_day() -> StatusDocument:
    """200 PIDs of long names, a version that was rolled back, a full disk, a refused tree and no daemon."""
    why = (
        f"{LONG}@1.1.0 is in quarantine since 2027-01-15T07:40:00Z: error rate 55 % over 40 calls on A001, limit 5% "
        "(would happen by chance less than once in 1,000,000,000 rollouts); deploy another version, or "
        f"`pvctl retry {LONG}`"
    )
    pids = [pid(f"A{n:03}", LONG, "1.0.0" if n % 3 else "1.1.0", ready=n != 117) for n in range(200)]
    problem = f"/srv/stations/{LONG}/desired/deployments/inspection.yaml:12:5: spec.pidz: unknown key"
    disk = {
        "type": "DiskPressure", "status": True, "reason": "LittleLeft", "last_transition_time": "2027-01-15T07:00:00Z",
        "message": "3 GiB of 100 GiB (3 %) of the store's disk are free; see 'Full disk' in docs/operations.md",
    }  # fmt: skip
    failed = deployment(
        LONG, "Degraded", why, last_words=["A001: 灯が消えています", "Traceback (most recent call last):"],
        last_words_of=f"{LONG}@1.1.0", patch=f"# {why}\nspec:\n  package:\n    version: 1.0.0\n",
        evidence=[evidence("errorRate", 0.55, 0.05, 40, 50, 1.0)],
    )  # fmt: skip
    return document(
        converged=False,
        revision={"id": "0123456789abcdef0123456789abcdef01234567-dirty", "source": f"/srv/stations/{LONG}/desired",
                  "valid": False, "loaded_at": "2027-01-15T07:00:00Z",
                  "errors": [f"{problem} (did you mean 'pids'?)"]},
        deployments=[deployment("cells"), failed],
        pids=[*pids, pid("B01", "cells")],
        processes=[process(LONG, "1.0.0"), process("cells", state="exited")],
        packages=[package(LONG, "1.0.0"), package(LONG, "2.0.0", "invalid", "第二版.zip: the archive is damaged " * 4)],
        daemon={"alive": False, "os_pid": None, "started_at": None, "source": "/etc", "age_s": 4000.0},
        host={"store_free_bytes": 1, "memory_store_free_bytes": 1, "memory_free_bytes": 1, "conditions": [disk]},
    )  # fmt: skip
