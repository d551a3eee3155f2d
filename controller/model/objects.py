"""What a controller acts on: the slot of a process, and a reference to any object, as values that nobody parses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from controller.model.package import PackageRef, package_ref

_UNMANAGED = "_unmanaged."
"""Begins what stands in place of a deployment's name; no name in a tree may begin so."""
ObjectKind = Literal["package", "process", "pid", "rollout", "deployment", "zip", "registry", "holds"]


def unmanaged_name(package: str) -> str:
    """Return what stands in place of a deployment's name for PIDs that no deployment has, one for each package."""
    return _UNMANAGED + package


def is_unmanaged(deployment: str) -> bool:
    """Whether a name stands for the PIDs of a package that no deployment has."""
    return deployment.startswith(_UNMANAGED)


@dataclass(frozen=True, slots=True, order=True)
class ProcessKey:
    """Identity of a process slot: deployment (see also `unmanaged_name`), package version, replica number (from 0)."""

    deployment: str
    name: str
    version: str
    replica: int = 0

    @property
    def ref(self) -> PackageRef:
        return package_ref(self.name, self.version)

    def __str__(self) -> str:
        return f"{self.deployment}/{self.name}@{self.version}-{self.replica}"


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
        """Whether it is a deployment's own: itself, its rollout or one of its processes."""
        if isinstance(self.name, ProcessKey):
            return self.name.deployment == deployment
        return self.kind in {"deployment", "rollout"} and self.name == deployment
