"""Preview: what a reconcile would do now and what has changed in the desired state, without doing any of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from controller.model.actions import Plan
from controller.model.rollout import Instant
from controller.planning.plan import plan
from controller.reconciler.changes import Change, describe_changes
from controller.reconciler.exits import Exit, worst
from controller.reconciler.observe import Observer
from controller.reconciler.ports import Source
from controller.reconciler.revisions import load_desired
from controller.store.store import Store


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan with the revision it is for and the field-level changes since the last applied revision.

    `generations` has the generation of each deployment of that revision.
    """

    revision_id: str
    problems: tuple[str, ...]
    changes: tuple[Change, ...]
    plan: Plan
    generations: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit(self) -> Exit:
        """4 invalid, 5 blocked, 2 changes pending, 0 nothing to do; the worst wins."""
        found = [Exit.done]
        if self.problems:
            found.append(Exit.invalid)
        if self.plan.blocked:
            found.append(Exit.degraded)
        if self.plan.actions:
            found.append(Exit.changes_pending)
        return worst(*found)


async def preview(
    source: Source, store: Store, observer: Observer, clock: Callable[[], Instant], *, allow_empty: bool, serve: bool
) -> Preview:
    """Return the preview. Raises DesiredStateError where no revision, new or old, is valid."""
    desired = load_desired(source, store, allow_empty=allow_empty)
    observed = await observer.observe(desired.revision, {})
    changes = describe_changes(store.revision.read(), desired.revision)
    planned = plan(desired.revision, observed, clock(), serve=serve)
    generations = {each.name: each.generation for each in desired.revision.deployments}
    return Preview(desired.revision.id, desired.problems, changes, planned, generations)
