"""`python -m controller.images.reducer FD`: the process that copies and reduces pictures for a daemon, and keeps them.

It gives way to everything else on the machine, has no file of its own, and ends with the daemon's end of the socket FD.
Messages are JSON objects, one a packet; what a message is about comes with it as a descriptor:

    {"take": key, "shape": [h, w, c], "offset": n, "order": "BGR"} + file    the pixels in a .npy file
    {"take": key, "size": n} + file                                          an encoded picture
        → {"taken": key}                        it has its own copy now: the file may change
        → {"reduced": key, "width", "height"}   or {"failed": key, "why"}
    {"give": key}  → {"given": key} + file; without one where it is not kept any more
    {"drop": [key, …]}

`taken` is the proof that a picture is whole: who reads it before a caller is answered knows that the copy was complete
while the file still was the caller's to leave alone.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
from collections import OrderedDict
from contextlib import suppress
from math import prod
from typing import Any

from controller.host.priority import give_way_to_all
from controller.images.npy import NotAnImage
from controller.images.reduction import MOST_PIXELS, Reduced, reduce_file, reduce_pixels

MOST_BYTES = 64 * 2**20
"""Of a picture as it comes; a larger one is not shown."""
KEPT_BYTES = 32 * 2**20
"""Of reduced pictures in all: some 300. Those that were asked for longest ago go first."""
_ADDRESS_SPACE = 2**30
_SPARE = 16 * 2**20
"""A buffer of at most so many bytes is used again: new memory costs as much as the copy."""
_PACKET = 64 * 1024


class Reducer:
    """Serves one daemon over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._size = 0
        self._buffer = bytearray()

    def serve(self) -> None:
        """Do what is asked until the daemon is gone."""
        while True:
            packet, descriptors, _, _ = socket.recv_fds(self._connection, _PACKET, 1)
            try:
                if not packet:
                    return
                self._do(json.loads(packet), descriptors[0] if descriptors else -1)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _do(self, asked: dict[str, Any], descriptor: int) -> None:
        if "take" in asked:
            self._take(asked, descriptor)
        elif "give" in asked:
            self._give(asked["give"])
        else:
            for key in asked["drop"]:
                self._drop(key)

    def _take(self, asked: dict[str, Any], descriptor: int) -> None:
        key = asked["take"]
        try:
            picture = self._copied(asked, descriptor)
            self._say({"taken": key})
            found = self._reduce(asked, picture)
        except (NotAnImage, OSError, MemoryError) as error:
            self._say({"failed": key, "why": str(error)[:200] or type(error).__name__})
            return
        finally:
            if len(self._buffer) > _SPARE:
                self._buffer = bytearray()
        self._keep(key, found.content)
        self._say({"reduced": key, "width": found.width, "height": found.height})

    def _copied(self, asked: dict[str, Any], descriptor: int) -> memoryview:
        """Return the picture's bytes in memory of our own. Raises NotAnImage, OSError."""
        shape = asked.get("shape")
        size = asked["size"] if shape is None else prod(shape)
        if size > MOST_BYTES or (shape is not None and shape[0] * shape[1] > MOST_PIXELS):
            raise NotAnImage("is too large to be shown")
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        picture, offset, done = memoryview(self._buffer)[:size], asked.get("offset", 0), 0
        while done < size:
            count = os.preadv(descriptor, [picture[done:]], offset + done)
            if not count:
                raise NotAnImage("was cut off while it was read")
            done += count
        return picture

    def _reduce(self, asked: dict[str, Any], picture: memoryview) -> Reduced:
        if "shape" not in asked:
            return reduce_file(picture)
        return reduce_pixels(picture, tuple(asked["shape"]), asked["order"])

    def _keep(self, key: int, content: bytes) -> None:
        self._kept[key] = content
        self._size += len(content)
        while self._size > KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: int) -> None:
        self._size -= len(self._kept.pop(key, b""))

    def _give(self, key: int) -> None:
        content = self._kept.get(key)
        if content is None:
            self._say({"given": key})
            return
        self._kept.move_to_end(key)
        descriptor = os.memfd_create("picture")
        try:
            os.write(descriptor, content)
            self._say({"given": key}, descriptor)
        finally:
            os.close(descriptor)

    def _say(self, said: dict[str, Any], *descriptors: int) -> None:
        socket.send_fds(self._connection, [json.dumps(said).encode()], descriptors)


def main() -> None:
    """Serve the daemon at the other end of the descriptor that is named."""
    give_way_to_all()
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    with suppress(OSError), socket.socket(fileno=int(sys.argv[1])) as connection:  # the daemon went away
        Reducer(connection).serve()


if __name__ == "__main__":
    main()
