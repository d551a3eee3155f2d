"""What the machine refused, told from what a package did: the one place where an error is put down to the host.

Whatever fails before a package's code runs (pipes, fork, exec, a log that cannot be opened) is the host's. Once it
runs, its own words are no evidence, since anybody can print `No space left on device`: then only what the kernel
counts is, and what is still short when the process is gone.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from controller.errors import HostError
from controller.host.capacity import capacity_of

_LIMITS = "raise the limit (TasksMax= or LimitNPROC= of the service, kernel.pid_max), or end other processes"
_FILES = "raise the limit (LimitNOFILE= of the service, fs.file-max), or end what keeps files open"
_ROOM = "make room; see docs/operations.md"
_CONDITIONS = {
    errno.EAGAIN: ("ProcessLimit", _LIMITS),
    errno.EMFILE: ("FileLimit", _FILES),
    errno.ENFILE: ("FileLimit", _FILES),
    errno.ENOMEM: ("MemoryShort", "end other processes, or give the machine more memory"),
    errno.ENOSPC: ("DiskFull", _ROOM),
    errno.EDQUOT: ("DiskFull", _ROOM),
    errno.EROFS: ("ReadOnlyDisk", "mount the file system so that it can be written to, and look for why it is not"),
    errno.EIO: ("DiskFailed", "check the disk"),
    errno.EACCES: ("NotPermitted", "give the controller's user access to it, on a file system without noexec"),
    errno.EPERM: ("NotPermitted", "give the controller's user the right to do so"),
    errno.ENOENT: ("FileMissing", "put back what is named: a Python that was removed from the machine, say"),
}
_SHORT = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_NUMBERED = re.compile(r"(?:\[Errno |\(os error )(\d+)[\])]")
_NEARLY_ALL = 8
"""Tasks short of a limit that still count as having met it: the process that met it is gone by then."""
_LEAST_DISK, _LEAST_MEMORY = 64 * 1024, 32 * 2**20
LOADER_FAILED = 127
"""What a program exits with that the dynamic loader could not start."""


def host_error(doing: str, error: OSError) -> HostError:
    """Return that the host did not let us do something; `doing` follows `cannot`."""
    where = f": {error.filename}" if error.filename else ""
    return _error(doing, error.errno or 0, f"{(error.strerror or str(error)).lower()}{where}")


def host_error_in(doing: str, text: str) -> HostError:
    """Return the same from the words of another process of ours, in which the error's number stands."""
    found = _NUMBERED.search(text)
    return _error(doing, int(found[1]) if found else 0, text)


def is_shortage(number: int | None) -> bool:
    """Whether an error number says that the machine has no more processes, files or memory to give."""
    return number in _SHORT


def shortage_in(text: str) -> bool:
    """Whether a tool of ours, which is no package, says that the machine has no more to give."""
    return any(int(number) in _SHORT for number in _NUMBERED.findall(text))


def _error(doing: str, number: int, why: str) -> HostError:
    condition, next_step = _CONDITIONS.get(number, ("HostFailed", "see the controller's log"))
    return HostError(condition, f"cannot {doing}: {why}", next_step=next_step)


class Witness:
    """What the kernel counted before something began: after it failed, `shortage` says whether the host was short.

    `folders` are where it writes; the first one's disk counts as the store's.
    """

    def __init__(self, store: Path, images: Path) -> None:
        self._store, self._images = store, images
        self._refused = _forks_refused()

    def shortage(self, doing: str) -> HostError | None:
        """Return what the host lacked since; None where nothing shows that it lacked anything."""
        if _forks_refused() > self._refused or _tasks_are_short():
            return _error(doing, errno.EAGAIN, "the limit of processes and threads was met")
        if _files_are_short():
            return _error(doing, errno.ENFILE, "the system has no more files to open")
        capacity = capacity_of(self._store, self._images)
        if capacity.memory is not None and capacity.memory[0] < _LEAST_MEMORY:
            return _error(doing, errno.ENOMEM, f"only {capacity.memory[0] >> 20} MiB of memory are left")
        for figures, folder in ((capacity.store, self._store), (capacity.shared, self._images)):
            if figures is not None and figures[0] < _LEAST_DISK:
                return _error(doing, errno.ENOSPC, f"the disk of {folder} is full")
        return None


def _forks_refused() -> int:
    """Return how often the kernel refused a fork in our control group or one above it; 0 where it does not tell."""
    count = 0
    for folder in _pids_groups():
        try:
            words = (folder / "pids.events").read_text(encoding="ascii").split()
            count += int(words[words.index("max") + 1])
        except (OSError, ValueError, IndexError):
            continue
    return count


def _pids_groups() -> list[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers == "" or "pids" in controllers.split(","):
            root = Path("/sys/fs/cgroup", "pids" if controllers else "")
            here = root / path.strip("/")
            if (here / "pids.events").exists():
                return [here, *(each for each in here.parents if each.is_relative_to(root))]
    return []


def _tasks_are_short() -> bool:
    """Whether our user's limit of processes is nearly met; it binds nobody who may do everything (root)."""
    import resource  # noqa: PLC0415 - only where something failed

    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if limit == resource.RLIM_INFINITY or os.geteuid() == 0:
        return False
    tasks = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if entry.stat().st_uid == os.getuid():
                    tasks += len(os.listdir(f"/proc/{entry.name}/task"))  # noqa: PTH208 - as names
            except OSError:  # it has ended
                continue
    return tasks >= limit - _NEARLY_ALL


def _files_are_short() -> bool:
    try:
        used, _, most = map(int, Path("/proc/sys/fs/file-nr").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return False
    return used >= most
