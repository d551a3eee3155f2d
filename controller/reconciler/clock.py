"""The moment of a pass: the one place where what the host's clocks say becomes an `Instant`."""

from __future__ import annotations

from controller.host import clock
from controller.model.rollout import Instant


def boot_time() -> Instant:
    """Return the present on the boot-time clock."""
    return Instant(clock.boot_id(), clock.boot_seconds(), clock.epoch_seconds())
