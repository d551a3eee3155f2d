"""The files in `run/images` through which pixels reach the adapters: each process's own, and those of who calls.

A process has one file for each role of an image and overwrites it call by call, which is several times cheaper than
making a new one. Only who holds the process's call lock writes them, so an adapter never sees a picture change. A
client does the same with files of its own (`client/slots.py`), and is kept from it by a lock while somebody looks.
"""

from __future__ import annotations

import fcntl
import os
import re
from abc import abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from controller.client.slots import PREFIX
from controller.errors import CallError, Code, StoreError
from controller.images import npy
from controller.images.formats import ImageRef, Picture, refused
from controller.images.shared_folder import files_of, open_folder
from controller.wire.messages import SharedImage

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
MOST_SLOTS = 6
"""Files of one role of a process: one that is written, and those whose pictures are leased after the call."""
LEASED = ".leased-"
"""What stands between token and number in the second name of a file that is leased."""
_HOST = {"fault": "host", "retry_after": 1.0}
"""Details of an error that neither the caller nor the version had a part in, and when (s) to ask again."""


def path_of(images: str, ref: ImageRef) -> str:
    """Return where a host application's image stands. Raises CallError 1003: the id cannot be one."""
    if not isinstance(ref.id, str) or not _ID.fullmatch(ref.id):
        raise CallError(
            Code.invalid_params,
            f"image_ref {str(ref.id)[:80]!r} is no image id",
            next_step="use letters, digits, '.', '_' and '-', not beginning with '.'",
        )
    return f"{images}/{ref.id}.npy"


Look = tuple[int, int, int, int]
"""Device, inode, size and last change (ns) of a file: another one, or other content, looks different."""


