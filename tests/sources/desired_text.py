"""Desired-state texts that several tests start from."""

from __future__ import annotations

from pathlib import Path

from controller.model.desired import Revision
from controller.sources.folder import FolderSource


def deployment(name: str = "screw-check", pids: str = "[A01, A02]", more: str = "") -> str:
    """Return one document; `more` is added below its spec, indented by two spaces."""
    return (
        "apiVersion: procvision.dev/v1\nkind: AlgorithmDeployment\n"
        f"metadata: {{name: {name}}}\nspec:\n  package: {{name: screw-check, version: 1.1.0}}\n  pids: {pids}\n{more}"
    )


def policy(spec: str) -> str:
    return f"apiVersion: procvision.dev/v1\nkind: StationPolicy\nmetadata: {{name: default}}\nspec: {spec}\n"


def load(folder: Path, **files: str) -> Revision:
    """Write `name=text` as name.yaml and load the folder."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return FolderSource(folder, now=lambda: "2026-01-01T00:00:00Z").load()


FROM_KUSTOMIZE = """
apiVersion: procvision.dev/v1
kind: AlgorithmDeployment
x-common: &common
  x-inner: {any: [thing]}
  timeouts: {call: 7s}
  pinned: {x-1: 0.9.0}
metadata:
  name: screws
  namespace: line-a
  creationTimestamp: null
  labels: {x-team: vision}
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion": "procvision.dev/v1"}
    config.kubernetes.io/index: 3
    empty:
spec:
  <<: *common
  x-note: [free]
  package: {name: screw-check, version: 1.0.0, x-built: yesterday}
  pids: [A01, x-1]
  strategy: {canary: {steps: [{setWeight: 50, x-why: half}], x-more: 1}}
"""
"""As `kustomize build` and `kubectl` write a document, with anchors as people keep them in compose files."""
