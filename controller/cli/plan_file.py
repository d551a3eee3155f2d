"""The file of `pvctl plan --out` and `pvctl reconcile --plan`: what a plan promised, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from controller.errors import ControllerError
from controller.station.commands.reconciling import PlannedChanges

_KIND = {"apiVersion": "procvision.dev/v1", "kind": "Plan"}
_MAKE = "make it with `pvctl plan --out`"


def write_plan(file: Path, plan: PlannedChanges) -> None:
    """Write a plan. Raises OSError."""
    file.write_text(json.dumps({**_KIND, **asdict(plan)}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_plan(file: Path) -> PlannedChanges:
    """Read a plan. Raises ControllerError where the file is none."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ControllerError(f"cannot read {file}: {error.strerror}", next_step=_MAKE) from None
    except ValueError:
        document = None
    match document:
        case {"apiVersion": "procvision.dev/v1", "kind": "Plan", "revision": str(revision),
              "generations": dict(generations), "changes": list(changes)}:  # fmt: skip
            texts = {str(name): str(value) for name, value in generations.items()}
            return PlannedChanges(revision, texts, tuple(map(str, changes)))
    raise ControllerError(f"{file} holds no plan", next_step=_MAKE)
