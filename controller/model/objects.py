"""What a controller acts on: the slot of a process, and a reference to any object, as values that nobody parses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from controller.model.names import process_name
from controller.model.package import PackageRef, package_ref

_UNMANAGED = "_unmanaged."
"""Begins what stands in place of a deployment's name; no name in a tree may begin so."""
ObjectKind = Literal["package", "process", "pid", "rollout", "deployment", "zip", "registry", "holds", "replay"]


def unmanaged_name(package: str) -> str:
    """Return what stands in place of a deployment's name for PIDs that no deployment has, one for each package."""
    return _UNMANAGED + package


def is_unmanaged(deployment: str) -> bool:
    """Whether a name stands for the PIDs of a package that no deployment has."""
    return deployment.startswith(_UNMANAGED)


@dataclass(frozen=True, slots=True, order=True)
class ProcessKey:
    """Identity of a process slot: deployment (see also `unmanaged_name`), package version, replica number (from 0).

    `shadow`: not one of the line. It gets pictures of calls that are answered, and no PID is ever answered by it.
    """

    deployment: str
    name: str
    version: str
    replica: int = 0
    shadow: bool = field(default=False, kw_only=True)

    @property
    def ref(self) -> PackageRef:
        return package_ref(self.name, self.version)

    def __str__(self) -> str:
        return process_name(self.deployment, self.name, self.version, self.replica, shadow=self.shadow)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return what `to_document` wrote. Raises TypeError where it says more than is known here: see there."""
        return cls(**document)

    def to_document(self) -> dict[str, Any]:
        """Return it as records have it.

        Only a shadow is called one. An earlier release, which does not know them, so reads every other record, and ends
        a shadow instead of giving it calls: no record that it can read leads to that process.
        """
        document = asdict(self)
        return document if self.shadow else {key: value for key, value in document.items() if key != "shadow"}


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object of a station. As text, for people and records: `package/x@1`, `process/d/x@1-0`, `pid/A01`, …

    `name` is a package's reference, a process's key, and otherwise a name; empty where there is only one of the kind.
    """

    kind: ObjectKind
    name: str | PackageRef | ProcessKey = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}" if self.name else self.kind

    def belongs_to(self, deployment: str) -> bool:
        """Whether it is a deployment's own: itself, its rollout, the replay of that, or one of its processes."""
        if isinstance(self.name, ProcessKey):
            return self.name.deployment == deployment
        return self.kind in {"deployment", "rollout", "replay"} and self.name == deployment
