"""What a picture is before and after it was read, how it is to be read, and what is said of one that cannot be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from controller.client.pixel_formats import PixelFormat
from controller.errors import CallError, Code
from controller.images.npy import NeedsSetting, NotAnImage, Shape
from controller.model.input import PLAIN_INPUT, PictureInput


@dataclass(frozen=True, slots=True)
class ImageRef:
    """An image that a host application put into `run/images/<id>.npy` itself, and deletes itself."""

    id: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels in C order: `pixels` has as many bytes as `shape` (H×W or H×W×1 or H×W×3) says.

    `decoded`: their channels are RGB whatever the caller's arrays are, because they come from a format that has an
    order of its own, or were converted. `conversion`: what was done, as the algorithm is told it in its `image_meta`;
    None: nothing. `as_filed`: a PNG, JPEG or BMP file holds this very picture.
    """

    shape: Shape
    pixels: memoryview
    decoded: bool = False
    conversion: Mapping[str, Any] | None = None
    as_filed: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """How a picture is to be read: as the deployment says, and as the call says of it.

    `format`: of arrays, and of one-channel files; `size` (width, height) where bytes are nothing but pixels. `loose`:
    what has not that format is read without it (a guide image beside a camera's picture), instead of being refused.
    """

    input: PictureInput = PLAIN_INPUT
    format: PixelFormat | None = None
    size: tuple[int, int] | None = None
    loose: bool = False

    @property
    def mosaic(self) -> str:
        """The order of colours of a picture of one channel; empty where it is grey."""
        if self.format is not None:
            return self.format.mosaic
        return "" if self.input.bayer == "none" else self.input.bayer

    @property
    def leaves_arrays(self) -> bool:
        """Whether an array is either what algorithms see, or refused."""
        return self.format is None and self.input.leaves_arrays


AS_IT_IS = Reading()
"""Nothing is converted."""

ImageSource = bytes | bytearray | memoryview | str | os.PathLike[str] | ImageRef | Any
"""Encoded bytes (PNG, JPEG, BMP, TIFF, .npy), a file's path, an `ImageRef`, or an array of uint8 or uint16."""


class Notes:
    """What is done to a picture, for the algorithm to read."""

    def __init__(self, pixel_format: str, bits: int) -> None:
        self.pixel_format = pixel_format
        self.bits = bits
        self.conversion: list[str] = []

    def to_document(self) -> dict[str, Any] | None:
        """Return the keys that its `image_meta` has beside the usual ones; None where nothing was done."""
        if not self.conversion:
            return None
        return {"pixel_format": self.pixel_format, "bits": self.bits, "conversion": self.conversion}


class LargePicture(Exception):
    """A picture has more pixels than were to be decoded; `shape` is H×W, perhaps with channels.

    `size`: bytes of memory to be had before it is decoded.
    """

    def __init__(self, shape: Shape, bytes_per_pixel: int = 3) -> None:
        super().__init__(shape)
        self.pixels = prod(shape[:2])
        self.size = self.pixels * bytes_per_pixel


class Contradiction(ValueError):
    """A picture is not what its call says it is; says how, as the end of a sentence about it."""


def refused(what: str, why: object, *, code: Code = Code.image_load_failed) -> CallError:
    """Return the error for an image that cannot be used."""
    if isinstance(why, NeedsSetting):
        return CallError(Code.image_load_failed, f"{what} {why}", next_step=why.setting)
    if isinstance(why, Contradiction):
        return CallError(
            Code.invalid_params, f"{what} {why}", next_step="pass the pixel_format that it has, or leave it out"
        )
    assert isinstance(why, NotAnImage)  # noqa: S101
    return CallError(
        code, f"{what} {why}", next_step="pass PNG, JPEG, BMP, TIFF or .npy data, or an H×W or H×W×3 array of uint8"
    )
