"""The parent of one algorithm process. A stand-alone script: standard library only, run with `python -I -S`.

It outlives the controller that started it. It keeps the adapter's pipes open, drains its stderr into a log of bounded
size, hands the pipe ends to one connection at a time, ends the adapter with everything that it started, and records
how it ended. When the shim itself is killed, the kernel kills the adapter (PDEATHSIG).

    shim.py TITLE RUN TOKEN RECORD FOLDER COMMAND...

TITLE is for people who read `ps`; RUN is the folder of the record and the socket; RECORD is the JSON text of what the
record shall say about the process. Descriptor 0 is the starting controller's connection, 2 the log, already open;
the environment is the adapter's.

Here is only what stands between the controller and a running adapter, and it imports next to nothing: the standard
library's wrappers and the compilation of more code would cost a start some 8 ms. The rest is in `serve.py`, loaded
while the adapter is already starting.
"""

import _ctypes
import posix
import sys

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SIGKILL, _SIGPIPE = 9, 13


def prctl(option: int, value: int) -> None:
    """Call prctl(2), for which the standard library has no function."""
    library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # None: what is loaded already
    _ctypes.call_function(_ctypes.dlsym(library, "prctl"), (option, value, 0, 0, 0))


class Adapter:
    """The adapter as launched: its number and our ends of its pipes, or `failure`: why it could not be executed."""

    def __init__(self, folder: str, command: "list[str]") -> None:
        inner_in, self.stdin = posix.pipe()
        self.stdout, inner_out = posix.pipe()
        self.stderr, inner_err = posix.pipe()
        failed, report = posix.pipe()
        shim = posix.getpid()
        self.os_pid = posix.fork()
        if self.os_pid == 0:
            _become(command, folder, (inner_in, inner_out, inner_err), shim, report)
        for descriptor in (inner_in, inner_out, inner_err, report):
            posix.close(descriptor)
        # Waiting here, not later, leaves the processor to the adapter: on a busy machine that saves a start 8 ms.
        self.failure = posix.read(failed, 4096).decode("utf-8", "replace")
        posix.close(failed)


def _become(command: "list[str]", folder: str, ends: "tuple[int, int, int]", shim: int, report: int) -> None:
    """Turn this forked child into the adapter; never returns."""
    try:
        posix.setsid()
        prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        if posix.getppid() != shim:  # it died before the line above
            posix._exit(1)
        import _signal  # type: ignore[import-not-found]

        _signal.signal(_SIGPIPE, _signal.SIG_DFL)
        for number, end in enumerate(ends):
            posix.dup2(end, number)
        posix.chdir(folder)
        posix.execv(command[0], command)
    except OSError as error:
        posix.write(report, f"[Errno {error.errno}] {error.strerror}: {error.filename or command[0]}".encode())
    posix._exit(127)


def main(arguments: "list[str]") -> None:
    """Launch the adapter, then serve it. The first process exits at once: a shim is nobody's zombie."""
    *about, folder = arguments[:5]
    try:
        if posix.fork():
            posix._exit(0)
        posix.setsid()
        prctl(_PR_SET_CHILD_SUBREAPER, 1)
        adapter = Adapter(folder, arguments[5:])
    except OSError as error:  # no room for a process or a pipe: the controller is to know that it was this
        posix.write(0, f"error {error}".encode())
        posix._exit(1)
    starter = posix.dup(0)
    posix.dup2(1, 0)
    posix.set_inheritable(starter, False)
    sys.path.append(__file__.rpartition("/")[0])  # at the end: no module of ours may stand before the library's
    import serve  # type: ignore[import-not-found]

    serve.serve(adapter, about, starter)
    posix._exit(0)  # at once: who waits for the connection's end may then take the shim for gone


if __name__ == "__main__":
    main(sys.argv[1:])
