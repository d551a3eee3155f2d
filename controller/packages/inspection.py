"""The static check of a package: everything that can be judged without writing or running anything of it."""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from controller.errors import Code, PackageError
from controller.model.package import Manifest
from controller.packages.archive import Archive
from controller.packages.contents import Contents, Shape, find_root, lay_out
from controller.packages.decompression import CHUNK
from controller.packages.interpreters import Interpreter, Interpreters, Unusable
from controller.packages.manifest import decode_text, parse_manifest
from controller.packages.names import invalid_zip
from controller.packages.requirements import PinnedRequirement, parse_requirements
from controller.packages.wheels import Misfit, Wheel, allowed, check_closure, parse_wheel

_SDK = "procvision-algorithm-sdk"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a package is, as far as reading tells.

    `wheels` maps file names to SHA-256 hex digests; `allowed` are those that the requirements' hashes do not exclude.
    """

    manifest: Manifest
    digest: str
    layout: Shape
    wheels: dict[str, str]
    allowed: frozenset[str]
    interpreter: Interpreter
    requirements: tuple[PinnedRequirement, ...]
    warnings: tuple[str, ...] = ()


def read_manifest(archive: Archive) -> Manifest:
    """Return the manifest at the package root. Raises PackageError 2001 or 2002."""
    path = f"{find_root(archive)}manifest.json"
    return parse_manifest(archive.read_text(path), path)


def examine(archive: Archive, digest: str, interpreters: Interpreters) -> tuple[Inspection, Contents]:
    """Check everything about an archive that can be checked by reading it; read every byte once.

    Raises:
        PackageError: 2001 structure, damage or manifest; 2002 no manifest; 2003 no interpreter for its wheels;
            2004 a requirement without a wheel.
    """
    manifest = read_manifest(archive)
    contents = lay_out(archive)
    if missing := contents.missing(manifest.required_assets):
        raise invalid_zip(
            f"the manifest requires {', '.join(missing)}, which the package does not hold",
            next_step="add the asset and pack again",
        )
    path = f"{contents.root}requirements.txt"
    requirements = _with_sdk(parse_requirements(decode_text(archive.read_text(path), path), path))
    algorithms = {"sha256", *(value.split(":")[0] for pinned in requirements for value in pinned.hashes)}
    wheels = _read_everything(archive, contents, algorithms)
    interpreter = _choose(requirements, wheels, interpreters)
    digests = {wheel.file: wheel.sha256 for wheel in wheels}
    warnings = tuple(_warnings(contents, interpreters.unusable(), manifest))
    usable = allowed(requirements, wheels, interpreter)
    found = Inspection(manifest, digest, contents.shape, digests, usable, interpreter, requirements, warnings)
    return found, contents


def _with_sdk(requirements: tuple[PinnedRequirement, ...]) -> tuple[PinnedRequirement, ...]:
    """Ask for the SDK even where requirements.txt forgot it: nothing starts without it."""
    if any(canonicalize_name(pinned.requirement.name) == _SDK for pinned in requirements):
        return requirements
    return (*requirements, PinnedRequirement(Requirement(_SDK), wanted_by="every algorithm"))


def _read_everything(archive: Archive, contents: Contents, algorithms: set[str]) -> list[Wheel]:
    """Read each member to its end, which proves its CRC; take the wheels' digests and metadata on the way."""
    files = {member.name: file for file, member in contents.wheels.items()}
    tail_bytes = archive.limits.wheel_directory_bytes
    wheels = []
    for member in archive.files.values():
        file = files.get(member.name)
        digests = [hashlib.new(algorithm) for algorithm in algorithms]
        tail: deque[bytes] = deque(maxlen=tail_bytes // CHUNK + 2)
        for chunk in archive.chunks(member):
            if file is not None:
                for digest in digests:
                    digest.update(chunk)
                tail.append(chunk)
        if file is not None:
            found = frozenset(f"{digest.name}:{digest.hexdigest()}" for digest in digests)
            wheels.append(parse_wheel(file, found, b"".join(tail)[-tail_bytes:], archive.limits))
    return wheels


def _choose(
    requirements: tuple[PinnedRequirement, ...], wheels: list[Wheel], interpreters: Interpreters
) -> Interpreter:
    """Return the first interpreter for which everything is there. Raises PackageError 2003 or 2004."""
    by_name: dict[NormalizedName, list[Wheel]] = defaultdict(list)
    for wheel in wheels:
        by_name[wheel.name].append(wheel)
    misfits: list[tuple[Interpreter, Misfit]] = []
    for interpreter in interpreters.at_hand():
        misfit = check_closure(requirements, by_name, interpreter)
        if misfit is None:
            return interpreter
        misfits.append((interpreter, misfit))
    raise _none_fits(misfits, interpreters.unusable())


def _none_fits(misfits: list[tuple[Interpreter, Misfit]], unusable: list[Unusable]) -> PackageError:
    for interpreter, misfit in misfits:
        if not misfit.incompatible:  # this interpreter would do; what is missing is missing for good
            return PackageError(
                Code.wheels_missing,
                "; ".join(misfit.missing),
                next_step="add the wheel to wheels/ and pack again",
                details={"missing": list(misfit.missing), "interpreter": str(interpreter)},
            )
    wants = list(misfits[0][1].incompatible) if misfits else []
    here = [str(interpreter) for interpreter, _ in misfits]
    broken = f"; not usable: {', '.join(map(str, unusable))}" if unusable else ""
    return PackageError(
        Code.incompatible_python,
        f"no interpreter here fits its wheels: {'; '.join(wants)}; here is {', '.join(here) or 'none'}{broken}",
        next_step="pack it for a Python that is here, or name another one in StationPolicy spec.pythons",
        details={"wants": wants, "interpreters": here},
    )


def _warnings(contents: Contents, unusable: list[Unusable], manifest: Manifest) -> Iterable[str]:
    for each in unusable:
        yield f"spec.pythons: {each}"
    if contents.ignored:
        yield f"not part of the package and left out: {', '.join(contents.ignored[:5])}"
    if manifest.supported_pids is None:
        yield "the manifest declares no supported_pids"
