"""Which calls are recorded, as `spec.recording` of the PID's deployment says, and their way to the writer's process."""

from __future__ import annotations

import secrets
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from controller.calls.aftermath import Ended
from controller.client.answers import Detection
from controller.images.slots import Lease
from controller.model.comparison import Answer, Difference
from controller.model.desired import Deployment
from controller.model.last_part import PartOutcome, outcome_of
from controller.model.package import PackageRef
from controller.model.recording import Recording, RecordingKind
from controller.model.tally import Kind, classify
from controller.model.timestamps import format_timestamp
from controller.recordings.bounds import Bounds
from controller.recordings.writing import WriterProcess
from controller.store.layout import StoreLayout

_REMEMBERED = 1024
"""Recorded calls whose ids are remembered for who hears of a disagreement later."""
_CHANCES = 2**32


class Recorder:
    """Follows calls, and has those recorded that are to be. `writer` knows what came of it.

    The process that writes is there while some PID is recorded, or while there are recordings to be kept in bounds.
    `on_change` is called when nothing is recorded any more, or again.
    """

    def __init__(self, layout: StoreLayout, on_change: Callable[[], object] = lambda: None) -> None:
        self._layout = layout
        self.writer = WriterProcess(layout, on_change)
        self._by_pid: Mapping[str, Recording] = {}
        self._ids: OrderedDict[tuple[str, float], str] = OrderedDict()

    @property
    def trouble(self) -> str | None:
        """Return why nothing is recorded; empty: it is; None: nothing is to be."""
        return self.writer.trouble if self._by_pid else None

    def configure(self, deployments: Iterable[Deployment]) -> None:
        """Take which PIDs are recorded from now on, and how much is kept of them."""
        found = {pid: each.spec.recording for each in deployments if each.spec.recording for pid in each.spec.pids}
        self._by_pid = {pid: wanted for pid, wanted in found.items() if wanted.only}
        self.writer.bound({pid: Bounds(each.keep, each.max_size, each.max_age) for pid, each in found.items()})
        if self._by_pid or self._layout.recordings.is_dir():
            self.writer.start()

    async def close(self) -> None:
        """Have everything written down that was taken."""
        self._by_pid = {}
        await self.writer.close()

    # Calls.

    def wants(self, pid: str, ref: PackageRef) -> bool:
        """Whether a PID is recorded: what of it is known after the answer only."""
        return pid in self._by_pid

    def hear(self, call: Ended) -> None:
        """Have a call recorded, if it is one of those that are to be."""
        wanted = self._by_pid.get(call.request.pid)
        if wanted is None or call.request.arguments.phase == "pre":  # what comes before the verdict is none
            return
        verdict, message = _verdict(call)
        if verdict is None:
            return
        kinds = tuple(kind for kind in wanted.only if self._is(kind, verdict, call, wanted))
        if kinds:
            self._record(call, verdict, message, kinds)

    def disagreed(self, call: Ended, after: Answer, difference: Difference) -> str:
        """Note that a shadowed version said something else of a picture; return the id of its recording.

        The leases of the call are still held. Empty where it is not recorded.
        """
        wanted = self._by_pid.get(call.request.pid)
        kinds: tuple[RecordingKind, ...] = ("disagreement",)
        known = self._ids.get((call.request.pid, call.epoch), "")
        if wanted is None or "disagreement" not in wanted.only or not (difference or not after.is_verdict):
            return known
        if known:
            self.writer.mark(call.request.pid, known, "disagreement")
            return known
        verdict, message = _verdict(call)
        return "" if verdict is None else self._record(call, verdict, message, kinds)

    @staticmethod
    def _is(kind: RecordingKind, verdict: PartOutcome, call: Ended, wanted: Recording) -> bool:
        match kind:
            case "NG":
                return verdict == "NG"
            case "ERROR":
                return verdict in {"ERROR", "FAILED"}
            case "sample":
                return _chance(call) < wanted.sample * _CHANCES
            case "disagreement":
                return False  # the one who compares says so

    def _record(self, call: Ended, verdict: PartOutcome, message: str, kinds: tuple[RecordingKind, ...]) -> str:
        if call.image is None or call.guide_lost:
            self.writer.dropped["not_leased"] += 1
            return ""
        call_id = new_id(call.epoch)
        said = {
            "record": _document(call, call_id, verdict, message, kinds),
            "image": _picture(call.image),
            "guide": None if call.guide is None else _picture(call.guide),
        }
        leases = (call.image,) if call.guide is None else (call.image, call.guide)
        key = call.request.pid, call.epoch
        why = self.writer.offer(said, leases, on_dropped=partial(self._ids.pop, key, None))
        if why:
            self.writer.dropped[why] += 1
            return ""
        self._ids[key] = call_id
        if len(self._ids) > _REMEMBERED:
            self._ids.popitem(last=False)
        return call_id


def new_id(epoch: float) -> str:
    """Return an id for a call that ended then (s since 1970): unique on all stations, and sorted by time."""
    milliseconds = int(epoch * 1000)
    seconds = time.strftime("%Y%m%d%H%M%S", time.gmtime(milliseconds // 1000))
    return f"{seconds}{milliseconds % 1000:03d}-{secrets.token_hex(5)}"


def _verdict(call: Ended) -> tuple[PartOutcome | None, str]:
    """Return what came of a call, and its message; None where it failed and that was not the version's doing."""
    outcome = call.outcome
    if isinstance(outcome, Detection):
        verdict, odd = outcome_of(outcome.status, outcome.data.get("result_status"))
        return verdict, outcome.message or odd
    if classify(outcome.code) is Kind.ignored or outcome.details.get("caller_timeout"):
        return None, ""
    return "FAILED", outcome.message


def _chance(call: Ended) -> int:
    """Return a number below 2³² that is always the same for a call, and evenly spread over calls."""
    outcome = call.outcome
    key = outcome.request_id if isinstance(outcome, Detection) else f"{call.request.pid}{call.epoch!r}"
    return zlib.crc32(key.encode())


def _document(
    call: Ended, call_id: str, verdict: PartOutcome, message: str, kinds: tuple[RecordingKind, ...]
) -> dict[str, Any]:  # fmt: skip
    """Return a RecordedCall without its pictures, which only the writer looks at."""
    outcome = call.outcome
    if isinstance(outcome, Detection):
        said = {"request_id": outcome.request_id, "data": outcome.data, "latency_ms": outcome.latency_ms}
    else:
        said = {"request_id": "", "error": outcome.to_document()}
    return said | {
        "id": call_id,
        "pid": call.request.pid,
        "deployment": call.deployment,
        "package": {"name": call.ref.name, "version": call.ref.version},
        "digest": call.digest,
        "at": format_timestamp(call.epoch),
        "epoch": call.epoch,
        "verdict": verdict,
        "kinds": kinds,
        "guide_is_image": call.guide_is_image,
        "swapped": call.swapped,
        "message": message,
        "arguments": call.request.arguments.to_document(),
    }


def _picture(lease: Lease) -> dict[str, Any]:
    image = lease.image
    return {
        "path": image.path, "look": image.look, "color_space": image.color_space, "conversion": image.conversion,
    }  # fmt: skip
