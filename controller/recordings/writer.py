"""`python -m controller.recordings.writer STORE`: the process that writes recorded calls beside a daemon.

It gives way to everything else on the machine and ends with its standard input. Messages are JSON objects, one a line:

    {"record": {a RecordedCall without its pictures' shapes}, "image": picture, "guide": picture or null}
        with picture = {"path", "look": [device, inode, size, change in ns], "color_space", "conversion"}, a .npy file
        → {"taken": id}     it has its own copy now: the files may change
        → {"kept": id}      or {"dropped": id, "why": word, "message"}
    {"mark": id, "pid": pid, "kind": kind}                 a call that is recorded gets a kind more
    {"bounds": {pid: [calls, bytes, seconds]}}             how much is kept of PIDs
        → {"calls": n, "bytes": n, "trouble": text}        what there is, and why nothing is recorded now

What comes on standard error is for the daemon's log. Pictures are read before anything else is done: as long as they
are leased, calls go without them.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

from controller.errors import StoreError
from controller.host.priority import give_way_entirely
from controller.images import npy
from controller.images.formats import Picture
from controller.images.slots import looks
from controller.model.recording import RecordedCall
from controller.recordings.bounds import Bounds
from controller.recordings.call_file import TooLarge
from controller.recordings.keeping import Keeper
from controller.recordings.room import Room
from controller.recordings.source import Pictures
from controller.store.layout import StoreLayout

log = logging.getLogger(__name__)

_TEND_EVERY = 60.0
"""Seconds between two looks at what has become too old."""
_SWEEP_EVERY = 600.0
"""Seconds between two comparisons of the index with the files."""
_TELL_EVERY = 1.0
"""Seconds between two messages of what there is, at least."""
_CHUNK = 1 << 20
_WORDS = 1000
"""Characters of what it says that are passed on: the daemon reads line by line."""

Why = Literal["changed", "disk", "too_large", "failed"]


class Dropped(Exception):
    """A call is not recorded, and why."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True, slots=True)
class _Job:
    """A call whose pictures were read."""

    call: RecordedCall
    pictures: Pictures


