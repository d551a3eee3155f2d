"""`spec.input`: what a deployment's algorithm is to be given as pictures, and what it means where a call does not say.

Two pictures reach a 0.3.x algorithm, as `execute(…, cur_image, guide_image, …)`. Here `image` is always the camera
picture of the part and `guide_image` the picture that it is compared with. The SDK's documents mean it the same way
round in their code and the other way round in the help of their command line; `swap` is for algorithms that took the
help at its word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from pydantic import Field

from controller.model.document import Part
from controller.model.units import Boolean

Guide = Literal["required", "same", "none"]
ColorSpace = Literal["RGB", "BGR"]


@dataclass(frozen=True, slots=True)
class PictureInput:
    """`spec.input` and `spec.images` as plain data, for calls and for the records of processes."""

    guide: Guide = "same"
    swap: bool = False
    color_space: ColorSpace = "RGB"
    zero_copy: bool = False

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> PictureInput:
        """Return what a record says; what it does not say is as by default, unknown keys are a newer controller's."""
        return cls(**{each.name: document[each.name] for each in fields(cls) if each.name in document})


PLAIN_INPUT = PictureInput()
"""What holds where nothing was said."""


class Input(Part):
    """Which pictures the algorithm gets, and in which order."""

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

    @property
    def pictures(self) -> PictureInput:
        return PictureInput(self.guide, self.swap, self.color_space)


class Images(Part):
    """How the pixels reach the algorithm's process."""

    zero_copy: Boolean = Field(
        default=False,
        description="true: its array is the shared picture itself, mapped copy-on-write, and no copy. For algorithms "
        "that read a part of it, or all of it once; one that writes all over its image is quicker with a copy.",
    )
