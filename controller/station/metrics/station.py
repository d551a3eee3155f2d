"""Families about the station as a whole: passes, what waits, the revision, the audit, the host, the release."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping

import psutil

from controller import __version__
from controller.model.objects import ObjectKind
from controller.reconciler.counts import ActCounts, Durations, PassCounts
from controller.reconciler.loop import Loop
from controller.reconciler.reconciler import Outcome
from controller.recordings.writing import WriterProcess
from controller.station.metrics.deployments import epoch_of
from controller.station.metrics.family import Buckets, Family, counter, gauge, histogram, known

_WAITING: tuple[ObjectKind, ...] = ("package", "process", "pid", "rollout", "zip", "registry", "holds")


def build_families(started_at: str) -> Iterator[Family]:
    """Yield which release this is, and since when it runs."""
    said = {"version": __version__, "python": platform.python_version()}
    yield Family("info", "build", "The release of the controller, and the Python that runs it.", (), (((), said),))
    yield gauge("start_time_seconds", "When the controller was started, in seconds since 1970.", epoch_of(started_at))
    process = psutil.Process()
    with process.oneshot():
        times = process.cpu_times()
        yield gauge("controller_resident_memory_bytes", "Resident memory of the controller itself.",
                    process.memory_info().rss)  # fmt: skip
        yield counter("controller_cpu_seconds", "Processor time of the controller itself.", times.user + times.system)
        yield gauge("controller_open_files", "File descriptors that the controller has open.", process.num_fds())


def pass_families(loop: Loop) -> Iterator[Family]:
    """Yield how passes go, and what waits for a later one. Also where none could be finished."""
    passes: PassCounts = loop.counts
    yield Family("counter", "passes", "Passes, by whether they could be finished.", ("result",),
                 ((("finished",), passes.finished), (("failed",), passes.failed)))  # fmt: skip
    yield histogram("pass_duration_seconds", "How long a pass took.", _buckets(passes.durations))
    yield gauge("last_pass_timestamp_seconds", "When the last pass was finished, in seconds since 1970.",
                loop.concluded.epoch if loop.concluded else None)  # fmt: skip
    yield counter("revisions_refused", "Desired trees that were refused because they are not valid.", passes.refused)
    failures = loop.reconciler.backoff.failures
    resting = Counter(each.kind for each in failures)
    yield Family("gauge", "backoff_objects", "Objects that failed and are tried again after a back-off, by kind.",
                 ("kind",), (((kind,), resting[kind]) for kind in _WAITING))  # fmt: skip
    open_ = sum(each.breaker for each in failures.values())
    yield gauge("breakers_open", "Processes whose breaker is open: they ended more often than is tolerated.", open_)
    yield gauge("acts_in_flight", "Objects that are being worked on.", len(loop.reconciler.applier.in_flight))


def act_families(acts: ActCounts) -> Iterator[Family]:
    """Yield what acts came to since the controller began, and how long the slow ones took."""
    yield Family("counter", "acts", "Acts that ended, by kind and result.", ("kind", "result"),
                 (((kind, "succeeded" if good else "failed"), count)
                  for (kind, good), count in sorted(acts.ended.items())))  # fmt: skip
    yield histogram("install_duration_seconds", "How long installing a package took.", _buckets(acts.installs))
    yield histogram("process_start_duration_seconds", "How long a process took until it was ready, or given up.",
                    _buckets(acts.starts))  # fmt: skip


def outcome_families(outcome: Outcome) -> Iterator[Family]:
    """Yield how the station stood at the end of the last pass."""
    status, revision = outcome.status, outcome.status.revision
    yield gauge("converged", "1 where nothing is left to do.", int(status.converged))
    yield revision_valid(valid=revision.valid)
    yield Family("info", "revision", "The revision that is in force.", (),
                 (((), {"id": revision.id, "source": revision.source}),))  # fmt: skip
    yield gauge("revision_loaded_timestamp_seconds", "When that revision was loaded, in seconds since 1970.",
                epoch_of(revision.loaded_at))  # fmt: skip
    waiting = Counter(each.object.kind for each in outcome.plan.waiting)
    yield Family("gauge", "waiting_objects", "Objects that a later pass looks at again, by kind.", ("kind",),
                 (((kind,), waiting[kind]) for kind in _WAITING))  # fmt: skip
    yield gauge("audit_head_sequence", "The number of the last record of the audit.", status.audit.get("seq"))
    host = status.host
    yield Family("gauge", "host_free_bytes", "What is free: on the store's disk, in the images' memory, of the memory.",
                 ("of",), known((
                     (("store",), host.store_free_bytes), (("memory_store",), host.memory_store_free_bytes),
                     (("memory",), host.memory_free_bytes),
                 )))  # fmt: skip
    yield Family("gauge", "host_condition", "1 where a condition of the host holds: something is about to fail.",
                 ("condition",), (((each.type,), int(each.status)) for each in host.conditions))  # fmt: skip


def refusals_family(refused: Mapping[str, int]) -> Family:
    """Return what the gateway refused, by reason; no rows where there is none."""
    return Family("counter", "gateway_refusals",
                  "Requests and connections from the network that the gateway refused, by reason.", ("reason",),
                  (((reason,), count) for reason, count in refused.items()))  # fmt: skip


def recording_families(writer: WriterProcess) -> Iterator[Family]:
    """Yield what was recorded, what was not and why, and what there is of it."""
    yield counter("calls_recorded", "Calls that were recorded with their pictures.", writer.kept)
    yield Family("counter", "calls_not_recorded", "Calls that were to be recorded and were not, by reason.",
                 ("reason",), (((reason,), count) for reason, count in writer.dropped.items()))  # fmt: skip
    yield gauge("recordings", "Recorded calls that are kept.", writer.total.calls)
    yield gauge("recordings_bytes", "What they take of the disk.", writer.total.size)


def revision_valid(*, valid: bool) -> Family:
    """Return whether the desired tree is valid; it may be refused before any pass could be made."""
    return gauge("revision_valid", "1 where the desired tree, as it was read last, is valid.", int(valid))


def _buckets(durations: Durations) -> Buckets:
    return Buckets(durations.bounds, durations.counts, durations.seconds)
