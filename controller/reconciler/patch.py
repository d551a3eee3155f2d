"""The patch that would make git agree with what the controller did by itself. The controller never edits `desired/`."""

from __future__ import annotations

from collections.abc import Iterable

from controller.model.status import DeploymentStatus

_TEMPLATE = """\
# {name}: {reason}
apiVersion: procvision.dev/v1
kind: AlgorithmDeployment
metadata:
  name: {name}
spec:
  package:
    version: {version}
"""


def patch_for(name: str, version: str, reason: str) -> str:
    """Return a strategic-merge patch (kustomize's form) that desires the version that serves now."""
    return _TEMPLATE.format(name=name, version=_quoted(version), reason=" ".join(reason.split()))


def patches(deployments: Iterable[DeploymentStatus]) -> str:
    """Return the patches of all deployments as one multi-document text; empty where git and the station agree."""
    return "---\n".join(each.patch for each in deployments if each.patch)


def _quoted(version: str) -> str:
    """A version is text: `1.10` must not become a number for whoever reads the patch with an ordinary YAML library."""
    return f'"{version}"'
