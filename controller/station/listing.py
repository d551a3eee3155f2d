"""Lists of what a store holds and what answers its PIDs, as of this moment. Pure."""

from __future__ import annotations

from collections import defaultdict

from controller.model.desired import Revision
from controller.model.observed import ActiveMapping, Observed
from controller.model.package import PackageRef
from controller.planning.registry_rows import registry_rows
from controller.station.commands.activating import ActivePid, ActivePids, ListActive
from controller.station.commands.packages import ListPackages, PackageRow, PackageRows


def packages_of(observed: Observed, query: ListPackages) -> PackageRows:
    """Return the packages that a query asks for, with the PIDs that each answers."""
    active: dict[PackageRef, list[str]] = defaultdict(list)
    for pid in observed.active:
        if (ref := observed.active_ref(pid)) is not None:
            active[ref].append(pid)
    rows = (
        PackageRow(
            each.name, each.version, each.digest, each.state, each.error_code, each.reason, each.supported_pids,
            each.zip_name, tuple(sorted(active[each.ref])) if each.state == "installed" else (),
        )
        for each in registry_rows(observed.zips, observed.installed, observed.failures)
        if query.state in {None, each.state} and query.name in {None, each.name}
    )  # fmt: skip
    return PackageRows(tuple(sorted(rows, key=lambda row: (row.name, row.version, row.zip or ""))))


def active_pids_of(revision: Revision, observed: Observed, query: ListActive) -> ActivePids:
    """Return which version answers the PIDs that a query asks for; a damaged mapping names none."""
    rows = (
        ActivePid(
            pid, mapping.name, mapping.version, mapping.activated_at,
            owner.name if (owner := revision.by_pid.get(pid)) else None,
            pid in observed.holds, mapping.ref in observed.installed,
        )
        for pid, mapping in sorted(observed.active.items())
        if isinstance(mapping, ActiveMapping) and (not query.pids or pid in query.pids)
    )  # fmt: skip
    return ActivePids(tuple(rows))
