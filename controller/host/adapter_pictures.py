"""How the SDK's adapter comes by its pictures in `run/images`: put in place by `adapter_entry.py`. Never imported.

Standard library and the package's own numpy, any Python since 3.8. All that the SDK does with a picture it does as
before (black for what cannot be read, three channels, BGR turned round); only its `numpy.load` is replaced, where that
comes to the very array that `numpy.load` would return:

* What is a plain picture of uint8 is read into a new array by one system call, its header looked up by its bytes.
* Where the adapter gives an algorithm one picture twice, as image and guide, the second array is a copy of the first.
* Where the controller says so (`zero_copy` in the picture's meta, `spec.images.zeroCopy`), the array is the file
  itself, mapped copy-on-write. A shared lock on the file, which whoever would write over it respects, lives as long as
  the map does, and the map as long as the array or any view of it: the map's own descriptor holds the lock.
* What an algorithm of 0.0.x reads itself, by the id that it was given, it gets until its call is answered. Later, or
  with the id of another call, it gets what the SDK gives where there is no file: files are written over again.

Whatever is unusual is left to `numpy.load`.
"""

# ruff: noqa: BLE001, PLC0415
# (numpy says better what is wrong with a file; as little as possible before the package's own folders are on the path)

from __future__ import annotations

import _thread
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

MOST_MAPPED = 4
"""Pictures that an algorithm may keep mapped; further ones it gets as copies, so that slots do not run out."""
NOBODY = 0
"""No thread."""
MOST_SAID = 1000
"""Ids of pictures of calls that are remembered, to be told from those that an algorithm made up itself."""
_NOWHERE = ".no-picture"
_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 1024
_READ = "read_image_from_shared_memory"


def install(adapter: ModuleType) -> None:
    """Have an adapter read pictures so. One that is not made as those of 0.0.7 and 0.3.2 are reads as it did."""
    package = str(adapter.__package__).partition(".")[0]
    shared_memory = sys.modules.get(package + ".shared_memory")
    numpy = getattr(shared_memory, "np", None)
    read = getattr(shared_memory, _READ, None)
    if not (hasattr(numpy, "load") and callable(read) and hasattr(adapter, "_read_frame")):
        return
    reader = Reader(numpy)
    shared_memory.np = Numpy(numpy, reader)  # type: ignore[union-attr]  # it has one

    def read_picture(shared_mem_id: str, image_meta: Any) -> Any:
        zero_copy = isinstance(image_meta, dict) and image_meta.get("zero_copy") is True
        reader.may_map = _thread.get_ident() if zero_copy else NOBODY
        try:
            return read(shared_mem_id, image_meta)
        finally:
            reader.may_map = NOBODY

    if not hasattr(adapter, _READ) and hasattr(adapter, "_write_frame"):
        calls = Calls()
        read_picture = reading_its_own(calls, read_picture)
        adapter._read_frame = saying(calls, adapter._read_frame)  # type: ignore[attr-defined]  # noqa: SLF001
        adapter._write_frame = answering(calls, adapter._write_frame)  # type: ignore[attr-defined]  # noqa: SLF001
    for module in (shared_memory, sys.modules[package]):
        if hasattr(module, _READ):
            setattr(module, _READ, read_picture)
    if hasattr(adapter, _READ):
        setattr(adapter, _READ, pairing(reader, read_picture))
        adapter._read_frame = beginning(reader, adapter._read_frame)  # type: ignore[attr-defined]  # noqa: SLF001


def pairing(reader: Reader, read_picture: Any) -> Any:
    """Return the adapter's own reading, whose first and second picture of a call may be one."""

    def read(shared_mem_id: str, image_meta: dict[str, Any]) -> Any:
        reader.turn += 1
        reader.own = _thread.get_ident()
        try:
            return read_picture(shared_mem_id, image_meta)
        finally:
            reader.own = NOBODY
            if reader.turn != 1:
                reader.first = None

    return read


