"""How large a package may be and how long its proof may take. Numbers only."""

from __future__ import annotations

from dataclasses import dataclass, replace

MiB = 2**20
GiB = 2**30


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

    total_bytes: int = 4 * GiB
    members: int = 100_000
    ratio: int = 100
    ratio_from_bytes: int = 64 * MiB
    text_bytes: int = MiB
    wheel_bytes: int = 16 * GiB
    wheel_metadata_bytes: int = 4 * MiB
    wheel_directory_bytes: int = 8 * MiB
    prove_timeout_s: float = 120.0
    build_timeout_s: float = 900.0

    @property
    def of_a_wheel(self) -> Limits:
        """The limits that one wheel, itself a zip, is held to."""
        return replace(self, total_bytes=self.wheel_bytes)
