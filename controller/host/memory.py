"""How this process takes memory from the system and gives it back: settings of the C library's allocator.

The allocator makes an arena for almost every thread, and never gives back the end of any but the first; a thread that
once held much, such as one that installed a package, keeps it. The interpreter lets one thread allocate at a time
anyway, so one arena is enough, and that one can be given back whole.
"""

from __future__ import annotations

import ctypes
from functools import cache

_M_ARENA_MAX = -8


def use_one_arena() -> None:
    """Have threads that begin later allocate where the first does. Without effect where the C library has no such."""
    if hasattr(libc := _libc(), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return to the system what was freed. Blocks for about a millisecond: call it in a thread, and seldom."""
    if hasattr(libc := _libc(), "malloc_trim"):
        libc.malloc_trim(0)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
