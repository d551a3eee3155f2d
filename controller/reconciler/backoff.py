"""Exponential back-off with jitter, one for each object that failed; it never holds up another object."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from controller.errors import Code, CodedError, ControllerError, HostError, PackageError, StartFailed
from controller.model.actions import Action, Install
from controller.model.health import RestartLimit
from controller.model.objects import ObjectRef
from controller.model.observed import Failure
from controller.model.rollout import Instant

FIRST_DELAY = 1.0
LONGEST_DELAY = 300.0
LONGEST_DELAY_OF_HOST = 10.0
"""Seconds between attempts at what only the host refused: what it lacks comes back, and then nobody is to wait."""


def some_jitter() -> float:
    """Return a random factor around one, so that what failed together is not tried again together."""
    return random.uniform(0.8, 1.2)  # noqa: S311 - no secret


class Backoff:
    """The failures of one controller's life. `clock` gives the boot-time clock; `jitter` a factor around one."""

    def __init__(self, clock: Callable[[], Instant], jitter: Callable[[], float] = some_jitter) -> None:
        self._clock = clock
        self._jitter = jitter
        self._failures: dict[ObjectRef, dict[str, Failure]] = {}  # by the artefact's digest, the latest last
        self._crashes: dict[ObjectRef, list[float]] = {}

    @property
    def failures(self) -> Mapping[ObjectRef, Failure]:
        """The latest failure of each object; of a package, with those of its other artefacts."""
        return MappingProxyType({name: _together(tuple(each.values())) for name, each in self._failures.items()})

    def rests(self, action: Action) -> bool:
        """Whether an action failed on its object and is not to be tried again yet. A crash forbids no action.

        What failed with one artefact says nothing about another: a corrected zip of the same version does not wait.
        """
        artefact = action.digest if isinstance(action, Install) else ""
        known = self._known(action.object, artefact)
        return known is not None and not known.crashed and known.retry_at > self._clock().seconds

    def _known(self, object_: ObjectRef, artefact: str) -> Failure | None:
        of_object = self._failures.get(object_, {})
        return of_object.get(artefact) or of_object.get("")

    def failed(self, object_: ObjectRef, error: ControllerError, digest: str = "") -> Failure:
        """Note a failed attempt; the delay before the next one doubles each time, up to a bound.

        A process that did not become ready is started once more at once.
        """
        known = self._known(object_, digest)
        condition = error.condition if isinstance(error, HostError) else ""
        same = known is not None and bool(known.condition) == bool(condition)
        attempts = known.attempts + 1 if known is not None and same else 1  # what the host refused was no attempt
        longest = LONGEST_DELAY_OF_HOST if condition else LONGEST_DELAY
        delay = min(longest, FIRST_DELAY * 2 ** min(attempts - 1, 16)) * self._jitter()
        if attempts == 1 and isinstance(error, StartFailed):
            delay = 0.0  # a second start, at once, tells a bad version from a bad moment
        code = int(error.code) if isinstance(error, CodedError) else None
        now, blameless = self._clock().seconds, not isinstance(error, PackageError | StartFailed)
        failure = Failure(object_, str(error), code, attempts, now + delay, blameless=blameless, at=now, digest=digest,
                          condition=condition)  # fmt: skip
        self._note(failure)
        return failure

    def _note(self, failure: Failure) -> None:
        of_object = self._failures.setdefault(failure.object, {})
        of_object.pop(failure.digest, None)
        of_object[failure.digest] = failure

    def crashed(self, object_: ObjectRef, why: str, limit: RestartLimit | None) -> Failure:
        """Note that something exited unexpectedly. It may start again at once the first time within the limit's window.

        Then the delay doubles with each crash; more crashes than the limit open the breaker: the longest delay.
        """
        limit, now = limit or RestartLimit(), self._clock().seconds
        times = [at for at in self._crashes.get(object_, ()) if now - at < limit.window] + [now]
        self._crashes[object_] = times
        crashes = len(times)
        delay = 0.0 if crashes == 1 else min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (crashes - 2)) * self._jitter()
        message = f"it exited unexpectedly: {why}"
        if crashes > limit.max:
            delay, message = LONGEST_DELAY, f"the breaker is open after {crashes} crashes; the last: {why}"
        breaker = crashes > limit.max
        failure = Failure(object_, message, None, crashes, now + delay, breaker=breaker, crashed=True, at=now)
        self._note(failure)
        return failure

    def forgive(self, *codes: Code) -> None:
        """Forget the failures of some kinds: what they came from has changed, and a new attempt need not wait."""
        left = {
            name: {digest: failure for digest, failure in each.items() if failure.code not in codes}
            for name, each in self._failures.items()
        }
        self._failures = {name: each for name, each in left.items() if each}

    def succeeded(self, object_: ObjectRef) -> None:
        """Forget an object's failures."""
        self._failures.pop(object_, None)


def _together(failures: tuple[Failure, ...]) -> Failure:
    *others, latest = failures
    return replace(latest, others=tuple(others)) if others else latest
