"""What shadowed versions said of the line's pictures, counted; and the latest pictures that differ."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Container, Iterable, Mapping
from typing import Literal

from controller.model.comparison import Agreement
from controller.model.replay import MOST_DIFFERENCES, DifferingPicture
from controller.model.tally import Counted

Dropped = Literal["behind", "no_process", "no_room", "changed", "refused", "starved", "ended"]
"""Why a picture was not compared: the queue was full; no process of the version was ready; the picture could not be
kept, or was changed meanwhile; the version does not take the call's arguments; its process had no processor time; the
process, or the step, ended meanwhile. None of it is held against the version."""
_DROPPED = Agreement(dropped=1)


class ShadowCounts:
    """Counts per (PID, shadowed version), without end; the latest differing pictures per deployment, oldest first.

    `dropped` counts by deployment and reason since the controller began, for metrics.
    """

    def __init__(self) -> None:
        self._agreements: dict[Counted, Agreement] = {}
        self._differing: dict[str, deque[DifferingPicture]] = {}
        self.dropped: Counter[tuple[str, Dropped]] = Counter()

    def add(self, counted: Counted, agreement: Agreement) -> None:
        """Count pictures of a PID."""
        before = self._agreements.get(counted)
        self._agreements[counted] = agreement if before is None else before + agreement

    def drop(self, deployment: str, counted: Counted, why: Dropped) -> None:
        """Count a picture that was to be compared and could not be."""
        self.add(counted, _DROPPED)
        self.dropped[deployment, why] += 1

    def differs(self, deployment: str, picture: DifferingPicture) -> None:
        """Remember a picture on which the shadowed version says something else, or failed."""
        self._differing.setdefault(deployment, deque(maxlen=MOST_DIFFERENCES)).append(picture)

    @property
    def agreements(self) -> Mapping[Counted, Agreement]:
        return dict(self._agreements)

    @property
    def differing(self) -> Mapping[str, tuple[DifferingPicture, ...]]:
        return {deployment: tuple(pictures) for deployment, pictures in self._differing.items()}

    def restore(
        self, agreements: Mapping[Counted, Agreement], differing: Mapping[str, Iterable[DifferingPicture]]
    ) -> None:
        """Count on from what an earlier life counted."""
        for counted, agreement in agreements.items():
            self.add(counted, agreement)
        for deployment, pictures in differing.items():
            later = self._differing.pop(deployment, ())
            self._differing[deployment] = deque((*pictures, *later), maxlen=MOST_DIFFERENCES)

    def keep(self, counted: Container[Counted], deployments: Container[str]) -> None:
        """Forget everything but what these stand for: nobody will ask for it again."""
        self._agreements = {key: value for key, value in self._agreements.items() if key in counted}
        self._differing = {name: value for name, value in self._differing.items() if name in deployments}
        for key in [key for key in self.dropped if key[0] not in deployments]:
            del self.dropped[key]
