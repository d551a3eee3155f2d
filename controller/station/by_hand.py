"""Everything that is done to packages and PIDs by hand, on a store where no daemon runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controller.model.rollout import Instant
from controller.reconciler.apply import Applier
from controller.reconciler.observe import Observer
from controller.reconciler.ports import Packages
from controller.station.activation import Activations
from controller.station.between import at_once
from controller.station.packages import PackageOperations
from controller.store.store import Store


@dataclass(frozen=True, slots=True)
class ByHand:
    """What works on packages, and what gives PIDs their versions."""

    packages: PackageOperations
    activations: Activations

    @classmethod
    def alone(
        cls, store: Store, packages: Packages, observer: Observer, applier: Applier, clock: Callable[[], Instant]
    ) -> ByHand:
        """Return both for a store that has no passes meanwhile."""
        return cls(
            PackageOperations(store, packages, observer, applier, at_once),
            Activations(store, observer, applier, at_once, clock),
        )