def beginning(reader: Reader, read_frame: Any) -> Any:
    """Return the adapter's reading of frames, with each of which a call may begin."""

    def read() -> Any:
        reader.turn, reader.first = 0, None
        return read_frame()

    return read


def reading_its_own(calls: Calls, read_picture: Any) -> Any:
    """Return the reading by an id, of the pictures of the call under way alone."""

    def read(shared_mem_id: str, image_meta: Any) -> Any:
        call = calls.now
        if calls.has(shared_mem_id, image_meta):
            picture = read_picture(shared_mem_id, image_meta)
            if calls.now is call or shared_mem_id not in calls.said:
                return picture  # the call was under way for as long as it was read
        calls.complain(shared_mem_id)
        return read_picture(_NOWHERE, image_meta)

    return read


def saying(calls: Calls, read_frame: Any) -> Any:
    """Return the adapter's reading of frames, with which calls begin."""

    def read() -> Any:
        frame = read_frame()
        if isinstance(frame, dict) and frame.get("type") == "call":
            calls.begin(frame)
        return frame

    return read


def answering(calls: Calls, write_frame: Any) -> Any:
    """Return the adapter's writing of frames, before which calls end."""

    def write(frame: dict[str, Any]) -> None:
        if frame.get("type") in ("result", "error"):
            calls.end(frame)
        write_frame(frame)

    return write


class Call:
    """A call, with all its phases: its request's id, and of its picture the id and the time (ms) that its meta says."""

    __slots__ = ("picture", "request", "taken")

    def __init__(self, request: str, picture: str, taken: Any) -> None:
        self.request = request
        self.picture = picture
        self.taken = taken


class PictureId(str):
    """An id as the algorithm of a call gets it. It is text, and copies of it are; of itself it is known whose it is."""

    __slots__ = ("call",)
    call: Call

    def __reduce__(self) -> Any:
        return str, (str(self),)


class Calls:
    """Which pictures an algorithm may read by their ids. `now`: the call under way; `said`: ids of pictures of calls.

    A thread that an algorithm left running may ask at any time, with an id that is a later call's as well. So it is
    asked whose the id is, and, where it is a copy, whether the picture's meta is the one of the call under way.
    """

    def __init__(self) -> None:
        self.now: Call | None = None
        self.said: dict[str, None] = {}
        self._refused = 0

    def begin(self, frame: dict[str, Any]) -> None:
        """A call begins, or goes on with its next phase (`conversation`: REQUEST-pre, REQUEST-execute)."""
        data = frame.get("data")
        picture = data.get("shared_mem_id") if isinstance(data, dict) else None
        if not isinstance(picture, str):
            self.now = None
            return
        request, meta = str(frame.get("request_id")), data.get("image_meta")  # type: ignore[union-attr]
        if request.endswith("-execute"):  # noqa: FURB188 - Python 3.8 has none
            request = request[: -len("-execute")]
        if self.now is None or self.now.request != request or self.now.picture != picture:
            self.now = Call(request, picture, meta.get("timestamp_ms") if isinstance(meta, dict) else None)
            if picture not in self.said:
                if len(self.said) >= MOST_SAID:
                    del self.said[next(iter(self.said))]
                self.said[picture] = None
        mine = PictureId(picture)
        mine.call = self.now
        data["shared_mem_id"] = mine  # type: ignore[index]

    def end(self, frame: dict[str, Any]) -> None:
        """A call is about to be answered; after a good `pre` of two phases, only its first half."""
        request = str(frame.get("request_id"))
        if self.now is None:
            return
        if request.endswith("-pre") and frame.get("status") == "OK":
            self.now.request = request[: -len("-pre")]
        else:
            self.now = None

    def has(self, picture: str, meta: Any) -> bool:
        """Whether an id is of the call under way, or of no call at all: of what the algorithm wrote itself."""
        now = self.now
        if isinstance(picture, PictureId):
            return picture.call is now
        if picture not in self.said:
            return True
        return now is not None and picture == now.picture and meta.get("timestamp_ms", now.taken) == now.taken

    def complain(self, picture: str) -> None:
        """Say in the log that a picture was asked for too late, not too often."""
        self._refused += 1
        if self._refused % 1000 == 1:
            sys.stderr.write(
                f"the picture {picture} was read after its call had been answered, so a black one is returned "
                f"({self._refused} times so far): read it before the answer, and keep the array\n"
            )


