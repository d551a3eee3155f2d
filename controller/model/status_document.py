"""The status document and the audit's records as JSON objects, typed: design section 3.3. Types only, no code.

Whoever reads a document (from a file, from a daemon that may be newer) has these keys at least; further ones may come.
`model.status` has the same rows as values, for who makes the document.
"""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

JsonValue = Any
"""A value of an algorithm, an operator or another release: JSON of a shape that nobody here knows."""


class RevisionRow(TypedDict):
    id: str
    source: str
    valid: bool
    errors: list[str]
    loaded_at: str
    fingerprint: NotRequired[str]
    tree_differs: NotRequired[bool]


class ConditionRow(TypedDict):
    """Something that holds (`status`) or does not, as a condition of Kubernetes."""

    type: str
    status: bool
    reason: str
    message: str
    last_transition_time: str


class PictureRow(TypedDict):
    """A picture on which the judged version says something else than the one before, or fails.

    `recording` is the id under which it is recorded; empty where it is not.
    """

    pid: str
    request_id: str
    recording: str
    before: str
    after: str
    at: str


class EvidenceRow(TypedDict):
    """One metric of the version that is judged. `odds` against chance at which its test fails; 0: it is no test."""

    metric: str
    value: float | None
    limit: float | None
    samples: int
    progress: float
    message: str
    needed: NotRequired[int]
    odds: NotRequired[int]
    pictures: NotRequired[list[PictureRow]]


class DeploymentRow(TypedDict):
    name: str
    phase: str
    observed_generation: str
    package: str
    target_version: str
    stable_version: str | None
    current_step_index: int | None
    desired_weight: int
    actual_weight: int
    quarantined: list[str]
    message: str
    conditions: list[ConditionRow]
    evidence: NotRequired[list[EvidenceRow]]
    patch: NotRequired[str]
    rollback_to: NotRequired[str | None]
    rollback_until: NotRequired[str | None]
    proven: NotRequired[bool]
    last_words: NotRequired[list[str]]
    last_words_of: NotRequired[str | None]


class ActiveRow(TypedDict):
    name: str
    version: str
    activated_at: str


class HealthRow(TypedDict):
    """What a PID's calls on its active version came to lately, each rate over the window of its limit.

    Rates are shares from 0 to 1; null without calls. `reviewed`: verdicts with feedback, of which `escapes` and
    `overkill` were wrong. `excused` calls failed on the stable version too, and are no samples.
    """

    samples: int
    error_rate: float | None
    timeout_rate: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    ng_rate: float | None
    reviewed: NotRequired[int]
    escapes: NotRequired[int]
    overkill: NotRequired[int]
    excused: NotRequired[int]


class PidRow(TypedDict):
    pid: str
    deployment: str | None
    active: ActiveRow | None
    target_version: str | None
    pinned: bool
    held: bool
    ready: bool
    health: HealthRow


class ProcessRow(TypedDict):
    deployment: str
    name: str
    version: str
    replica: int
    os_pid: int | None
    state: str
    sdk_version: str
    rss_bytes: int | None
    cpu_percent: float | None
    restarts: int
    started_at: str
    shadow: NotRequired[bool]


class PackageRow(TypedDict):
    name: str
    version: str
    digest: str
    state: str
    error_code: int | None
    reason: str
    supported_pids: list[str] | None


class WaitingRow(TypedDict):
    what: str
    until: str | None
    reason: str


class AuditHeadRow(TypedDict, total=False):
    seq: int
    hash: str


class DaemonRow(TypedDict):
    alive: bool
    os_pid: int | None
    started_at: str | None
    source: str
    age_s: float
    listen: NotRequired[str | None]


class HostRow(TypedDict):
    store_free_bytes: int | None
    memory_store_free_bytes: int | None
    memory_free_bytes: int | None
    conditions: list[ConditionRow]


class StatusDocument(TypedDict):
    """`GET /v1/status`, `pvctl status -o json` and `runtime_store/status.json`."""

    revision: RevisionRow
    converged: bool
    deployments: list[DeploymentRow]
    pids: list[PidRow]
    processes: list[ProcessRow]
    packages: list[PackageRow]
    waiting: list[WaitingRow]
    unmanaged: NotRequired[list[str]]
    audit: NotRequired[AuditHeadRow]
    daemon: NotRequired[DaemonRow]
    host: NotRequired[HostRow]


class AuditRow(TypedDict):
    """One record of `logs/audit.jsonl`; `before` and `after` are JSON values."""

    seq: int
    time: str
    actor: str
    worker: NotRequired[str]
    revision: str
    action: str
    object: str
    before: JsonValue
    after: JsonValue
    reason: str
    outcome: str
    prev: str
    hash: str
