"""The status document (design section 3.3). Fields may be added, never renamed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, cast

import orjson

from controller.model.analysis import PictureEvidence
from controller.model.status_document import StatusDocument

Phase = Literal["Healthy", "Progressing", "Paused", "Degraded", "Suspended"]


@dataclass(frozen=True, slots=True)
class RevisionStatus:
    """The revision in force. Where the desired tree is not valid now, `valid` is false and `errors` says why."""

    id: str
    source: str
    valid: bool
    errors: tuple[str, ...] = ()
    loaded_at: str = ""
    fingerprint: str = ""
    """Of the files of the desired tree as they were read last; another one where they may have changed since."""
    tree_differs: bool = False
    """Whether the desired tree says something else by now that nobody has read."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds (`status`) or does not, as a condition of Kubernetes."""

    type: str
    status: bool
    reason: str
    message: str
    last_transition_time: str


@dataclass(frozen=True, slots=True)
class EvidenceStatus:
    """What one metric says of the version that is judged, in the metric's own unit (share, seconds, bytes, count).

    `progress` is how far it is on the way to a rollback, 0 to 1; `message` says the same in words; `needed` is how many
    samples a pass needs (0: none). `odds` are those against chance at which its test fails (0: no test: a count, or a
    fact), and `pictures` some of those that it is about, the newest first.
    """

    metric: str
    value: float | None
    limit: float | None
    samples: int
    progress: float
    message: str
    needed: int = 0
    odds: int = 0
    pictures: tuple[PictureEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class DeploymentStatus:
    """How a deployment stands.

    `stable_version` is the promoted one as soon as it is promoted. Until `rollback_until` (RFC 3339) a failure of it
    goes back to `rollback_to`; both are None where nothing is rolled back automatically any more, or not yet promoted.
    `proven`: every version that answers its PIDs has answered a call. `evidence` is about the version that is judged;
    `last_words`, its last errors and log lines, about the one that failed (`last_words_of`, such as `x@1.1.0`).
    """

    name: str
    phase: Phase
    observed_generation: str
    package: str
    target_version: str
    stable_version: str | None
    current_step_index: int | None = None
    desired_weight: int = 100
    actual_weight: int = 0
    quarantined: tuple[str, ...] = ()
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    evidence: tuple[EvidenceStatus, ...] = ()
    patch: str = ""
    rollback_to: str | None = None
    rollback_until: str | None = None
    proven: bool = False
    last_words: tuple[str, ...] = ()
    last_words_of: str | None = None


@dataclass(frozen=True, slots=True)
class PidHealth:
    """What a PID's calls came to lately. `excused` ones failed on the stable version too, and are no samples."""

    samples: int = 0
    error_rate: float | None = None
    timeout_rate: float | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    ng_rate: float | None = None
    reviewed: int = 0
    escapes: int = 0
    overkill: int = 0
    excused: int = 0


@dataclass(frozen=True, slots=True)
class PidStatus:
    """What answers a PID. `ready`: a process can answer now; `target_version`: what the PID is to have."""

    pid: str
    deployment: str | None
    active: dict[str, str] | None
    target_version: str | None
    pinned: bool
    held: bool
    ready: bool
    health: PidHealth = PidHealth()


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """An algorithm process. Memory and processor time are with its descendants; 100 % is one core.

    `shadow`: it gets pictures of the line after their answer, and answers no call.
    """

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
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class PackageStatus:
    """A zip or an installation: `discovered`, `validated`, `installed` or `invalid`, which has an error."""

    name: str
    version: str
    digest: str
    state: str
    error_code: int | None
    reason: str
    supported_pids: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class WaitingStatus:
    """What a later pass does, why not now, and from when on (RFC 3339), where that is known."""

    what: str
    until: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """Whether `pvctl run` lives, and how old what the document says is (seconds). `source` is the desired tree.

    `listen` is the address at which it can be asked over the network; None: it is not to be.
    """

    alive: bool = False
    os_pid: int | None = None
    started_at: str | None = None
    source: str = ""
    age_s: float = 0.0
    listen: str | None = None


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What is left on the machine. A condition that holds says that something is about to fail."""

    store_free_bytes: int | None = None
    memory_store_free_bytes: int | None = None
    memory_free_bytes: int | None = None
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """How the station stands, as of a pass."""

    revision: RevisionStatus
    converged: bool
    deployments: tuple[DeploymentStatus, ...] = ()
    pids: tuple[PidStatus, ...] = ()
    processes: tuple[ProcessStatus, ...] = ()
    packages: tuple[PackageStatus, ...] = ()
    waiting: tuple[WaitingStatus, ...] = ()
    unmanaged: tuple[str, ...] = ()
    audit: dict[str, Any] = field(default_factory=dict)
    daemon: DaemonStatus = DaemonStatus()
    host: HostStatus = HostStatus()

    def to_document(self) -> StatusDocument:
        """Return the document as JSON has it."""
        return cast(StatusDocument, orjson.loads(orjson.dumps(self)))
