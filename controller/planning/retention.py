"""Retention: which installed versions and zips may go. Never one that something depends on or may go back to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from controller.model.actions import RemovePackage, RemoveZip
from controller.model.desired import Revision
from controller.model.observed import Observed
from controller.model.package import Installation, PackageRef
from controller.planning.needs import needs


def surplus(revision: Revision, observed: Observed) -> tuple[RemovePackage | RemoveZip, ...]:
    """Return what retention removes now."""
    if not exceeds(revision, observed):
        return ()
    kept = _kept(revision, observed)
    return (*_surplus_packages(revision, observed, kept), *_surplus_zips(revision, observed, kept))


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


def _kept(revision: Revision, observed: Observed) -> frozenset[PackageRef]:
    """What must not go: whatever something needs and, as evidence, what is in quarantine."""
    quarantined = (each.package for record in observed.records.values() for each in record.quarantine)
    return frozenset((*(need.package for need in needs(revision, observed)), *quarantined))


def _surplus_packages(revision: Revision, observed: Observed, kept: frozenset[PackageRef]) -> Iterable[RemovePackage]:
    by_name: dict[str, list[Installation]] = defaultdict(list)
    newest_first = sorted(observed.installed.values(), key=lambda each: each.receipt.installed_at, reverse=True)
    for installation in newest_first:
        by_name[installation.ref.name].append(installation)
    for name, installations in sorted(by_name.items()):
        newest = _versions_kept(revision, name)
        reason = f"retention keeps the newest {newest} versions of {name}"
        for surplus in installations[newest:]:
            if surplus.ref not in kept:
                yield RemovePackage(surplus.ref, reason, digest=surplus.receipt.digest)


def _surplus_zips(revision: Revision, observed: Observed, kept: frozenset[PackageRef]) -> Iterable[RemoveZip]:
    newest = revision.policy.retention.zips
    if newest is None:
        return
    newest_first = sorted(observed.zips, key=lambda each: each.fingerprint[1] if each.fingerprint else 0, reverse=True)
    for record in newest_first[newest:]:
        if record.zip_name is not None and record.ref not in kept:
            yield RemoveZip(record.zip_name, f"retention keeps the newest {newest} zips")
