"""What is done with a call once it has its answer: it is recorded, or shown to another version. No call waits for it.

Here is only the seam: who wants the pictures of a call says so before the answer, while they are certainly the ones
that the algorithm sees, and hears of the call after it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from controller.calls.request import DetectionRequest, SharedImages
from controller.client.answers import Detection
from controller.errors import CallError
from controller.images.slots import Lease
from controller.model.package import PackageRef
from controller.processes.process import AlgorithmProcess
from controller.wire.messages import NO_IMAGE


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that has its answer, and its pictures as the algorithm got them.

    `deployment` is the one whose process answered. `image` None: its picture could not be kept (see `Slots.lease`);
    `guide` None: the algorithm got none, or (`guide_is_image`) the camera picture as the guide too, or (`guide_lost`)
    it could not be kept; `swapped`: the two changed their places (`spec.input.swap`). `epoch` is when it ended (s since
    1970); `digest` that of the version's zip. Who keeps a lease beyond `hear` holds it.
    """

    request: DetectionRequest
    deployment: str
    ref: PackageRef
    outcome: Detection | CallError
    image: Lease | None
    guide: Lease | None
    epoch: float
    digest: str = ""
    guide_is_image: bool = False
    guide_lost: bool = False
    swapped: bool = False


class Follower(Protocol):
    """Somebody who follows the calls of the line. Both methods are in the way of calls: microseconds, no waiting."""

    def wants(self, pid: str, ref: PackageRef) -> bool:
        """Whether the pictures of the call that is about to be made are to be kept until it has its answer."""

    def hear(self, call: Ended) -> None:
        """Take a call that it wanted."""


class Kept:
    """The pictures of a call under way, and who waits for it to end."""

    __slots__ = ("_digest", "_followers", "_guide", "_guide_is_image", "_guide_lost", "_image", "_swapped")

    def __init__(  # noqa: PLR0913 - what `Ended` has
        self, followers: Sequence[Follower], image: Lease | None, guide: Lease | None, digest: str = "",
        *, guide_is_image: bool = False, guide_lost: bool = False, swapped: bool = False,
    ) -> None:  # fmt: skip
        self._followers = followers
        self._image = image
        self._guide = guide
        self._digest = digest
        self._guide_is_image = guide_is_image
        self._guide_lost = guide_lost
        self._swapped = swapped

    def tell(
        self, request: DetectionRequest, deployment: str, ref: PackageRef, outcome: Detection | CallError
    ) -> None:  # fmt: skip
        """Tell everybody once the caller has its answer, and give the pictures back that nobody holds on to."""
        if self._followers:
            ended = Ended(
                request, deployment, ref, outcome, self._image, self._guide, time.time(), self._digest,
                self._guide_is_image, self._guide_lost, self._swapped,
            )  # fmt: skip
            asyncio.get_running_loop().call_soon(self._tell, ended)

    def _tell(self, ended: Ended) -> None:
        try:
            for follower in self._followers:
                follower.hear(ended)
        finally:
            self.drop()

    def drop(self) -> None:
        """Give the pictures back: nobody hears of the call."""
        for lease in (self._image, self._guide):
            if lease is not None:
                lease.release()


NOTHING_KEPT = Kept((), None, None)


def keep(
    followers: Sequence[Follower], process: AlgorithmProcess, request: DetectionRequest, ref: PackageRef,
    shared: SharedImages,
) -> Kept:  # fmt: skip
    """Keep the pictures of a call whose lock is held, where somebody wants them."""
    if not followers or request.is_info:
        return NOTHING_KEPT
    wanting = [follower for follower in followers if follower.wants(request.pid, ref)]
    if not wanting:
        return NOTHING_KEPT
    same = shared.guide is shared.image
    guide = None if same else process.slots.lease(shared.guide)
    lost = guide is None and not same and shared.guide is not NO_IMAGE
    return Kept(
        wanting, process.slots.lease(shared.image), guide, process.spec.digest,
        guide_is_image=same, guide_lost=lost, swapped=shared.swapped,
    )  # fmt: skip
