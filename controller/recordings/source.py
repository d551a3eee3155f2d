"""Where recorded calls are read from: the store's own, or a file that somebody exported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from controller.images.formats import Picture
from controller.model.recording import RecordedCall, RecordingFilter


class Pictures(NamedTuple):
    """The pictures of a recorded call, as the algorithm was handed them. `guide` None: it had no guide of its own."""

    image: Picture
    guide: Picture | None


class PackedCall(NamedTuple):
    """The file of a call, and that of its guide with the SHA-256 by which calls share it; empty where it has none."""

    call: bytes
    guide_sha256: str
    guide: bytes


class RecordingSource(Protocol):
    """Recorded calls. Blocking: callers run it in a thread."""

    def calls(self, wanted: RecordingFilter) -> Sequence[RecordedCall]:
        """Return the recorded calls that are meant, the newest first. Raises StoreError."""

    def pictures(self, call: RecordedCall) -> Pictures | None:
        """Return the pictures of a call; None where they are gone by now, or damaged. Raises StoreError."""

    def packed(self, call: RecordedCall) -> PackedCall | None:
        """Return a call as it is kept, to be handed on; None where it is gone by now, or damaged. Raises StoreError."""
