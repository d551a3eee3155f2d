"""From trees of text to deployments and a policy, with the rules between documents. Collects, never raises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from controller.model.desired import Deployment, PolicySpec, StationPolicy, pid_conflicts, weight_conflicts
from controller.model.document import Conflict, did_you_mean, one_of
from controller.model.units import parse_weight, shown
from controller.sources import nodes
from controller.sources.explain import explain, problem_at
from controller.sources.nodes import Entry, Mapping, Mark, Node, Problem, descend, plain, text_of
from controller.sources.schema import DOCUMENTS

_Model = TypeVar("_Model", Deployment, StationPolicy)


@dataclass(slots=True)
class Contents:
    """What the documents of a tree say, everything that is wrong with them, and what is passed over."""

    deployments: list[Deployment] = field(default_factory=list)
    policy: PolicySpec = field(default_factory=PolicySpec)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


def read_documents(documents: Sequence[Node]) -> Contents:
    """Validate the documents of a whole tree together; the policy's defaults go below each deployment's own values."""
    contents = Contents()
    by_kind: dict[str, list[Mapping]] = {kind: [] for kind in DOCUMENTS}
    for root in documents:
        if isinstance(root, Mapping):
            kind = _kind(root, contents.problems)
            if kind:
                by_kind[kind].append(root)
        else:
            message = f"the document is {shown(plain(root))} (expected a mapping with apiVersion, kind, metadata)"
            contents.problems.append(Problem(root.mark, "", message))
    policies, deployments = by_kind["StationPolicy"], by_kind["AlgorithmDeployment"]
    for policy in policies:
        if valid := _validated(StationPolicy, policy, contents.problems):
            contents.policy = valid.spec
    reported = {problem.mark for problem in contents.problems}
    for deployment in deployments:
        _read_deployment(deployment, policies[0] if policies else None, reported, contents)
    contents.notes += _namespaces([*policies, *deployments])
    contents.problems += _one_policy(policies)
    contents.problems += _unique_names(deployments)
    contents.problems += _unique_pids(deployments)
    contents.deployments.sort(key=lambda deployment: deployment.name)
    return contents


def _read_deployment(root: Mapping, policy: Mapping | None, reported: set[Mark], contents: Contents) -> None:
    whole = _with_defaults(root, policy) if policy else root
    problems: list[Problem] = []
    if valid := _validated(Deployment, whole, problems):
        contents.deployments.append(valid)
    else:
        told = {(problem.path, problem.message) for problem in problems}
        conflicts = (problem_at(whole, ("spec", *found.at), found.message) for found in _conflicts(whole))
        problems += [found for found in conflicts if (found.path, found.message) not in told]
    # A mistake in the policy's defaults is told once, at the policy, and not again for each deployment.
    contents.problems += [problem for problem in problems if problem.mark not in reported]


def _validated(model: type[_Model], root: Mapping, problems: list[Problem]) -> _Model | None:
    try:
        return model.model_validate(plain(root))
    except ValidationError as error:
        problems.extend(explain(error, _closest_kind(root), root))
        return None


def _kind(root: Mapping, problems: list[Problem]) -> str:
    """Return the kind to validate a document as; the nearest one when the word is misspelt, none when unknowable."""
    written = text_of(descend(root, "kind"))
    if written in DOCUMENTS:
        return written
    if "kind" not in root.entries:
        problems.append(Problem(root.mark, "kind", f"is missing (expected {one_of(list(DOCUMENTS))})"))
    elif not (kind := _closest_kind(root)):
        value = root.entries["kind"].value
        message = f"got {shown(plain(value))} (expected {one_of(list(DOCUMENTS))})"
        problems.append(Problem(value.mark, "kind", message))
    else:
        return kind
    return ""


def _closest_kind(root: Mapping) -> str:
    written = text_of(descend(root, "kind")) or ""
    return next((kind for kind in DOCUMENTS if did_you_mean(written, DOCUMENTS) == f"; did you mean {kind}?"), "")


def _with_defaults(root: Mapping, policy: Mapping) -> Mapping:
    spec = descend(root, "spec")
    if not isinstance(spec, Mapping):
        return root
    defaults = Mapping(policy.mark)
    for name in ("health", "timeouts", "recording"):
        _carry(defaults, name, descend(policy, "spec", "defaults", name))
    retention = Mapping(policy.mark)
    _carry(retention, "versions", descend(policy, "spec", "retention", "versions"))
    _carry(defaults, "retention", retention if retention.entries else None)
    whole = Mapping(root.mark, dict(root.entries))
    whole.add("spec", Entry(root.entries["spec"].key, nodes.merged(defaults, spec)))
    return whole


def _carry(into: Mapping, name: str, node: Node | None) -> None:
    if node is not None:
        into.add(name, Entry(node.mark, node))


def _conflicts(root: Mapping) -> Iterator[Conflict]:
    """Yield what the model's own check would, for a spec that it did not reach because a field is wrong."""
    spec = descend(root, "spec")
    canary = descend(spec, "strategy", "canary")
    pids, order, critical = (_texts(node) for node in (
        descend(spec, "pids"), descend(canary, "order"), descend(canary, "critical"))
    )  # fmt: skip
    pinned = descend(spec, "pinned")
    if pids:
        yield from pid_conflicts(pids, pinned.entries if isinstance(pinned, Mapping) else {}, order, critical)
    steps = descend(canary, "steps")
    if isinstance(steps, nodes.Sequence):
        yield from weight_conflicts([_weight(step) for step in steps.items])


