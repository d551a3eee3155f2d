"""Retention: which installed versions and zips may go. Never one that something depends on or may go back to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from controller.model.actions import RemovePackage, RemoveZip
from controller.model.desired import Revision
from controller.model.observed import ActiveMapping, Observed
from controller.model.package import PackageRef


def surplus(revision: Revision, observed: Observed) -> tuple[RemovePackage | RemoveZip, ...]:
    """Return what retention removes now."""
    needed = _needed(revision, observed)
    return (*_surplus_packages(revision, observed, needed), *_surplus_zips(revision, observed, needed))


def exceeds(revision: Revision, observed: Observed) -> bool:
    """Whether there is more of anything than retention keeps: only then is it worth reading every way back."""
    installed: dict[str, int] = defaultdict(int)
    for ref in observed.installed:
        installed[ref.name] += 1
    zips = revision.policy.retention.zips
    return any(count > _versions_kept(revision, name) for name, count in installed.items()) or (
        zips is not None and len(observed.zips) > zips
    )


def _versions_kept(revision: Revision, name: str) -> int:
    """The largest number that any deployment of the package asks for, else the station's."""
    asked = [each.spec.retention.versions for each in revision.deployments if each.spec.package.name == name]
    return max(asked, default=revision.policy.retention.versions)


def _needed(revision: Revision, observed: Observed) -> frozenset[PackageRef]:
    """Everything active, running, desired, pinned, held, in quarantine, or some PID's way back."""
    active = (mapping.ref for mapping in observed.active.values() if isinstance(mapping, ActiveMapping))
    running = (key.ref for key in observed.processes)
    desired = (ref for each in revision.deployments for ref in (each.spec.ref, *each.spec.wanted.values()))
    held = (hold.package for hold in observed.holds.values())
    return frozenset((*active, *running, *desired, *held, *_remembered(observed), *_ways_back(observed)))


def _remembered(observed: Observed) -> Iterable[PackageRef]:
    for record in observed.records.values():
        yield from (each.package for each in record.quarantine)
        if record.rollout is not None:
            yield record.rollout.target
            yield from record.rollout.stable.values()
            yield from record.rollout.back.values()


def _ways_back(observed: Observed) -> Iterable[PackageRef]:
    """For each PID, the last version that it had before the present one and that is still installed."""
    for pid, history in observed.history.items():
        mapping = observed.active.get(pid)
        present = mapping.ref if isinstance(mapping, ActiveMapping) else None
        older = (entry.ref for entry in reversed(history) if entry.ref is not None and entry.ref != present)
        yield from [ref for ref in older if ref in observed.installed][:1]


def _surplus_packages(revision: Revision, observed: Observed, needed: frozenset[PackageRef]) -> Iterable[RemovePackage]:
    by_name: dict[str, list[PackageRef]] = defaultdict(list)
    newest_first = sorted(observed.installed.values(), key=lambda each: each.receipt.installed_at, reverse=True)
    for installation in newest_first:
        by_name[installation.ref.name].append(installation.ref)
    for name, refs in sorted(by_name.items()):
        kept = _versions_kept(revision, name)
        for ref in refs[kept:]:
            if ref not in needed:
                yield RemovePackage(ref, f"retention keeps the newest {kept} versions of {name}")


def _surplus_zips(revision: Revision, observed: Observed, needed: frozenset[PackageRef]) -> Iterable[RemoveZip]:
    kept = revision.policy.retention.zips
    if kept is None:
        return
    newest_first = sorted(observed.zips, key=lambda each: each.fingerprint[1] if each.fingerprint else 0, reverse=True)
    for record in newest_first[kept:]:
        if record.zip_name is not None and record.ref not in needed:
            yield RemoveZip(record.zip_name, f"retention keeps the newest {kept} zips")
