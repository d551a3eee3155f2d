"""Parts of a plan: what one step of planning found out, and how parts make a whole. No decisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from controller.model.actions import Action, Blocked, StepPreview, Waiting
from controller.model.objects import ObjectRef, ProcessKey

OnObject = TypeVar("OnObject", Action, Waiting)


@dataclass(frozen=True, slots=True)
class Part:
    """What one step of planning wants done, and why the rest is not. `needed` are the processes that it counts on."""

    actions: tuple[Action, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    steps: tuple[StepPreview, ...] = ()
    needed: frozenset[ProcessKey] = frozenset()

    @property
    def objects(self) -> frozenset[ObjectRef]:
        """What the actions change."""
        return frozenset(action.object for action in self.actions)


def joined(*parts: Part) -> Part:
    """Return the parts as one, in their order.

    Of several actions on one object the first stands, as the others want the same; so does what one waits for.
    """
    if len(parts) == 1:
        return parts[0]
    return Part(
        actions=_first_of_each(chain.from_iterable(part.actions for part in parts)),
        blocked=tuple(dict.fromkeys(chain.from_iterable(part.blocked for part in parts))),
        waiting=_first_of_each(chain.from_iterable(part.waiting for part in parts)),
        steps=tuple(chain.from_iterable(part.steps for part in parts)),
        needed=frozenset(chain.from_iterable(part.needed for part in parts)),
    )


def _first_of_each(found: Iterable[OnObject]) -> tuple[OnObject, ...]:
    """Return the first that concerns each object, in order."""
    first: dict[ObjectRef, OnObject] = {}
    for each in found:
        first.setdefault(each.object, each)
    return tuple(first.values())
