"""How large a package may be and how long its installation may take: what an operator may set, with its defaults."""

from __future__ import annotations

from pydantic import Field

from controller.model.document import Part
from controller.model.units import Duration, Integer, Size

_MiB, _GiB = 2**20, 2**30


class PackageLimits(Part):
    """Bounds of every package. A zip that breaks one is refused (2001); a proof or a build that does is ended."""

    unpacked_size: Size = Field(default=4 * _GiB, gt=0, description="What a zip may unpack to in all.")
    members: Integer = Field(default=100_000, ge=1, description="Files and folders that a zip may hold.")
    ratio: Integer = Field(
        default=100,
        ge=1,
        description="Unpacked size by packed size, of a file and of the whole zip, from ratioFrom on.",
    )
    ratio_from: Size = Field(default=64 * _MiB, gt=0, description="Unpacked size from which on the ratio counts.")
    text_size: Size = Field(default=_MiB, gt=0, description="The manifest, and each file of requirements.")
    wheel_size: Size = Field(default=16 * _GiB, gt=0, description="What one wheel may unpack to.")
    wheel_metadata_size: Size = Field(default=4 * _MiB, gt=0, description="A wheel's METADATA.")
    wheel_directory_size: Size = Field(
        default=8 * _MiB, gt=0, description="A wheel's directory, and its other descriptive files."
    )
    proof_timeout: Duration = Field(
        default=120.0, gt=0, description="The proof of an entry point; never less than the longest timeouts.start."
    )
    build_timeout: Duration = Field(default=900.0, gt=0, description="Each step of building an environment.")
