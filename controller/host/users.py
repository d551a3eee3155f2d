"""The system's users and groups, by name."""

from __future__ import annotations

import grp
import os
import pwd


def name_of(uid: int) -> str:
    """Return a user's name; `uid N` where it has none, as a container's user may."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def own_name() -> str:
    """Return the name of the user that runs this process."""
    return name_of(os.getuid())


def group_id(name: str) -> int | None:
    """Return the number of a group; None where none has that name."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
