"""The moment of a pass: the one place where what the host's clocks say becomes an `Instant`."""

from __future__ import annotations

from controller.host import clock

TYPE_CHECKING = False  # as type checkers know it: importing typing would cost every command 2 ms
if TYPE_CHECKING:
    from controller.model.rollout import Instant


def boot_time() -> Instant:
    """Return the present on the boot-time clock."""
    from controller.model.rollout import Instant  # noqa: PLC0415 - commands that only look never ask for the time

    return Instant(clock.boot_id(), clock.boot_seconds(), clock.epoch_seconds())
