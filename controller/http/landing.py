"""A form whose first large picture lands in a file of `run/images`, from where the algorithm reads it.

The head of the picture's part says how many bytes it has. Those go into the file and all others, the text of the form,
into memory; so nobody copies the pixels after the kernel has. It is done where an array of H×W×3 comes as `.npy`, which
algorithms see as it is whatever a deployment says.
"""

from __future__ import annotations

from controller.client.slots import Slot
from controller.http.multipart import PictureBegun, boundary_of, picture_begun
from controller.http.whole_body import LARGE, Buffers, Incoming
from controller.images.formats import ImageRef
from controller.images.uploads import Uploads

_PROBE, _ENOUGH = 64 * 1024, 8 * 1024
"""Bytes of a form's beginning that are looked at, at most and at least: the heads of a few parts."""


class LandedForm:
    """A form without the bytes of the picture that is the part `name`. `picture` is where they are."""

    def __init__(self, text: bytearray, begun: PictureBegun, slot: Slot) -> None:
        self.text = text
        self.name = begun.name
        self.picture = ImageRef(slot.id)
        self._begun = begun
        self._slot = slot

    def pixels(self) -> memoryview:
        """Return the picture's bytes, copied. Raises OSError."""
        return memoryview(self._slot.content())

    def whole(self) -> bytes:
        """Return the form as it came. Raises OSError."""
        start = self._begun.start
        return b"".join((self.text[:start], self._slot.content(), self.text[start:]))


class IncomingForm(Incoming):
    """A form of `size` bytes on its way in."""

    def __init__(self, size: int, content_type: str, buffers: Buffers, uploads: Uploads) -> None:
        super().__init__()
        self._size = size
        self._content_type = content_type
        self._buffers = buffers
        self._uploads = uploads
        self._probe: bytearray | None = None
        self._came = 0
        self._begun: PictureBegun | None = None
        self._slot: Slot | None = None
        self._text = bytearray()
        self._gone = False

    def begin(self, arrived: bytearray) -> None:
        self._came = len(arrived)
        if self._came >= _ENOUGH:
            self._divide(arrived)
        else:
            self._probe = arrived + bytes(_PROBE - self._came)
            self.open(memoryview(self._probe)[self._came :])

    def add(self, count: int) -> bool:
        complete = super().add(count)
        if self._probe is not None and not self._abandoned:
            self._came += count
            if self._came >= _ENOUGH:
                self.room.release()
                probe, self._probe = self._probe, None
                self._divide(probe[: self._came])
            return False
        return complete

    def _divide(self, arrived: bytearray) -> None:
        """Decide where all goes, by the beginning of the form."""
        begun = picture_begun(arrived, self._content_type, self._size)
        slot = None if begun is None else self._uploads.take(begun.size)
        if begun is None or slot is None:
            self._text = self._buffers.take(self._size)
            self._text[: self._came] = arrived
            self.open(memoryview(self._text)[self._came :])
            return
        self._begun, self._slot = begun, slot
        self._text = self._buffers.take(self._size - begun.size)
        self._text[: begun.start] = arrived[: begun.start]
        here = self._came - begun.start
        with memoryview(arrived) as view:
            slot.fill(view[begun.start :])
        self.open(slot.view()[here:], memoryview(self._text)[begun.start :])

    def result(self) -> bytes | bytearray | LandedForm:
        """Return the form, when it is complete."""
        if self._begun is None or self._slot is None:
            return self._text
        form = LandedForm(self._text, self._begun, self._slot)
        separator = b"\r\n--" + boundary_of(self._content_type)
        try:
            self._slot.show()
        except OSError:  # somebody tidied up
            self._gone = True
            return form.whole()
        return form if self._text.startswith(separator, self._begun.start) else form.whole()

    def end(self, *, answered: bool) -> None:
        """Give the memory back; `answered`: the request has its plain answer, and nobody still receives."""
        if not answered:
            self.abandon()
        elif len(self._text) >= LARGE:
            self._buffers.give_soon(self._text)
        if self._slot is not None:
            self._uploads.give_back(self._slot, answered=answered and not self._gone)
