"""`spec.input`: what a deployment's algorithm is to be given as pictures, and what it means where a call does not say.

What the SDK would silently falsify is refused, unless a setting here says how it is to be converted.

Two pictures reach a 0.3.x algorithm, as `execute(…, cur_image, guide_image, …)`. Here `image` is always the camera
picture of the part and `guide_image` the picture that it is compared with. The SDK's documents mean it the same way
round in their code and the other way round in the help of their command line; `swap` is for algorithms that took the
help at its word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from controller.model.document import Part
from controller.model.units import Boolean, Integer, parse_text

Guide = Literal["required", "same", "none"]
ColorSpace = Literal["RGB", "BGR"]
Depth = Literal["refuse", "shift", "scale"]
Mosaic = Literal["none", "RGGB", "GRBG", "GBRG", "BGGR"]
Exif = Literal["ignore", "apply"]
Alpha = Literal["refuse", "drop"]
Cmyk = Literal["refuse", "convert"]
MOSAICS = {"BayerRG": "RGGB", "BayerGR": "GRBG", "BayerGB": "GBRG", "BayerBG": "BGGR"}
"""GenICam's names, which have the first row only."""


def _mosaic(value: object) -> str:
    return MOSAICS.get(text := parse_text(value), text)


_Bayer = Annotated[Mosaic, BeforeValidator(_mosaic)]


@dataclass(frozen=True, slots=True)
class PictureInput:
    """`spec.input` and `spec.images` as plain data, for calls and for the records of processes."""

    guide: Guide = "same"
    swap: bool = False
    color_space: ColorSpace = "RGB"
    zero_copy: bool = False
    depth: Depth = "refuse"
    bits: int = 16
    bayer: Mosaic = "none"
    exif: Exif = "ignore"
    alpha: Alpha = "refuse"
    cmyk: Cmyk = "refuse"

    @property
    def leaves_arrays(self) -> bool:
        """Whether no array is converted: each is what algorithms see, or refused."""
        return self.depth == "refuse" and self.bayer == "none" and self.alpha == "refuse"

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> PictureInput:
        """Return what a record says; what it does not say is as by default, unknown keys are a newer controller's."""
        found = cls(**{each.name: document[each.name] for each in fields(cls) if each.name in document})
        return PLAIN_INPUT if found == PLAIN_INPUT else found


PLAIN_INPUT = PictureInput()
"""What holds where nothing was said; always this very object, so that calls need not compare."""


class Input(Part):
    """Which pictures the algorithm gets, in which order, and how those are converted that it could not be given."""

    added_keys: ClassVar[frozenset[str]] = frozenset({"depth", "bits", "bayer", "exif", "alpha", "cmyk"})

    guide: Guide = Field(
        default="same",
        description="Where a call brings no guide image: required refuses it (1003), same passes the camera picture "
        "as the guide too, none passes None.",
    )
    swap: Boolean = Field(
        default=False,
        description="true: execute() gets the camera picture as guide_image and the guide as cur_image.",
    )
    color_space: ColorSpace = Field(
        default="RGB",
        description="Order of the channels of arrays and .npy files where a call does not say; algorithms see RGB.",
    )

    depth: Depth = Field(
        default="refuse",
        description="Pictures of more than 8 bits a channel: refuse them (1002), shift their low bits out, or scale "
        "their whole range to 0–255.",
    )
    bits: Integer = Field(
        default=16, ge=9, le=16,
        description="How many bits of a 16-bit value count, from the lowest, where no pixel format says it: 12 for a "
        "camera's Mono12.",
    )  # fmt: skip
    bayer: _Bayer = Field(
        default="none",
        description="Colours of the first two rows of one-channel pictures, where no pixel format says it: RGGB is "
        "GenICam's BayerRG, GRBG its BayerGR, GBRG its BayerGB, BGGR its BayerBG. none: they are grey.",
    )
    exif: Exif = Field(
        default="ignore",
        description="apply: pictures are turned as their file's orientation says; ignore: rows are as they are stored.",
    )
    alpha: Alpha = Field(
        default="refuse",
        description="Pictures with an alpha channel: refuse arrays that have one and files that use it, or drop it.",
    )
    cmyk: Cmyk = Field(
        default="refuse",
        description="CMYK files: refuse them, or convert them to RGB, without a colour profile.",
    )

    @property
    def pictures(self) -> PictureInput:
        return PictureInput.from_document({name: getattr(self, name) for name in type(self).model_fields})


class Images(Part):
    """How the pixels reach the algorithm's process."""

    zero_copy: Boolean = Field(
        default=False,
        description="true: its array is the shared picture itself, mapped copy-on-write, and no copy. For algorithms "
        "that read a part of it, or all of it once; one that writes all over its image is quicker with a copy.",
    )
