"""The bounds of an installation as this room counts them. The numbers and what they are called: `model/limits.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from controller.model.desired import Revision
from controller.model.limits import PackageLimits

_USUAL = PackageLimits()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one installation (design section 3.5).

    `total_bytes` counts unpacked bytes, `ratio` unpacked against packed bytes, of one member and of all together, where
    they unpack to more than `ratio_from_bytes`; `text_bytes` bounds the manifest and each file of requirements.
    `wheel_bytes` counts what one wheel unpacks to; `wheel_metadata_bytes` bounds its METADATA, and
    `wheel_directory_bytes` its directory and every other file beside METADATA: all of them are read into memory.
    `prove_timeout_s` is for the proof of the entry point, `build_timeout_s` for each step of building the environment,
    both in seconds.
    """

    total_bytes: int = _USUAL.unpacked_size
    members: int = _USUAL.members
    ratio: int = _USUAL.ratio
    ratio_from_bytes: int = _USUAL.ratio_from
    text_bytes: int = _USUAL.text_size
    wheel_bytes: int = _USUAL.wheel_size
    wheel_metadata_bytes: int = _USUAL.wheel_metadata_size
    wheel_directory_bytes: int = _USUAL.wheel_directory_size
    prove_timeout_s: float = _USUAL.proof_timeout
    build_timeout_s: float = _USUAL.build_timeout

    @property
    def of_a_wheel(self) -> Limits:
        """The limits that one wheel, itself a zip, is held to."""
        return replace(self, total_bytes=self.wheel_bytes)


def limits_of(revision: Revision | None) -> Limits:
    """Return what holds under a revision: what its policy says, and for a proof at least what a start may take.

    A package is proven before it is known which of the deployments will start it, so the longest start counts.
    """
    if revision is None:
        return Limits()
    told = revision.policy.limits
    starts = (each.spec.timeouts.start for each in revision.deployments)
    return Limits(
        total_bytes=told.unpacked_size,
        members=told.members,
        ratio=told.ratio,
        ratio_from_bytes=told.ratio_from,
        text_bytes=told.text_size,
        wheel_bytes=told.wheel_size,
        wheel_metadata_bytes=told.wheel_metadata_size,
        wheel_directory_bytes=told.wheel_directory_size,
        prove_timeout_s=max(told.proof_timeout, revision.policy.defaults.timeouts.start, *starts),
        build_timeout_s=told.build_timeout,
    )
