"""The static check of a package: everything that can be judged without writing or running anything of it.

`examine` goes on after what it finds wrong, as far as that makes sense, so that a package's author hears of all of it
at once. An install asks for the `inspection`, which is refused for the first error.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from controller.errors import Code, PackageError
from controller.model.package import Manifest
from controller.packages.archive import Archive
from controller.packages.closure import Closure, Misfit
from controller.packages.contents import Contents, Shape, find_root, lay_out
from controller.packages.decompression import CHUNK
from controller.packages.interpreters import Interpreter, Interpreters, Unusable
from controller.packages.manifest import decode_text, parse_manifest
from controller.packages.names import invalid_zip
from controller.packages.platforms import packed_for
from controller.packages.requirements import PinnedRequirement, Requirements, read_requirements
from controller.packages.wheels import Wheel, named_wheel, parse_wheel

_SDK = canonicalize_name("procvision-algorithm-sdk")
_ADAPTER = "procvision_algorithm_sdk/adapter/__main__.py"


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


@dataclass(slots=True)
class Examination:
    """What reading a zip tells, whatever is wrong with it. What could not be read is None, or empty."""

    digest: str = ""
    manifest: Manifest | None = None
    contents: Contents | None = None
    requirements: Requirements | None = None
    wheels: list[Wheel] = field(default_factory=list)
    interpreter: Interpreter | None = None
    allowed: frozenset[str] = frozenset()
    errors: list[PackageError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note a PackageError, and go on after the block."""
        try:
            yield
        except PackageError as error:
            if str(error) not in map(str, self.errors):
                self.errors.append(error)

    def inspection(self) -> tuple[Inspection, Contents]:
        """Return what an install needs. Raises the first error that was found."""
        if self.errors:
            raise self.errors[0]
        if not (self.manifest and self.contents and self.requirements and self.interpreter):
            raise AssertionError("a check that found no error has read everything")
        digests = {wheel.file: wheel.sha256 for wheel in self.wheels}
        found = Inspection(
            self.manifest, self.digest, self.contents.shape, digests, self.allowed, self.interpreter,
            self.requirements.wanted, tuple(self.warnings),
        )  # fmt: skip
        return found, self.contents


def read_manifest(archive: Archive) -> Manifest:
    """Return the manifest at the package root. Raises PackageError 2001 or 2002."""
    path = f"{find_root(archive)}manifest.json"
    return parse_manifest(archive.read_text(path), path)


def examine(archive: Archive, digest: str, interpreters: Interpreters, *, in_full: bool = True) -> Examination:
    """Check everything about an archive that can be checked by reading it; read every byte once.

    Where not `in_full`, only the manifest and the requirements are read, and wheels are judged by their names. Errors
    are 2001 structure, damage or manifest; 2002 no manifest; 2003 no interpreter for its wheels; 2004 a requirement
    without a wheel; 2005 an SDK that nothing can be started with.
    """
    found = Examination(digest)
    with found.noting():
        found.manifest = read_manifest(archive)
    with found.noting():
        found.contents = contents = lay_out(archive)
        if found.manifest is not None:
            _check_assets(found, contents, found.manifest)
        with found.noting():
            found.requirements = _requirements(archive, contents.root)
        with found.noting():
            asked = found.requirements or Requirements()
            found.wheels = _read_everything(archive, contents, asked) if in_full else _by_name(contents)
            if found.requirements is not None:
                _choose(found, found.requirements, interpreters)
        _warn(found, contents)
    found.warnings[:0] = [f"spec.pythons: {each}" for each in interpreters.unusable()]
    return found


def _check_assets(found: Examination, contents: Contents, manifest: Manifest) -> None:
    if missing := contents.missing(manifest.required_assets):
        names = ", ".join(map(str, missing))
        found.errors.append(
            invalid_zip(
                f"the manifest requires {names}, which the package does not hold",
                next_step="add the asset and pack again",
            )
        )


def _requirements(archive: Archive, root: str) -> Requirements:
    """Return what the package asks for; the SDK also where requirements.txt forgot it: nothing starts without it."""

    def read(path: str) -> str | None:
        return decode_text(archive.read_text(path), path) if path in archive.files else None

    requirements = read_requirements(f"{root}requirements.txt", read)
    if any(canonicalize_name(pinned.requirement.name) == _SDK for pinned in requirements.wanted):
        return requirements
    return replace(
        requirements,
        wanted=(*requirements.wanted, PinnedRequirement(Requirement(_SDK), wanted_by="every algorithm")),
    )


