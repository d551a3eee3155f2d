"""The part of a status document that is about one deployment or one PID."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from controller.cli.parser import did_you_mean
from controller.errors import Code, CodedError

if TYPE_CHECKING:
    from controller.model.status_document import DeploymentRow, StatusDocument


def about(name: str, document: StatusDocument) -> StatusDocument:
    """Return a status document whose rows are those of a deployment, or of a PID and its deployment.

    Raises:
        CodedError: 1003, the document knows no such name.
    """
    pids = [each for each in document["pids"] if each["deployment"] == name]
    if not any(each["name"] == name for each in document["deployments"]):
        pids = [each for each in document["pids"] if each["pid"] == name]
    owners = {name, *(each["deployment"] for each in pids)}
    deployments = [each for each in document["deployments"] if each["name"] in owners]
    if not pids and not deployments:
        raise _unknown(name, document)
    packages = {each["package"] for each in deployments}
    subjects = {*owners, *packages, *(each["pid"] for each in pids)}
    return cast(
        "StatusDocument",
        {
            **document,
            "deployments": deployments,
            "pids": pids,
            "processes": [each for each in document["processes"] if each["deployment"] in owners],
            "packages": [each for each in document["packages"] if each["name"] in packages],
            "waiting": [each for each in document["waiting"] if _parts(each["what"]) & subjects],
            "unmanaged": [],
        },
    )


def deployment_row(name: str, document: StatusDocument) -> DeploymentRow:
    """Return the row of a deployment, or of the one that has a PID of that name. Raises CodedError."""
    return about(name, document)["deployments"][0]


def _parts(what: str) -> set[str]:
    """Return the names in an object's name, such as `process/line/screw@1.0.0-0`."""
    return {part for piece in what.split("/") for part in (piece, piece.partition("@")[0])}


def _unknown(name: str, document: StatusDocument) -> CodedError:
    known = [*(each["name"] for each in document["deployments"]), *(each["pid"] for each in document["pids"])]
    return CodedError(
        Code.invalid_params,
        f"{name} is neither a deployment nor a PID of this station{did_you_mean(name, known)}",
        next_step="`pvctl status` shows all of them",
    )
