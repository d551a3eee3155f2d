"""The states of a rollout and what leads from one to another, as a table. Nothing else changes a state."""

from __future__ import annotations

from typing import Literal

from controller.errors import ControllerError
from controller.model.rollout import State

Event = Literal[
    "next_weight", "next_pause", "next_wait", "next_replay", "next_shadow", "moved", "short", "done", "failed",
    "aborted", "reverted", "expired",
]  # fmt: skip
TRANSITIONS: dict[tuple[State, Event], State] = {
    ("stepping", "moved"): "baking",
    ("stepping", "failed"): "reverting",
    ("stepping", "aborted"): "stopped",
    ("baking", "next_weight"): "stepping",
    ("baking", "next_pause"): "paused",
    ("baking", "next_wait"): "waiting",
    ("baking", "next_replay"): "replaying",
    ("baking", "next_shadow"): "shadowing",
    ("baking", "short"): "sampling",
    ("baking", "done"): "promoted",
    ("baking", "failed"): "reverting",
    ("baking", "aborted"): "stopped",
    ("paused", "next_weight"): "stepping",
    ("paused", "next_pause"): "paused",
    ("paused", "next_wait"): "waiting",
    ("paused", "next_replay"): "replaying",
    ("paused", "next_shadow"): "shadowing",
    ("paused", "short"): "sampling",
    ("paused", "done"): "promoted",
    ("paused", "failed"): "reverting",
    ("paused", "aborted"): "stopped",
    ("waiting", "next_weight"): "stepping",
    ("waiting", "next_pause"): "paused",
    ("waiting", "next_wait"): "waiting",
    ("waiting", "next_replay"): "replaying",
    ("waiting", "next_shadow"): "shadowing",
    ("waiting", "done"): "promoted",
    ("waiting", "failed"): "reverting",
    ("waiting", "aborted"): "stopped",
    ("sampling", "next_weight"): "stepping",
    ("sampling", "done"): "promoted",
    ("sampling", "failed"): "reverting",
    ("sampling", "aborted"): "stopped",
    ("replaying", "next_weight"): "stepping",
    ("replaying", "next_pause"): "paused",
    ("replaying", "next_wait"): "waiting",
    ("replaying", "next_replay"): "replaying",
    ("replaying", "next_shadow"): "shadowing",
    ("replaying", "short"): "sampling",
    ("replaying", "failed"): "reverting",
    ("replaying", "aborted"): "stopped",
    ("shadowing", "next_weight"): "stepping",
    ("shadowing", "next_pause"): "paused",
    ("shadowing", "next_wait"): "waiting",
    ("shadowing", "next_replay"): "replaying",
    ("shadowing", "next_shadow"): "shadowing",
    ("shadowing", "short"): "sampling",
    ("shadowing", "failed"): "reverting",
    ("shadowing", "aborted"): "stopped",
    ("promoted", "expired"): "completed",
    ("promoted", "failed"): "reverting",
    ("promoted", "aborted"): "stopped",
    ("reverting", "reverted"): "reverted",
}
"""Where every event leads. `completed`, `reverted` and `stopped` are final: then comes another artefact or a retry."""


class IllegalTransition(ControllerError):
    """An event that the table does not list for the state: a defect of the controller, never of a user."""


def following(state: State, event: Event) -> State:
    """Return where an event leads. Raises IllegalTransition."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"a rollout cannot have {event!r} while it is {state}") from None