def _by_name(contents: Contents) -> list[Wheel]:
    return [named_wheel(file) for file in contents.wheels]


def _read_everything(archive: Archive, contents: Contents, requirements: Requirements) -> list[Wheel]:
    """Read each member to its end, which proves its CRC; take the wheels' digests and metadata on the way."""
    hashes = (value for pinned in (*requirements.wanted, *requirements.constraints) for value in pinned.hashes)
    algorithms = {"sha256", *(value.split(":")[0] for value in hashes)}
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
            told = frozenset(f"{digest.name}:{digest.hexdigest()}" for digest in digests)
            wheels.append(parse_wheel(file, told, b"".join(tail)[-tail_bytes:], archive.limits))
    return wheels


def _choose(found: Examination, requirements: Requirements, interpreters: Interpreters) -> None:
    """Find the first interpreter for which everything is there. Raises PackageError 2003, 2004 or 2005."""
    misfits: list[tuple[Interpreter, Misfit]] = []
    for interpreter in interpreters.at_hand():
        closure = Closure(found.wheels, requirements, interpreter)
        misfit = closure.misfit()
        if misfit is None:
            _check_sdk(closure.candidates(_SDK))
            found.interpreter, found.allowed = interpreter, closure.allowed()
            return
        misfits.append((interpreter, misfit))
    raise _none_fits(misfits, interpreters.unusable())


def _check_sdk(candidates: list[Wheel]) -> None:
    """Refuse a package none of whose SDKs has the adapter that an algorithm process is. Raises PackageError 2005."""
    if candidates and all(wheel.files is not None and _ADAPTER not in wheel.files for wheel in candidates):
        versions = ", ".join(str(wheel.version) for wheel in candidates)
        raise PackageError(
            Code.install_failed,
            f"{_SDK} {versions} has no adapter: nothing can start an algorithm with it",
            next_step=f"ask for {_SDK}>=0.0.6 in requirements.txt and pack it again",
        )


def _none_fits(misfits: list[tuple[Interpreter, Misfit]], unusable: list[Unusable]) -> PackageError:
    for interpreter, misfit in misfits:
        if not misfit.incompatible:  # this interpreter would do; what is missing is missing for good
            return PackageError(
                Code.wheels_missing,
                "; ".join(misfit.missing),
                next_step="add the wheel to wheels/ and pack again",
                details={"missing": list(misfit.missing), "interpreter": str(interpreter)},
            )
    wheels = misfits[0][1].incompatible if misfits else ()
    here = [interpreter for interpreter, _ in misfits]
    target = packed_for(wheels, here)
    broken = f"; not usable: {', '.join(map(str, unusable))}" if unusable else ""
    return PackageError(
        Code.incompatible_python,
        f"{target.words}: no interpreter here fits its wheels: {'; '.join(wheel.wants for wheel in wheels)}; here is "
        f"{', '.join(map(str, here)) or 'none'}{broken}",
        next_step=target.next_step,
        details={"wants": [wheel.wants for wheel in wheels], "interpreters": [str(each) for each in here]},
    )


def _warn(found: Examination, contents: Contents) -> None:
    """Note what is no error, and that nobody would hear of otherwise."""
    if contents.ignored:
        found.warnings.append(f"not part of the package and left out: {_some(contents.ignored)}")
    if contents.misnamed:
        found.warnings.append(f"not named like a wheel and left out: {_some(contents.misnamed)}")
    if found.requirements is not None:
        found.warnings += [f"ignored: {line}" for line in found.requirements.ignored]
    if found.interpreter is not None:
        interpreter = found.interpreter
        if strange := [wheel.file for wheel in found.wheels if not wheel.fits(interpreter)]:
            found.warnings.append(
                f"for another platform or Python than {interpreter}, and of no use: {_some(strange)}; delete wheels/ "
                "in the project and pack it again"
            )
    if found.manifest is not None and found.manifest.supported_pids is None:
        found.warnings.append(
            "the manifest declares no supported_pids: no PID may be served by it (2006), unless the StationPolicy says "
            'allowUndeclaredPids; add "supported_pids": ["A01"] with its PIDs to manifest.json'
        )


def _some(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
