"""How large a package may be and how long its proof may take. Numbers only."""

from __future__ import annotations

from dataclasses import dataclass

MiB = 2**20
GiB = 2**30


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one installation (design section 3.5).

    `total_bytes` counts unpacked bytes, `ratio` unpacked against packed bytes of one member larger than
    `ratio_from_bytes`, `text_bytes` the manifest and the requirements, `prove_timeout_s` the proof of the entry point
    and `build_timeout_s` each step of building the environment, both in seconds.
    """

    total_bytes: int = 4 * GiB
    members: int = 100_000
    ratio: int = 100
    ratio_from_bytes: int = MiB
    text_bytes: int = MiB
    prove_timeout_s: float = 120.0
    build_timeout_s: float = 900.0
