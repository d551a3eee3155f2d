"""The host's section of the status: what is left, which conditions hold and since when; a change of one is logged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from controller.host.capacity import Capacity, capacity_of
from controller.model.observed import Failure
from controller.model.pressure import Pressure, pressures, tokens
from controller.model.status import Condition, HostStatus
from controller.store.layout import StoreLayout
from controller.store.tokens import TokenFile

log = logging.getLogger(__name__)


class HostWatch:
    """Looks at the host of one store. `file_events` says why no changes of files are told; empty: they are.

    `listener` says why the address of the network is not served; empty: it is; None: there is none. `recording` says
    in the same way why no calls are recorded.
    """

    def __init__(
        self,
        layout: StoreLayout,
        file_events: Callable[[], str] = lambda: "",
        listener: Callable[[], str | None] = lambda: None,
        recording: Callable[[], str | None] = lambda: None,
        capacity: Callable[[], Capacity] | None = None,
    ) -> None:
        self._capacity = capacity or (lambda: capacity_of(layout.root, layout.images))
        self._file_events = file_events
        self._listener = listener
        self._recording = recording
        self._tokens = TokenFile(layout)
        self._known: dict[str, Condition] = {}
        self._told: set[str] = set()

    def remember(self, previous: Mapping[str, Any] | None) -> None:
        """Take over from the status of an earlier life since when its conditions hold."""
        rows = (previous or {}).get("host", {}).get("conditions", ())
        self._known = {row["type"]: Condition(**row) for row in rows} | self._known

    def look(self, now: str, failures: Iterable[Failure] = ()) -> HostStatus:
        """Return how the host stands; `now` is RFC 3339, `failures` are what did not succeed lately."""
        capacity = self._capacity()
        before = {kind for kind, condition in self._known.items() if condition.status}
        found = [*pressures(capacity, before), _refusal(failures), *tokens(self._tokens.trouble())]
        logged = [_file_events(self._file_events()), *_listener(self._listener()), *_recording(self._recording())]
        conditions = tuple(self._condition(each, now) for each in (*found, *logged))
        self._known = {each.type: each for each in conditions}
        self._tell(conditions[: len(found)])  # the others log for themselves
        store, shared, memory = (
            figures[0] if figures else None for figures in (capacity.store, capacity.shared, capacity.memory)
        )
        return HostStatus(store, shared, memory, conditions)

    def _condition(self, found: Pressure, now: str) -> Condition:
        kind, holds, reason, message = found
        known = self._known.get(kind)
        since = known.last_transition_time if known is not None and known.status == holds else now
        return Condition(kind, holds, reason, message, since)

    def _tell(self, conditions: tuple[Condition, ...]) -> None:
        for each in conditions:
            if each.status and each.type not in self._told:
                log.warning("host: %s: %s", each.type, each.message)
                self._told.add(each.type)
            elif not each.status and each.type in self._told:
                log.info("host: %s is over: %s", each.type, each.message)
                self._told.discard(each.type)


def pressing(host: HostStatus) -> tuple[str, ...]:
    """Return the types of the conditions that hold."""
    return tuple(each.type for each in host.conditions if each.status)


def _refusal(failures: Iterable[Failure]) -> Pressure:
    refused = next((each for each in failures if each.condition), None)
    if refused is not None:
        return "HostRefuses", True, refused.condition, refused.message
    return "HostRefuses", False, "Permitted", "the host lets everything start"


def _file_events(trouble: str) -> Pressure:
    if trouble:
        return "FileEventsMissing", True, "NoInotify", f"{trouble}; until that is mended they are looked for every 10 s"
    return "FileEventsMissing", False, "Noticed", "changes of files are noticed at once"


def _listener(trouble: str | None) -> tuple[Pressure, ...]:
    if trouble is None:
        return ()
    if trouble:
        return (("ListenerDown", True, "GatewayEnded", f"the gateway {trouble}; calls over the socket go on"),)
    return (("ListenerDown", False, "Listening", "the address of the network is served"),)


def _recording(trouble: str | None) -> tuple[Pressure, ...]:
    if trouble is None:
        return ()
    if trouble:
        return (("RecordingStopped", True, "CannotRecord", f"{trouble}; calls go on, and are not recorded"),)
    return (("RecordingStopped", False, "Recording", "calls are recorded as spec.recording says"),)
