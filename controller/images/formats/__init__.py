"""Pictures in every form a caller may bring, made into pixels that the SDK passes on unchanged.

Here lives what each form means, which of them are refused, and how the others are converted where a deployment says so.
Not here: the files through which algorithms see pixels (`images/slots.py`), and who waits for a conversion (`calls`).

What the SDK would silently turn black, wrap round or misread is refused with 1002 before an algorithm sees it; where a
setting of `spec.input` would take it, the refusal names the setting.
"""

from controller.images.formats.loading import is_straight_file, load, load_straight
from controller.images.formats.picture import (
    AS_IT_IS,
    ImageRef,
    ImageSource,
    LargePicture,
    Picture,
    Reading,
    refused,
)

__all__ = [
    "AS_IT_IS",
    "ImageRef",
    "ImageSource",
    "LargePicture",
    "Picture",
    "Reading",
    "is_straight_file",
    "load",
    "load_straight",
    "refused",
]
