"""Where a wanted package can come from, which PIDs it may serve, and why not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from controller.errors import Code
from controller.model.objects import ObjectRef
from controller.model.observed import Observed
from controller.model.package import PackageRef


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a package can be had: installed, or from `zip_name`; or not at all, and then `problem` says why."""

    package: PackageRef
    digest: str = ""
    installed: bool = False
    zip_name: str = ""
    supported_pids: tuple[str, ...] | None = None
    problem: str = ""
    code: Code | None = None
    next_step: str = ""


def resolve(package: PackageRef, digest: str | None, observed: Observed) -> Resolution:
    """Return where `package` can come from; with `digest`, only that artefact will do."""
    installation = observed.installed.get(package)
    if installation is not None:
        receipt = installation.receipt
        if digest is not None and receipt.digest != digest:
            return Resolution(
                package,
                problem=f"{package} is installed with digest {receipt.digest}, the desired state wants {digest}",
                code=Code.invalid_zip,
                next_step=f"publish a new version, or `pvctl uninstall {package.name} {package.version}` first",
            )
        return Resolution(package, receipt.digest, installed=True, supported_pids=receipt.supported_pids)
    return _from_zips(package, digest, observed)


def _from_zips(package: PackageRef, digest: str | None, observed: Observed) -> Resolution:
    zips, failure = observed.zips, observed.failures.get(ObjectRef("package", package))
    candidates = [record for record in zips if record.ref == package and record.zip_name is not None]
    fitting = [record for record in candidates if digest is None or record.digest == digest]
    if fitting:
        # of several zips that claim one name and version, each is tried before one is tried again
        failed = {each.digest: each.retry_at for each in (failure, *failure.others)} if failure else {}
        chosen = min(fitting, key=lambda record: failed.get(record.digest, float("-inf")))
        return Resolution(
            package, chosen.digest, zip_name=chosen.zip_name or "", supported_pids=chosen.supported_pids
        )  # fmt: skip
    if candidates:
        found = ", ".join(f"{record.zip_name} ({record.digest})" for record in candidates)
        return Resolution(
            package,
            problem=f"{package} is wanted with digest {digest}; the zips here have another: {found}",
            code=Code.invalid_zip,
            next_step="deliver the zip with that digest, or correct spec.package.digest",
        )
    unreadable = [record.zip_name or "" for record in zips if record.state == "invalid" and not record.version]
    others = sorted({record.version for record in zips if record.name == package.name and record.version})
    hint = f"; of {package.name} there is {', '.join(others)}" if others else ""
    hint += f" (not readable: {', '.join(unreadable)})" if unreadable else ""
    return Resolution(
        package,
        problem=f"{package} is not installed and no zip in algorithms/zips holds it{hint}",
        next_step="copy its offline zip there, in the store, or correct spec.package",
    )


def unsupported_pids(resolution: Resolution, pids: Iterable[str], *, allow_undeclared: bool) -> tuple[str, ...]:
    """Return those of `pids` that the package may not serve (2006)."""
    if resolution.supported_pids is None:
        return () if allow_undeclared else tuple(pids)
    supported = _as_set(resolution.supported_pids)
    return tuple(pid for pid in pids if pid not in supported)


@lru_cache(maxsize=64)
def _as_set(pids: tuple[str, ...]) -> frozenset[str]:
    return frozenset(pids)


def unsupported_reason(resolution: Resolution, pids: Sequence[str]) -> tuple[str, str]:
    """Return what is wrong with those PIDs and what to do about it."""
    names, quoted = ", ".join(pids), ", ".join(f'"{pid}"' for pid in pids)
    if resolution.supported_pids is None:
        declare = f'add "supported_pids": [{quoted}] to its manifest.json and pack it again'
        return (
            f"{resolution.package} declares no supported_pids, so it may not serve {names}",
            f"{declare}, or set allowUndeclaredPids: true in the StationPolicy",
        )
    return (
        f"{resolution.package} does not support {names}; it supports {', '.join(resolution.supported_pids) or 'none'}",
        "deploy a package that supports them, or take them out of pids",
    )