def looks(status: os.stat_result) -> Look:
    """Return what a file looks like."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage(SharedImage):
    """A shared image with the file that the adapter opens by its path, and what that looked like before the call.

    `slot`: where it is one of a process's own; None: a file that a host application keeps. `held`: the descriptor by
    which it is locked against its client's next picture while the call lasts; -1: it has no such lock.
    """

    path: str
    look: Look
    slot: Slot | None = None
    held: int = -1

    @property
    def ours(self) -> bool:
        """Whether it stands in a slot of a process, not in a file that a host application keeps."""
        return self.slot is not None

    @property
    def locked(self) -> bool:
        """Whether nobody writes over it while somebody holds a shared lock on the file."""
        return self.slot is not None or self.held >= 0

    def require_unchanged(self) -> None:
        """Raise CallError 1007 where the adapter may have found another file, or none: it sees black then, silently.

        To be asked when the algorithm has answered: looking before the call is never late enough.
        """
        try:
            unchanged = looks(os.stat(self.path)) == self.look  # noqa: PTH116 - for every call; pathlib doubles it
        except OSError:
            unchanged = False
        if not unchanged:
            raise CallError(
                Code.shared_memory_not_found,
                f"the image {self.path} was removed or changed while the algorithm worked on it; its answer is dropped",
                next_step="call again, and leave the file alone until the call is answered",
                details=_HOST if self.ours else {},
            )


@dataclass(slots=True, eq=False)
class Slot:
    """A file of ours, open to be written over: not while `leased` is not 0, nor while an adapter has it locked.

    `gone`: its process has ended, and who reads it last removes it.
    """

    path: str
    descriptor: int = -1
    device: int = 0
    inode: int = 0
    leased: int = 0
    gone: bool = False

    def take(self) -> bool:
        """Return whether it may be written over; then nobody else may look at it until `give`."""
        if self.leased:
            return False
        if self.descriptor >= 0:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # an array of it lives (`host/adapter_pictures.py`)
                return False
        return True

    def give(self) -> None:
        """Let others look at it again."""
        if self.descriptor >= 0:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Lease:
    """A picture that stands still after its call was answered, until everybody who holds the lease has released it.

    Whoever reads the file looks at it afterwards (`image.require_unchanged`): a host application may write over its own
    one in place. A lease begins with one holder.
    """

    def __init__(self, image: StoredImage) -> None:
        self.image = image
        self._holders = 1

    def hold(self) -> Lease:
        """Return the lease with one holder more."""
        self._holders += 1
        return self

    def release(self) -> None:
        """Give it back, as one of its holders."""
        self._holders -= 1
        if self._holders == 0:
            self._end()

    @abstractmethod
    def _end(self) -> None:
        """Let the picture go."""


class _SlotLease(Lease):
    def __init__(self, image: StoredImage, slot: Slot) -> None:
        super().__init__(image)
        self._slot = slot
        slot.leased += 1

    def _end(self) -> None:
        self._slot.leased -= 1
        if self._slot.gone and not self._slot.leased:
            _unlink(self.image.path)


class _FileLease(Lease):
    """A file that is not ours: under a second name of its own where it may have one, and locked where it is a slot."""

    def __init__(self, image: StoredImage, links: set[str]) -> None:
        super().__init__(image)
        self._links = links

    def _end(self) -> None:
        if self.image.held >= 0:
            os.close(self.image.held)
        if self.image.path in self._links:
            self._links.discard(self.image.path)
            _unlink(self.image.path)


def _unlink(path: str) -> None:
    with suppress(OSError):  # somebody tidied up
        os.unlink(path)  # noqa: PTH108 - the path is text


@dataclass
class Slots:
    """The files of one process in `folder`. Their ids are its token and the role.

    A file is kept open and written over; whether it still stands at its path is looked at with every picture, because
    the adapter opens the path. Who logs out may take it away (systemd's RemoveIPC), and so may anybody who tidies up.
    """

    folder: Path
    token: str
    _slots: dict[str, list[Slot]] = field(default_factory=dict)
    _leased: list[Slot] = field(default_factory=list)
    _links: set[str] = field(default_factory=set)
    _held: list[int] = field(default_factory=list)
    _text: str = field(init=False)
    """The folder as text: it is asked for with every call."""

    def __post_init__(self) -> None:
        self._text = str(self.folder)

    def put(self, picture: Picture, role: str, order: str = "RGB") -> StoredImage:
        """Write a picture into the file of its role, over what was there; make the file anew where it is gone.

        `order` is the one of its channels: RGB or BGR.

        Raises:
            CallError: 1007, there is no room for it, or no file of ours can be made.
        """
        slot = self._free(role)
        header = npy.write_header(picture.shape)
        try:
            look = _write(slot, header, picture.pixels) or self._write_anew(slot, header, picture.pixels)
        except (OSError, StoreError) as error:
            raise _no_room(f"the {role} ({len(picture.pixels):,} bytes)", self.folder, error) from None
        finally:
            slot.give()
        if look is None:
            raise _no_room(f"the {role}", self.folder, "somebody replaces the file as it is written")
        height, width = picture.shape[:2]
        name = slot.path.rpartition("/")[2].removesuffix(".npy")
        return StoredImage(
            name, width, height, order, conversion=picture.conversion, path=slot.path, look=look, slot=slot
        )

    def _free(self, role: str) -> Slot:
        """Return a slot whose picture nobody reads any more, taken. There always is one.

        Where all are read, the file of one that is not leased (see `lease`) stays with who reads it, without a name.
        """
        slots = self._slots.setdefault(role, [])
        for slot in slots:
            if slot.take():
                return slot
        if len(slots) >= MOST_SLOTS:
            slot = next(slot for slot in slots if not slot.leased)
            slot.close()
            return slot
        number = f"-{len(slots)}" if slots else ""
        slots.append(Slot(f"{self._text}/{self.token}.{role}{number}.npy"))
        return slots[-1]

    def _write_anew(self, slot: Slot, header: bytes, pixels: memoryview) -> Look | None:
        """Write into a new file under the path of a slot. Raises OSError."""
        slot.close()
        try:
            descriptor = _create(slot.path)
        except FileNotFoundError:  # the whole folder is gone, or the link to it leads nowhere
            open_folder(self.folder)
            descriptor = _create(slot.path)
        status = os.fstat(descriptor)
        slot.descriptor, slot.device, slot.inode = descriptor, status.st_dev, status.st_ino
        return _write(slot, header, pixels)

    def lease(self, image: SharedImage) -> Lease | None:
        """Return a lease of a picture that was put or found here, to be taken before its call is answered.

        None where there is no picture, or where it cannot be kept: too many are leased, or a host application's file
        cannot be given a second name. A client's slot cannot where it is another user's; it is locked all the same.
        """
        if not isinstance(image, StoredImage):
            return None
        if image.slot is not None:
            role = next(role for role, slots in self._slots.items() if image.slot in slots)
            if sum(slot.leased > 0 for slot in self._slots[role]) >= MOST_SLOTS - 1 and not image.slot.leased:
                return None
            return _SlotLease(image, image.slot)
        name = f"{self.token}{LEASED}{os.urandom(8).hex()}"  # no name that a killed daemon leased is met again
        path = f"{self._text}/{name}.npy"
        held = -1
        try:
            held = os.dup(image.held) if image.held >= 0 else -1
            os.link(image.path, path)
        except OSError:  # also where no descriptor is left: the call goes on
            return _FileLease(replace(image, held=held), self._links) if held >= 0 else None
        self._links.add(path)
        return _FileLease(replace(image, id=name, path=path, held=held), self._links)

    def find(self, ref: ImageRef, order: str = "RGB") -> StoredImage:
        """Return the image that a host application put into the folder, its channels in that order.

        A client's slot (`client/slots.py`) is locked against its next picture until `let_go`.

        Raises:
            CallError: 1003, the id cannot be one; 1007, the file is not there, is being written, or holds no image.
        """
        path = path_of(self._text, ref)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            held = -1
            try:
                if ref.id.startswith(PREFIX):
                    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                header = npy.read_header(os.read(descriptor, npy.MAX_HEADER))
                look = looks(os.fstat(descriptor))
                if look[2] < header.end:
                    raise npy.NotAnImage(f"is truncated: {header.end:,} bytes are announced, {look[2]:,} are there")
                if ref.id.startswith(PREFIX):
                    held = descriptor
                    self._held.append(held)
            finally:
                if held < 0:
                    os.close(descriptor)
        except BlockingIOError:
            raise CallError(
                Code.shared_memory_not_found,
                f"the shared image {path} is being written",
                next_step="call when it holds the picture, and not again before the answer",
            ) from None
        except npy.NotAnImage as error:
            raise refused(f"the shared image {path}", error, code=Code.shared_memory_not_found) from None
        except OSError as error:
            if not self.folder.is_dir():
                with suppress(StoreError):  # the next image has a folder again, or its writer is told why not
                    open_folder(self.folder)
            raise CallError(
                Code.shared_memory_not_found,
                f"the shared image {path} cannot be read: {error.strerror}",
                next_step="write the file completely, under another name, and rename it before the call",
            ) from None
        return StoredImage(ref.id, header.shape[1], header.shape[0], order, path=path, look=look, held=held)

    def let_go(self) -> None:
        """Let clients write over the slots that were found: the process has answered, or will not look at them."""
        while self._held:
            os.close(self._held.pop())

    def close(self) -> None:
        """Let go of the files; they stay."""
        self.let_go()
        for slots in self._slots.values():
            for slot in slots:
                slot.close()
                if slot.leased:
                    self._leased.append(slot)
        self._slots.clear()

    def remove(self) -> None:
        """Remove the files; those that somebody still reads, as soon as nobody does: a call that broke is recorded."""
        self.close()
        read = self._links | {slot.path for slot in self._leased if slot.leased}
        for slot in self._leased:
            slot.gone = True
        for path in map(str, files_of(self.folder, f"{self.token}.")):
            if path not in read:
                _unlink(path)


def _write(slot: Slot, header: bytes, pixels: memoryview) -> Look | None:
    """Return what a slot looks like with the picture; None where its path does not lead to the file that is open."""
    if slot.descriptor < 0:
        return None
    size = _write_all(slot.descriptor, header, pixels)
    try:
        status = os.stat(slot.path)  # noqa: PTH116 - for every call; pathlib doubles it
        if status.st_size > size and (status.st_dev, status.st_ino) == (slot.device, slot.inode):
            os.ftruncate(slot.descriptor, size)
            status = os.stat(slot.path)  # noqa: PTH116
    except FileNotFoundError:
        return None
    look = looks(status)
    return look if look[:3] == (slot.device, slot.inode, size) else None


def _create(path: str) -> int:
    """Return a descriptor of a new file in the place of whatever has its name. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - the path is text here
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _no_room(what: str, folder: Path, why: OSError | StoreError | str) -> CallError:
    """Return the error for a picture that could not be handed over: the host's trouble, nobody else's."""
    text = why if isinstance(why, str) else str(getattr(why, "strerror", None) or why)
    return CallError(
        Code.shared_memory_not_found,
        f"{what} cannot be written into {folder}: {text}",
        next_step=f"free room in memory-backed storage (`df {os.path.realpath(folder)}`; in a container --shm-size)",
        details=_HOST,
    )


def _write_all(descriptor: int, header: bytes, pixels: memoryview) -> int:
    size = len(header) + len(pixels)
    done = os.pwritev(descriptor, [header, pixels], 0)
    if done < size:  # interrupted, or the room is running out: the second write says which
        rest = memoryview(b"".join((header, pixels)))
        while done < size:
            done += os.pwrite(descriptor, rest[done:], done)
    return size
