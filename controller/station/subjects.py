"""What an operator's word may mean: a deployment, a PID, or neither; and the sentence for whoever meant another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from controller.errors import Code, CodedError, NotApplicable, NotFound
from controller.model.document import did_you_mean, one_of

if TYPE_CHECKING:
    from controller.model.desired import Revision
    from controller.model.observed import Observed
    from controller.station.commands.operator import SubjectKind


def refused(message: str, next_step: str) -> CodedError:
    """Return the error for a command that does not apply (1003)."""
    return NotApplicable(Code.invalid_params, message, next_step=next_step)


def _not_there(message: str, next_step: str) -> CodedError:
    return NotFound(Code.invalid_params, message, next_step=next_step)


def no_deployment(name: str, revision: Revision, verb: str = "") -> CodedError:
    """Return the error for a word that is no deployment; of a PID it says which deployment has it."""
    if owner := revision.by_pid.get(name):
        instead = f"`pvctl {verb} {owner.name}`" if verb else f"name deployment {owner.name}"
        return _not_there(f"{name} is a PID, not a deployment; deployment {owner.name} has it", instead)
    names = list(revision.by_name)
    return _not_there(f"there is no deployment {name}{did_you_mean(name, names)}", _there_are("deployments", names))


def no_subject(word: str, revision: Revision, kind: SubjectKind = "any") -> CodedError:
    """Return the error for a word that is neither a deployment nor a PID, or not the one that was asked for."""
    if kind == "pid" and (deployment := revision.by_name.get(word)):
        pids = one_of(deployment.spec.pids)
        return _not_there(f"{word} is a deployment, not a PID", f"name one of its PIDs: {pids}")
    known = [*revision.by_pid, *([] if kind == "pid" else revision.by_name)]
    what = "no PID" if kind == "pid" else "neither a deployment nor a PID"
    return _not_there(f"{word} is {what} of the desired state{did_you_mean(word, known)}", _there_are("names", known))


def no_way_back(pid: str, to: str | None, observed: Observed) -> CodedError:
    """Return the error for a rollback that has nowhere to go; says which versions the PID could go to."""
    present = observed.mapped_ref(pid)
    before = {entry.ref: None for entry in reversed(observed.history.get(pid, ())) if entry.ref is not None}
    versions = [ref.version for ref in before if ref in observed.installed and ref != present]
    if to is None:
        why = "its older versions are in quarantine" if versions else "no older version is installed"
    elif any(ref.version == to for ref in before):
        why = f"version {to} is not installed any more"
    else:
        why = f"version {to} was never active there"
    there = f"`--to` takes {one_of(versions)}" if versions else "it has no other version to go to"
    return refused(f"cannot roll {pid} back: {why}", f"{there}; see `pvctl history {pid}`")


def installed_instead(name: str, observed: Observed) -> str:
    """Say what there is instead of a package that is not installed."""
    versions = [ref.version for ref in observed.installed if ref.name == name]
    if versions:
        return f"installed of {name}: {', '.join(versions)}"
    names = sorted({ref.name for ref in observed.installed})
    return f"installed are {', '.join(names)}{did_you_mean(name, names)}" if names else "nothing is installed"


def _there_are(what: str, names: Iterable[str]) -> str:
    found = sorted(names)
    return f"the {what} are {one_of(found)}" if found else "see `pvctl status`"
