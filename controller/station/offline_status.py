"""How a station stands, for a reader without a controller: the last status document, its processes looked at anew.

Imports next to nothing: `pvctl status` must answer at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from controller.errors import StoreError
from controller.store.layout import StoreLayout
from controller.store.status_shape import is_status

if TYPE_CHECKING:
    from controller.model.status_document import DeploymentRow, ProcessRow, StatusDocument


def read_offline_status(layout: StoreLayout, alive: Iterable[tuple[str, str, str, int]]) -> StatusDocument:
    """Return the status document as of the last pass, with the state of each process as it is now.

    `alive` holds (deployment, name, version, replica) of every process that runs and is ready. A process that was up
    and is gone is `exited`, its PIDs are not ready, its deployment has something to do, and the station is not
    converged.

    Raises:
        StoreError: there is no status document, or it cannot be read.
    """
    document = _read(layout)
    running = set(alive)
    for process in document["processes"]:
        if _key(process) not in running and process["state"] in {"ready", "busy"}:
            process |= {"state": "exited", "os_pid": None, "rss_bytes": None, "cpu_percent": None}
            document["converged"] = False
            _tell_gone(document["deployments"], process)
    served = {(name, version) for _, name, version, _ in running}
    for pid in document["pids"]:
        active = pid["active"]
        pid["ready"] = bool(active and (active["name"], active["version"]) in served)
    return document


def _read(layout: StoreLayout) -> StatusDocument:
    try:
        document: object = json.loads(layout.status.read_bytes())
    except FileNotFoundError:
        raise StoreError(
            f"the store {layout.root} has no status yet", next_step="run `pvctl reconcile --once` first"
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {layout.status}: {error}", next_step="run `pvctl reconcile --once`") from None
    if not is_status(document):
        raise StoreError(f"{layout.status} holds no status document", next_step="run `pvctl reconcile --once`")
    return cast("StatusDocument", document)


def _tell_gone(deployments: list[DeploymentRow], process: ProcessRow) -> None:
    """Let no deployment be called healthy whose process is gone."""
    for each in deployments:
        if each["name"] == process["deployment"] and each["phase"] == "Healthy":
            gone = f"{process['deployment']}/{process['name']}@{process['version']}-{process['replica']}"
            each |= {"phase": "Progressing", "message": f"{gone} has ended; run `pvctl reconcile --once`"}


def _key(process: ProcessRow) -> tuple[str, str, str, int]:
    return process["deployment"], process["name"], process["version"], process["replica"]
