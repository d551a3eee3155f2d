"""A folder, or one file, of desired state as a source of revisions. Reads, never writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from controller.errors import DesiredStateError
from controller.host.clock import utc_now
from controller.model.desired import Revision, content_hash
from controller.sources.documents import Contents, read_documents
from controller.sources.fingerprint import fingerprint
from controller.sources.identity import git_revision
from controller.sources.nodes import Mapping, Mark, Node, Problem
from controller.sources.tree import Found, Listing, list_file, list_tree, read_bytes
from controller.sources.yaml_text import DEFAULT_LIMITS, Limits, YamlFile, read_yaml

Now = Callable[[], str]
_ATTEMPTS = 3


class Loaded(NamedTuple):
    """A revision, and a line for everything in its files that is taken and ignored."""

    revision: Revision
    notes: tuple[str, ...] = ()


class FolderSource:
    """The desired state in every `*.yaml` and `*.yml` below a folder. A path that is one file is that file alone."""

    def __init__(self, path: Path | str, *, now: Now = utc_now, limits: Limits = DEFAULT_LIMITS) -> None:
        self._path = Path(path)
        self._now = now
        self._limits = limits

    def load(self) -> Revision:
        """Return the folder's state as one revision; see `read`."""
        return self.read().revision

    def read(self) -> Loaded:
        """Return the folder's state, with what is passed over in it.

        Raises DesiredStateError with every problem in every file.

        A folder without documents is a revision without deployments. Files that change while they are read are read
        again, so that a revision is never a mixture of two states.
        """
        for _ in range(_ATTEMPTS):
            before = self._listing()
            contents = _read(before, self._limits)
            commit = self._commit(before)
            if self._listing() == before:
                return _loaded(contents, str(self._path), commit, self._now())
        message = "the files keep changing while they are read (expected them to be still); try again when they are"
        raise DesiredStateError((f"{self._path}: {message}",))

    def fingerprint(self) -> str:
        """Return a text that is another one whenever a file of the folder's state is another."""
        return fingerprint(str(self._path))

    def _commit(self, listing: Listing) -> str | None:
        return git_revision(self._path, {found.relative for found in listing.files}) if self._path.is_dir() else None

    def _listing(self) -> Listing:
        try:
            if self._path.is_file():
                return list_file(self._path)
            return list_tree(self._path)
        except FileNotFoundError:
            what = "there is no such folder; create it, or name another one with --desired DIR"
        except NotADirectoryError:
            what = "is no folder and no regular file; name the folder with --desired DIR"
        except OSError as error:
            what = f"cannot be read: {error.strerror}; make it readable for this user"
        raise DesiredStateError((f"{self._path}: {what}",))


def load_text(data: bytes, shown: str, *, now: Now = utc_now, limits: Limits = DEFAULT_LIMITS) -> Loaded:
    """Return what one file's text says, from wherever; `shown` is its name. Raises DesiredStateError."""
    read = read_yaml(data, shown, limits)
    return _loaded(_understood(_worth_reading(read), read.problems), shown, None, now())


def _read(listing: Listing, limits: Limits) -> Contents:
    problems = list(listing.problems)
    documents: list[Node] = []
    for found in listing.files:
        documents += _documents(found, limits, problems)
    return _understood(documents, problems)


def _understood(documents: Sequence[Node], problems: list[Problem]) -> Contents:
    contents = read_documents(documents)
    told = {problem.mark for problem in problems}
    contents.problems = problems + [problem for problem in contents.problems if problem.mark not in told]
    return contents


def _documents(found: Found, limits: Limits, problems: list[Problem]) -> Sequence[Node]:
    try:
        read = read_yaml(read_bytes(found, limits.size), found.shown, limits)
    except OSError as error:
        message = f"cannot be read: {error.strerror} (expected a readable file)"
        problems.append(Problem(Mark(found.shown, 1, 1), "", message))
        return ()
    problems += read.problems
    return _worth_reading(read)


def _worth_reading(read: YamlFile) -> list[Node]:
    # After a syntax error a scrap of text may look like a document; only a mapping is worth a second look.
    return [root for root in read.documents if isinstance(root, Mapping) or not read.problems]


def _loaded(contents: Contents, source: str, commit: str | None, loaded_at: str) -> Loaded:
    if contents.problems:
        raise DesiredStateError(tuple(str(problem) for problem in sorted(set(contents.problems))))
    deployments = tuple(contents.deployments)
    state = [
        [part.model_dump(mode="json", by_alias=True) for part in deployments],
        contents.policy.model_dump(mode="json"),
    ]
    revision = Revision(
        id=commit or f"sha256:{content_hash(state)[:16]}",
        source=source,
        loaded_at=loaded_at,
        deployments=deployments,
        policy=contents.policy,
    )
    return Loaded(revision, tuple(str(note) for note in contents.notes))
