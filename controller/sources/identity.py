"""The name of a revision: the git commit of the folder it was read from, where there is one.

One commit has one name only while the files below the folder are those of the commit; else `-dirty` is added.
Whatever git cannot answer (no git, no repository, no commit yet, not ours to read) is no error: the caller then
names the revision by its content.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection
from pathlib import Path, PurePosixPath

_GIT = ("git", "--no-pager", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
# Set by git around hooks: they would point at the repository of the hook and not at that of the folder.
_POINTERS = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"}
_SECONDS = 20


def git_revision(folder: Path, files: Collection[str]) -> str | None:
    """Return the commit of `folder`, with `-dirty` when anything below it differs, or None.

    `files` are the paths, relative to the folder, of the files that were loaded: one that git ignores or does not
    track makes the folder dirty too. None as well when git ignores them all: then they are not kept there.
    """
    where = _git(folder, "rev-parse", "--is-inside-work-tree", "--show-prefix", "HEAD")
    answers = where.split("\n") if where is not None else []
    if len(answers) < 3 or answers[0] != "true":
        return None
    prefix, commit = answers[1], answers[2]
    listed = _git(
        folder, "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignored=traditional",
        "--", ".",
    )  # fmt: skip
    if listed is None:
        return None
    states = {line[3:].removeprefix(prefix): line[:2] for line in listed.split("\0") if line}
    if files and all(_is_ignored(name, states) for name in files):
        return None
    changed = any(state not in {"??", "!!"} for state in states.values())
    unknown = any(name in states or _is_ignored(name, states) for name in files)
    return f"{commit}-dirty" if changed or unknown else commit


def _is_ignored(name: str, states: dict[str, str]) -> bool:
    """Whether git ignores a file, by its own name or by that of a folder above it."""
    folders = (f"{parent}/" for parent in PurePosixPath(name).parents)
    return any(states.get(path) == "!!" for path in (name, "./", "", *folders))


def _git(folder: Path, *arguments: str) -> str | None:
    environment = {key: value for key, value in os.environ.items() if key not in _POINTERS}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [*_GIT, *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None