class Writer:
    """Serves one daemon over its standard input and output."""

    def __init__(self, layout: StoreLayout, keeper: Keeper) -> None:
        self._room = Room(layout.root)
        self._keeper = keeper
        self._buffer = bytearray()
        self._jobs: deque[_Job | dict[str, Any]] = deque()
        self._bounds: dict[str, Bounds] = {}
        self._trouble = ""
        self._told: dict[str, object] = {}
        self._tell_at = 0.0
        self._to_tell = False
        self._tend_at = 0.0
        self._sweep_at = 0.0

    def serve(self) -> None:
        """Do what is asked until the daemon is gone, and then what was taken already."""
        open_ = True
        while open_ or self._jobs:
            if open_:
                open_ = self._hear(0.0 if self._jobs else self._idle_for())
            if self._jobs:
                self._do(self._jobs.popleft())
            if open_:
                self._tend()
                self._tell()

    def _idle_for(self) -> float:
        next_ = min(self._tend_at, self._sweep_at, self._tell_at if self._to_tell else self._tend_at)
        return max(0.0, next_ - time.monotonic())

    def _hear(self, timeout: float) -> bool:
        """Take every message that is there by now; false where none will come any more."""
        while select.select([0], [], [], timeout)[0]:
            content = os.read(0, _CHUNK)
            if not content:
                return False
            self._buffer += content
            *lines, rest = self._buffer.split(b"\n")
            self._buffer = bytearray(rest)
            for line in lines:
                self._take(json.loads(line))
            timeout = 0.0
        return True

    # A call.

    def _take(self, message: dict[str, Any]) -> None:
        """Read the pictures of a call at once; the rest has time."""
        if "record" not in message:
            self._jobs.append(message)
            return
        call_id = message["record"]["id"]
        try:
            self._jobs.append(self._job(message))
        except Dropped as error:
            self._drop(call_id, error)
        else:
            self._say({"taken": call_id})

    def _job(self, message: dict[str, Any]) -> _Job:
        self._require_room()
        image = _read(message["image"])
        guide = _read(message["guide"]) if message["guide"] is not None else None
        document = message["record"] | {"image": _said(message["image"], image)}
        if guide is not None:
            document["guide"] = _said(message["guide"], guide)
        try:
            return _Job(RecordedCall.from_document(document), Pictures(image, guide))
        except ValueError as error:
            raise Dropped("failed", str(error)[:200]) from None

    def _require_room(self) -> None:
        """Raise Dropped where little is left of the disk: what calls and rollouts need goes before."""
        if shortage := self._room.shortage():
            self._trouble = f"{shortage}: nothing is recorded until there is more"
            raise Dropped("disk", self._trouble)

    def _do(self, job: _Job | dict[str, Any]) -> None:
        try:
            if isinstance(job, _Job):
                self._record(job)
            elif "mark" in job:
                self._keeper.mark(job["pid"], job["mark"], job["kind"])
            else:
                self._bounds = {pid: Bounds(*bounds) for pid, bounds in job["bounds"].items()}
                self._tend_at = 0.0
        except StoreError as error:
            self._fail(error)

    def _record(self, job: _Job) -> None:
        try:
            self._require_room()
            self._keeper.add(job.call, job.pictures)
            self._keeper.enforce(job.call.pid)
        except (Dropped, TooLarge, StoreError) as error:
            if isinstance(error, StoreError):
                self._fail(error)
            why = error.why if isinstance(error, Dropped) else "too_large" if isinstance(error, TooLarge) else "failed"
            self._say({"dropped": job.call.id, "why": why, "message": str(error)[:_WORDS]})
        else:
            self._trouble = ""
            self._say({"kept": job.call.id})

    def _drop(self, call_id: str, error: Dropped) -> None:
        self._say({"dropped": call_id, "why": error.why, "message": str(error)[:_WORDS]})
        self._tell()

    def _fail(self, error: StoreError) -> None:
        if self._trouble != str(error):
            log.warning("%s", error)
        self._trouble = str(error)

    # What there is.

    def _tend(self) -> None:
        """Have everything within its bounds, and now and then the index agree with the files."""
        now = time.monotonic()
        if now < min(self._tend_at, self._sweep_at):
            return
        try:
            if now >= self._sweep_at:
                self._sweep_at = now + _SWEEP_EVERY
                swept = self._keeper.sweep()
                if swept.unknown:
                    log.warning("not ours, and left alone: %s", ", ".join(swept.unknown[:10]))
            if now >= self._tend_at:
                self._tend_at = now + _TEND_EVERY
                self._keeper.keep_within(self._bounds)
        except StoreError as error:
            self._fail(error)
        else:
            self._trouble = ""
        with suppress(Dropped):
            self._require_room()

    def _tell(self) -> None:
        """Say what there is, where that is not what was said last."""
        now = time.monotonic()
        self._to_tell = now < self._tell_at
        if self._to_tell:
            return
        self._tell_at = now + _TELL_EVERY
        try:
            calls, size = self._keeper.total()
        except StoreError as error:
            self._fail(error)
            return
        said = {"calls": calls, "bytes": size, "trouble": self._trouble[:_WORDS]}
        if said != self._told:
            self._told = said
            self._say(said)

    def _say(self, said: dict[str, object]) -> None:
        line = json.dumps(said).encode() + b"\n"
        while line:
            line = line[os.write(1, line) :]


def _said(message: Mapping[str, Any], picture: Picture) -> dict[str, Any]:
    """Return a RecordedPicture."""
    return {"shape": picture.shape, "color_space": message["color_space"], "conversion": message.get("conversion")}


def _read(said: dict[str, Any]) -> Picture:
    """Return a picture that is certainly the one of its call. Raises Dropped."""
    try:
        descriptor = os.open(said["path"], os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            header = npy.read_header(os.pread(descriptor, npy.MAX_HEADER, 0))
            if header.fortran_order:
                raise npy.NotAnImage("is in Fortran order")
            pixels, done = memoryview(bytearray(prod(header.shape))), 0
            while done < len(pixels):
                count = os.preadv(descriptor, [pixels[done:]], header.offset + done)
                if not count:
                    raise npy.NotAnImage("was cut off")
                done += count
            unchanged = list(looks(os.fstat(descriptor))) == said["look"]
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Dropped("changed", f"the picture cannot be read any more: {error.strerror}") from None
    except npy.NotAnImage as error:
        raise Dropped("changed", f"the picture {error}") from None
    if not unchanged:
        raise Dropped("changed", "the picture was changed after its call")
    return Picture(header.shape, pixels)


def main() -> None:
    """Serve the daemon at the other end of the pipes."""
    give_way_entirely()
    layout = StoreLayout.at(Path(sys.argv[1]))
    keeper = Keeper(layout)
    writer = Writer(layout, keeper)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        with suppress(BrokenPipeError):  # the daemon went away
            writer.serve()
    finally:
        keeper.close()


if __name__ == "__main__":
    main()
