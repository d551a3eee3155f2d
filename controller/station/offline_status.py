"""How a station stands, for a reader without a controller: the last status document, and what can be seen now.

Looked at anew: the processes, whether a daemon lives, whether the desired tree is still as it was read, what is left on
the host. Imports next to nothing: `pvctl status` must answer at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from controller.errors import StoreError
from controller.host.capacity import capacity_of
from controller.host.clock import epoch_seconds, utc_now
from controller.model.names import process_name
from controller.model.pressure import pressures, tokens
from controller.sources.fingerprint import fingerprint
from controller.store.layout import StoreLayout
from controller.store.lock import living_owner
from controller.store.status_shape import is_status

if TYPE_CHECKING:
    from controller.model.status_document import ConditionRow, DaemonRow, DeploymentRow, ProcessRow, StatusDocument


def read_offline_status(layout: StoreLayout, alive: Iterable[tuple[str, str, str, int, bool]]) -> StatusDocument:
    """Return the status document as of the last pass, with what can be seen to be otherwise by now.

    `alive` holds (deployment, name, version, replica, shadow) of every process that runs and is ready. One that was up
    and is gone is `exited`, its PIDs are not ready, its deployment has something to do, and the station is not
    converged; nor is it where the desired tree says something else than what is in force.

    Raises:
        StoreError: there is no status document, or it cannot be read.
    """
    document, age = _read(layout)
    running = set(alive)
    for process in document["processes"]:
        if _key(process) not in running and process["state"] in {"ready", "busy"}:
            process |= {"state": "exited", "os_pid": None, "rss_bytes": None, "cpu_percent": None}
            document["converged"] = False
            _tell_gone(document["deployments"], process)
    served = {(name, version) for _, name, version, _, shadow in running if not shadow}
    for pid in document["pids"]:
        active = pid["active"]
        pid["ready"] = bool(active and (active["name"], active["version"]) in served)
    document["daemon"] = _daemon(layout, document, age)
    _look_at_tree(layout, document)
    _look_at_host(layout, document)
    return document


def _read(layout: StoreLayout) -> tuple[StatusDocument, float]:
    """Return the document and how many seconds ago it was still so."""
    try:
        with layout.status.open("rb") as file:
            age = epoch_seconds() - os.fstat(file.fileno()).st_mtime
            document: object = json.loads(file.read())
    except FileNotFoundError:
        raise StoreError(
            f"the store {layout.root} has no status yet", next_step="run `pvctl reconcile --once` first"
        ) from None
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {layout.status}: {error}", next_step="run `pvctl reconcile --once`") from None
    if not is_status(document):
        raise StoreError(f"{layout.status} holds no status document", next_step="run `pvctl reconcile --once`")
    return cast("StatusDocument", document), max(0.0, age)


def _tell_gone(deployments: list[DeploymentRow], process: ProcessRow) -> None:
    """Let no deployment be called healthy whose process is gone."""
    for each in deployments:
        if each["name"] == process["deployment"] and each["phase"] == "Healthy":
            gone = process_name(*_key(process)[:4], shadow=process.get("shadow", False))
            each |= {"phase": "Progressing", "message": f"{gone} has ended; run `pvctl reconcile --once`"}


def _key(process: ProcessRow) -> tuple[str, str, str, int, bool]:
    slot = process["deployment"], process["name"], process["version"], process["replica"]
    return (*slot, process.get("shadow", False))


def _daemon(layout: StoreLayout, document: StatusDocument, age: float) -> DaemonRow:
    """Return whether a daemon lives: one that does not answer is alive all the same."""
    known = document.get("daemon")
    row: DaemonRow = {
        "alive": False,
        "os_pid": None,
        "started_at": None,
        "source": known["source"] if known else "",
        "age_s": round(age, 3),
    }
    owner = living_owner(layout)
    if owner is not None and owner.get("role", "run") == "run":
        os_pid, since = owner.get("os_pid"), owner.get("since")
        row |= {"alive": True, "os_pid": os_pid if isinstance(os_pid, int) else None}
        row["started_at"] = since if isinstance(since, str) else None
    return row


def _look_at_tree(layout: StoreLayout, document: StatusDocument) -> None:
    """Say whether the desired tree is otherwise by now; what it is, is asked only where its files have changed."""
    tree, revision = document.get("daemon", {}).get("source", ""), document["revision"]
    if not tree or revision.get("fingerprint") in {None, "", fingerprint(tree)}:
        return
    from controller.station.tree_check import check_tree

    problems, differs = check_tree(layout, tree)
    revision |= {"valid": not problems, "errors": list(problems), "tree_differs": differs}
    if problems or differs:
        document["converged"] = False
    if differs:
        reason = f"{tree} differs from the revision in force; `pvctl reconcile --once` or `pvctl run` takes it"
        document["waiting"].append({"what": "the desired tree", "until": None, "reason": reason})


def _look_at_host(layout: StoreLayout, document: StatusDocument) -> None:
    """Look anew at what is left; what only a daemon knows is gone with it."""
    known = {row["type"]: row for row in document.get("host", {}).get("conditions", ())}
    capacity, now = capacity_of(layout.root, layout.images), utc_now()
    rows: list[ConditionRow] = []
    found = pressures(capacity, {kind for kind, row in known.items() if row["status"]})
    for kind, holds, reason, message in (*found, *tokens(_trouble_of_tokens(layout))):
        same = kind in known and known[kind]["status"] == holds
        since = known[kind]["last_transition_time"] if same else now
        rows.append({
            "type": kind, "status": holds, "reason": reason, "message": message, "last_transition_time": since,
        })  # fmt: skip
    document["host"] = {
        "store_free_bytes": capacity.store[0] if capacity.store else None,
        "memory_store_free_bytes": capacity.shared[0] if capacity.shared else None,
        "memory_free_bytes": capacity.memory[0] if capacity.memory else None,
        "conditions": rows,
    }


def _trouble_of_tokens(layout: StoreLayout) -> str | None:
    """Return what is wrong with the tokens; None also where it is not for this user to see."""
    if not os.access(layout.tokens, os.R_OK):
        return None
    from controller.store.tokens import TokenFile

    return TokenFile(layout).trouble()
