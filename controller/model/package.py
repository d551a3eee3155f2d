"""What a package is: its identity, its manifest, and the receipt of its installation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

PackageState = Literal["discovered", "validated", "installed", "invalid"]


@dataclass(frozen=True, slots=True, order=True)
class PackageRef:
    """Name and version: what an operator writes. Together with the digest it is one immutable artefact."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@lru_cache(maxsize=4096)
def package_ref(name: str, version: str) -> PackageRef:
    """Return the reference, the same object each time: a pass asks for it many times for every PID."""
    return PackageRef(name, version)


@dataclass(frozen=True, slots=True)
class RequiredAsset:
    """A file that a package needs, relative to its root; `key` is what the manifest wants it for (`A02/model`)."""

    path: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.path}" if self.key else self.path


@dataclass(frozen=True, slots=True)
class Manifest:
    """The checked content of a `manifest.json`. `supported_pids` is None where the package declares none.

    `steps` is as the manifest has it: objects with `params`, of which SDK 0.0.x says `key`, `type`, `default` and more.
    """

    name: str
    version: str
    entry_point: str
    description: str = ""
    supported_pids: tuple[str, ...] | None = None
    required_assets: tuple[RequiredAsset, ...] = ()
    steps: tuple[dict[str, Any], ...] = ()

    @property
    def ref(self) -> PackageRef:
        return PackageRef(self.name, self.version)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Written last into `deployed/<name>/<version>/receipt.json`: the proof that an installation is complete.

    `working_directory` and `python_path` are relative to the installation: `src` and nothing where the zip was laid
    out flat or in one top folder, `.` and `src` where the zip itself had `manifest.json` beside `src/`. `steps` are the
    manifest's; none where a release that did not know them installed it: then parameters are not checked.
    """

    name: str
    version: str
    digest: str
    entry_point: str
    supported_pids: tuple[str, ...] | None
    working_directory: str
    python_path: tuple[str, ...]
    interpreter: str
    python_version: str
    sdk_version: str
    wheels: tuple[str, ...]
    installed_at: str
    description: str = ""
    steps: tuple[Mapping[str, Any], ...] = ()

    @property
    def ref(self) -> PackageRef:
        return PackageRef(self.name, self.version)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of a zip came to, without installing it: its error, or None where it is valid."""

    digest: str
    code: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """One row of the registry and of the status document.

    `zip_name` and `fingerprint` (size, mtime in ns, inode) tie a record to the zip it was read from, so that an
    unchanged zip is not read again; both are None for a package whose zip is gone. `verdict` is what is known of the
    zip's content without installing it.
    """

    name: str
    version: str
    digest: str
    state: PackageState
    error_code: int | None = None
    reason: str = ""
    supported_pids: tuple[str, ...] | None = None
    zip_name: str | None = None
    fingerprint: tuple[int, int, int] | None = None
    verdict: Verdict | None = None

    @property
    def ref(self) -> PackageRef:
        return PackageRef(self.name, self.version)


@dataclass(frozen=True, slots=True)
class Installation:
    """An installed package as found on disk: the receipt and the folder (absolute) that holds it."""

    receipt: Receipt
    folder: str

    @property
    def ref(self) -> PackageRef:
        return self.receipt.ref