def _texts(node: Node | None) -> list[str]:
    items = node.items if isinstance(node, nodes.Sequence) else []
    texts = [text for item in items if (text := text_of(item)) is not None]
    return texts if len(texts) == len(items) else []


def _weight(step: Node) -> int | None:
    try:
        return parse_weight(text_of(descend(step, "setWeight")))
    except ValueError:
        return None


def _namespaces(roots: Sequence[Mapping]) -> Iterator[Problem]:
    """Yield one note for all the namespaces of a tree: whoever wrote them may count on them."""
    found = [node for root in roots if (node := descend(root, "metadata", "namespace")) is not None]
    if found:
        others = f"; so it is in {len(found) - 1} other documents" if len(found) > 1 else ""
        yield Problem(found[0].mark, "metadata.namespace", f"is ignored: a station has no namespaces{others}")


def _one_policy(policies: Sequence[Mapping]) -> Iterator[Problem]:
    for policy in policies[1:]:
        message = f"a second StationPolicy; the first is at {policies[0].mark} (expected at most one in the tree)"
        yield Problem(policy.mark, "kind", message)


def _unique_names(deployments: Sequence[Mapping]) -> Iterator[Problem]:
    first: dict[str, Node] = {}
    for deployment in deployments:
        node = descend(deployment, "metadata", "name")
        name = text_of(node)
        if node is None or name is None:
            continue
        other = first.setdefault(name.casefold(), node)
        if other is not node:
            same = text_of(other) == name
            what = f"deployment {shown(name)} is there twice" if same else (
                f"deployment {shown(name)} differs only in case from {shown(text_of(other))}"
            )  # fmt: skip
            message = f"{what}, first at {other.mark} (expected each name once)"
            yield Problem(node.mark, "metadata.name", message)


def _unique_pids(deployments: Sequence[Mapping]) -> Iterator[Problem]:
    first: dict[str, tuple[Mapping, Node]] = {}
    for deployment in deployments:
        pids = descend(deployment, "spec", "pids")
        for index, node in enumerate(pids.items if isinstance(pids, nodes.Sequence) else ()):
            pid = text_of(node)
            owner, other = first.setdefault((pid or "").casefold(), (deployment, node))
            if pid is None or owner is deployment:
                continue
            name = shown(text_of(descend(owner, "metadata", "name")))
            claimed = "" if text_of(other) == pid else f" as {shown(text_of(other))}"
            message = (
                f"PID {shown(pid)} is also claimed by deployment {name}{claimed} at {other.mark} "
                "(expected each PID in one deployment)"
            )
            yield Problem(node.mark, f"spec.pids[{index}]", message)