class Numpy:
    """numpy, as the SDK's module sees it: with a `load` of ours."""

    def __init__(self, numpy: Any, reader: Reader) -> None:
        self._numpy = numpy
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numpy, name)

    def load(self, file: Any, *args: Any, **options: Any) -> Any:
        array = None
        if not args and options == {"allow_pickle": False} and isinstance(file, str):
            try:
                array = self._reader.read(file)
            except Exception:  # then numpy says what is wrong with it
                array = None
        return self._numpy.load(file, *args, **options) if array is None else array


class Reader:
    """Reads `.npy` files. `may_map`: the thread that reads a picture of which the controller says so.

    `own`: the adapter's thread, while it reads for the algorithm's arguments; `turn`: the number of its picture within
    the call; `first`: what the first one looks like and its array, until the second was read. No code of the algorithm
    has had that array by then; what its threads read meanwhile is none of the two.
    """

    def __init__(self, numpy: Any) -> None:
        self._numpy = numpy
        self._headers: dict[bytes, tuple[tuple[int, ...], int]] = {}
        self._maps: list[Any] = []
        self.may_map = NOBODY
        self.own = NOBODY
        self.turn = 0
        self.first: tuple[Any, Any] | None = None

    def read(self, path: str) -> Any:
        """Return the array in a file; None where it is none that is read here. Raises OSError, ValueError."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            look = (path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            turn = self.turn if self.own == _thread.get_ident() else 0
            if turn == 2 and self.first is not None and self.first[0] == look:
                return self.first[1].copy()
            found = self._header(os.pread(descriptor, _LONGEST_HEADER, 0))
            if found is None:
                return None
            shape, offset = found
            array = self._map(descriptor, shape, offset) if self.may_map == _thread.get_ident() else None
            if array is not None:
                return array
            array = self._numpy.empty(shape, self._numpy.uint8)
            if os.preadv(descriptor, [array], offset) != array.nbytes:
                return None
            if turn == 1:
                self.first = look, array
            return array
        finally:
            os.close(descriptor)

    def _header(self, start: bytes) -> Any:
        """Return shape and offset of the pixels; None where these are no plain ones. Raises ValueError."""
        if start[:6] != _MAGIC or start[6] != 1:
            return None
        offset = 10 + int.from_bytes(start[8:10], "little")
        header = start[:offset]
        found = self._headers.get(header)
        if found is None:
            import io

            if len(header) < offset:
                return None
            stream = io.BytesIO(header)
            version = self._numpy.lib.format.read_magic(stream)
            shape, fortran, kind = self._numpy.lib.format.read_array_header_1_0(stream)
            if version != (1, 0) or fortran or kind != self._numpy.uint8 or len(shape) not in (2, 3) or 0 in shape:
                return None
            if len(self._headers) >= 64:
                self._headers.clear()
            found = self._headers[header] = shape, offset
        return found

    def _map(self, descriptor: int, shape: tuple[int, ...], offset: int) -> Any:
        """Return the array as the file itself; None where it must be a copy. Raises OSError, ValueError."""
        import fcntl
        import mmap
        import weakref

        self._maps = [each for each in self._maps if each() is not None]
        if len(self._maps) >= MOST_MAPPED:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        mapped = mmap.mmap(
            descriptor, 0, access=mmap.ACCESS_COPY
        )  # it has a descriptor of its own, and the lock with it
        array = self._numpy.ndarray(shape, self._numpy.uint8, mapped, offset)
        self._maps.append(weakref.ref(mapped))
        return array
