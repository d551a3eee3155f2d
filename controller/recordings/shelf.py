"""The folder of the recordings: where a call's files are, and how they come and go.

`recordings/<pid>/<id>.call`, and where the call has a guide picture of its own, `<id>.guide` beside it: the same guide
is one file with several names, so that it takes room once and goes with its last call. A name is only ever given to a
file that is complete and on the disk; that the name is there after a power cut is not waited for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from controller.model.names import PID_PATTERN
from controller.model.recording import ID_PATTERN, RecordedCall
from controller.recordings.call_file import KINDS_AT, Head, read_head, read_picture
from controller.recordings.pixels import Damaged
from controller.recordings.source import PackedCall, Pictures

_OURS = re.compile(rf"({ID_PATTERN})\.(call|guide)(\.tmp)?", re.ASCII)
_is_pid = re.compile(PID_PATTERN).fullmatch
_CALL, _GUIDE = ".call", ".guide"


class Found(NamedTuple):
    """What lies in the folder of a PID: ids and sizes of calls and guides, what is half written, what is not ours."""

    calls: dict[str, int]
    guides: dict[str, int]
    unfinished: list[Path]
    unknown: list[Path]


class Shelf:
    """The files below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def call(self, pid: str, call_id: str) -> Path:
        return self.root / pid / (call_id + _CALL)

    def guide(self, pid: str, call_id: str) -> Path:
        return self.root / pid / (call_id + _GUIDE)

    # Coming and going.

    def put_guide(self, pid: str, call_id: str, data: bytes | memoryview, same_as: str | None) -> None:
        """Place the guide of a call that is about to be placed; `same_as`: a call that has the same. Raises OSError."""
        target = self.guide(pid, call_id)
        if same_as is None:
            _place(target, (data,))
            return
        try:
            os.link(self.guide(pid, same_as), target)
        except OSError:  # it has too many names, or the file system gives no second ones
            _place(target, (self.guide(pid, same_as).read_bytes(),))

    def put_call(self, pid: str, call_id: str, parts: Sequence[bytes | memoryview]) -> None:
        """Place the file of a call. Raises OSError."""
        _place(self.call(pid, call_id), parts)

    def add_kinds(self, pid: str, call_id: str, mask: int) -> None:
        """Add kinds to a call; not where it is gone. Raises OSError."""
        with suppress(FileNotFoundError), self.call(pid, call_id).open("r+b", buffering=0) as file:
            file.seek(KINDS_AT)
            before = file.read(1)
            file.seek(KINDS_AT)
            file.write(bytes([before[0] | mask]))

    def remove(self, pid: str, call_id: str) -> None:
        """Remove a call's files: the call first, so that it is never there without its guide. Raises OSError."""
        for path in (self.call(pid, call_id), self.guide(pid, call_id)):
            path.unlink(missing_ok=True)

    # Looking.

    def pids(self) -> list[str]:
        """Return the PIDs that have a folder."""
        try:
            return sorted(each.name for each in self.root.iterdir() if _is_pid(each.name) and each.is_dir())
        except FileNotFoundError:
            return []

    def found(self, pid: str) -> Found:
        """Return what lies in the folder of a PID. Raises OSError."""
        found = Found({}, {}, [], [])
        with suppress(FileNotFoundError), os.scandir(self.root / pid) as entries:
            for entry in entries:
                match = _OURS.fullmatch(entry.name)
                if match is None or not entry.is_file(follow_symlinks=False):
                    found.unknown.append(Path(entry.path))
                elif match[3]:
                    found.unfinished.append(Path(entry.path))
                else:
                    sizes = found.calls if match[2] == "call" else found.guides
                    with suppress(FileNotFoundError):
                        sizes[match[1]] = entry.stat(follow_symlinks=False).st_size
        return found

    def is_there(self, call: RecordedCall) -> bool:
        """Whether the files of a call are there."""
        return self.call(call.pid, call.id).exists() and (
            call.guide is None or self.guide(call.pid, call.id).exists()
        )  # fmt: skip

    def head(self, pid: str, call_id: str) -> Head:
        """Return what the file of a call says. Raises Damaged, OSError."""
        path = self.call(pid, call_id)
        with path.open("rb") as file:
            head = read_head(file, os.fstat(file.fileno()).st_size)
        if (head.call.pid, head.call.id) != (pid, call_id):
            raise Damaged("is of another call than its name says")
        if head.guide is not None and self.guide(pid, call_id).stat().st_size != head.guide.block.size:
            raise Damaged("has a guide of another size than it says")
        return head

    def heads(self) -> Iterator[tuple[Head, float]]:
        """Yield what the files of all whole calls say, each with the moment at which it came here."""
        for pid in self.pids():
            for call_id in self.found(pid).calls:
                with suppress(Damaged, OSError):
                    yield self.head(pid, call_id), self.arrived(pid, call_id)

    def arrived(self, pid: str, call_id: str) -> float:
        """Return when (s since 1970) the file of a call came here. Raises OSError."""
        return self.call(pid, call_id).stat().st_mtime

    def packed(self, call: RecordedCall) -> PackedCall:
        """Return the files of a call as they are. Raises Damaged, OSError."""
        head = self.head(call.pid, call.id)
        guide = head.guide
        return PackedCall(
            self.call(call.pid, call.id).read_bytes(),
            guide.sha256 if guide is not None else "",
            self.guide(call.pid, call.id).read_bytes() if guide is not None else b"",
        )

    def pictures(self, call: RecordedCall) -> Pictures:
        """Return the pictures of a call. Raises Damaged, OSError."""
        with self.call(call.pid, call.id).open("rb") as file:
            head = read_head(file, os.fstat(file.fileno()).st_size)
            image = read_picture(file, head.image, head.call.image)
        if head.guide is None or head.call.guide is None:
            return Pictures(image, None)
        with self.guide(call.pid, call.id).open("rb") as file:
            return Pictures(image, read_picture(file, head.guide.block, head.call.guide))


def _place(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    """Give a name to a file that is complete and on the disk. Raises OSError; then there is nothing."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            for part in parts:
                view = memoryview(part)
                while view:
                    view = view[os.write(descriptor, view) :]
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink()
        raise
