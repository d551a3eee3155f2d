"""The least that a process between a caller and an adapter does: what the copies of a socket and two more wakings cost.

Bytes come over a Unix socket into a file that stays mapped, as many as were announced; then the frame goes over bare
pipes. No HTTP, nothing is looked at, nothing is bounded.
"""

from __future__ import annotations

import os
import socket

import numpy as np

from benchmarks.calls import BarePipes


class Relay:
    """A process of its own. `bare`: whose adapter it speaks to, which was called with each array before."""

    def __init__(self, bare: BarePipes) -> None:
        self._bare = bare
        self._socket, other = socket.socketpair()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
        self._process = os.fork()
        if self._process == 0:
            try:
                self._socket.close()
                self._serve(other)
            finally:
                os._exit(0)
        other.close()

    def _serve(self, connection: socket.socket) -> None:
        kept = {connection.fileno(), *self._bare.descriptors}
        for descriptor in range(3, 1024):  # whoever waits for the end of one of them shall not wait for this process
            if descriptor not in kept:
                try:
                    os.close(descriptor)
                except OSError:
                    continue
        slots = {slot.nbytes: slot for slot in self._bare.slots}
        while announced := connection.recv(64):
            slot = slots[int(announced)]
            connection.send(b"?")
            rest = memoryview(slot.reshape(-1))
            while rest:
                rest = rest[connection.recv_into(rest) :]
            self._bare.call_slot(slot.shape)
            connection.send(b"!")

    def call(self, array: np.ndarray) -> None:
        """Send an array and wait for the answer."""
        self._socket.send(b"%d" % array.nbytes)
        assert self._socket.recv(1) == b"?"
        self._socket.sendall(memoryview(array.reshape(-1)))
        assert self._socket.recv(1) == b"!"

    def end(self) -> None:
        self._socket.close()
        os.waitpid(self._process, 0)
