"""The checks of a package in their order: one table, which an install goes by and which every report shows.

An install is refused for the first that fails; a report goes on as far as that makes sense, so that a package's author
hears of everything at once. All but those of `PROVING` only read; nothing here writes or runs anything.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from controller.errors import PackageError
from controller.packages.archive import open_archive
from controller.packages.closure import Closure
from controller.packages.contents import find_root, lay_out, require_wheels
from controller.packages.decompression import CHUNK
from controller.packages.examination import Check, Examination
from controller.packages.fitting import none_fits, not_there, require_adapter
from controller.packages.manifest import decode_text, parse_manifest
from controller.packages.names import invalid_zip
from controller.packages.requirements import PinnedRequirement, Requirements, read_requirements
from controller.packages.wheels import named_wheel, parse_wheel

_SDK = canonicalize_name("procvision-algorithm-sdk")


@contextmanager
def examining(found: Examination) -> Iterator[Examination]:
    """Keep the zip of an examination open, from the check that opens it until the block ends.

    An error that leaves the block names the zip.
    """
    with found.open_files:
        yield found


def warn(found: Examination) -> None:
    """Note what is no error, and that nobody would hear of otherwise."""
    found.warnings += [f"spec.pythons: {each}" for each in found.interpreters.unusable()]
    if (contents := found.contents) is not None:
        if contents.ignored:
            found.warnings.append(f"not part of the package and left out: {_some(contents.ignored)}")
        if contents.misnamed:
            found.warnings.append(f"not named like a wheel and left out: {_some(contents.misnamed)}")
        if found.requirements is not None:
            found.warnings += [f"ignored: {line}" for line in found.requirements.ignored]
        interpreter = found.interpreter
        if interpreter and (strange := [wheel.file for wheel in found.wheels if not wheel.fits(interpreter)]):
            found.warnings.append(
                f"for another platform or Python than {interpreter}, and of no use: {_some(strange)}; delete wheels/ "
                "in the project and pack it again"
            )
        if found.manifest is not None and found.manifest.supported_pids is None:
            found.warnings.append(
                "the manifest declares no supported_pids: no PID may be served by it (2006), unless the StationPolicy "
                'says allowUndeclaredPids; add "supported_pids": ["A01"] with its PIDs to manifest.json'
            )


def _some(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


# The checks, as the table below names them.


def _open(found: Examination) -> None:
    """Open the zip; what its sizes and names are refused for is told by the checks of these."""
    try:
        found.opened = found.open_files.enter_context(open_archive(found.path, found.limits))
    except PackageError as error:
        found.opening = error
        if error.check not in {"sizes", "names"}:
            raise


def _check_opening(found: Examination, name: str) -> None:
    if found.opening is not None and found.opening.check == name:
        raise found.opening


def _find_root(found: Examination) -> None:
    found.digest = found.archive.digest()
    found.root = find_root(found.archive)


def _read_manifest(found: Examination) -> None:
    path = f"{found.root}manifest.json"
    found.manifest = parse_manifest(found.archive.read_text(path), path)


def _look_at_place(found: Examination) -> str | None:
    if found.place is None:
        return "no store was looked at"
    found.installed = found.place(found.known_manifest.ref, found.digest)
    return None


def _lay_out(found: Examination) -> None:
    found.contents = lay_out(found.archive)


def _check_assets(found: Examination) -> None:
    if missing := found.known_contents.missing(found.known_manifest.required_assets):
        names = ", ".join(map(str, missing))
        raise invalid_zip(
            f"the manifest requires {names}, which the package does not hold",
            next_step="add the asset and pack again",
        )


def _read_requirements(found: Examination) -> None:
    """Read what the package asks for; the SDK also where requirements.txt forgot it: nothing starts without it."""
    archive = found.archive

    def read(path: str) -> str | None:
        return decode_text(archive.read_text(path), path) if path in archive.files else None

    requirements = read_requirements(f"{found.root}requirements.txt", read)
    if not any(canonicalize_name(pinned.requirement.name) == _SDK for pinned in requirements.wanted):
        sdk = PinnedRequirement(Requirement(_SDK), wanted_by="every algorithm")
        requirements = replace(requirements, wanted=(*requirements.wanted, sdk))
    found.requirements = requirements


def _read_everything(found: Examination) -> str | None:
    """Read each member to its end, which proves its CRC; take the wheels' digests and metadata on the way."""
    contents, archive = found.known_contents, found.archive
    if not found.in_full:
        found.wheels = [named_wheel(file) for file in contents.wheels]
        return "only names were read"
    requirements = found.requirements or Requirements()
    hashes = (value for pinned in (*requirements.wanted, *requirements.constraints) for value in pinned.hashes)
    algorithms = {"sha256", *(value.split(":")[0] for value in hashes)}
    files = {member.name: file for file, member in contents.wheels.items()}
    tail_bytes = archive.limits.wheel_directory_bytes
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
            try:
                found.wheels.append(parse_wheel(file, told, b"".join(tail)[-tail_bytes:], archive.limits))
            except PackageError as error:
                found.unreadable.append(error)
    return None


def _check_wheels(found: Examination) -> None:
    require_wheels(found.known_contents)
    if found.unreadable:
        raise found.unreadable[0]


def _choose_interpreter(found: Examination) -> None:
    """Find the first interpreter for which everything is there, else one for which its wheels are made."""
    for interpreter in found.interpreters.at_hand():
        closure = Closure(found.wheels, found.known_requirements, interpreter)
        misfit = closure.misfit()
        found.closures.append((interpreter, closure, misfit))
        if misfit is None:
            found.chosen, found.interpreter, found.allowed = closure, interpreter, closure.allowed()
            return
    if all(misfit is not None and misfit.incompatible for _, _, misfit in found.closures):
        misfits = [(interpreter, misfit) for interpreter, _, misfit in found.closures if misfit is not None]
        raise none_fits(misfits, found.interpreters.unusable())


def _close_requirements(found: Examination) -> None:
    if found.chosen is None:
        raise not_there([(each, misfit) for each, _, misfit in found.closures if misfit is not None])


def _check_sdk(found: Examination) -> None:
    if found.chosen is not None:
        require_adapter(_SDK, found.chosen.candidates(_SDK))


def _unmade(_: Examination) -> str:
    return "nothing was built"


OPENING = (
    Check("zip", "It is a zip whose directory can be read.", (), _open),
    Check("sizes", "Nothing in it unpacks to more than the limits allow.", ("zip",),
          lambda found: _check_opening(found, "sizes")),
    Check("names", "Its members have safe names, each its own, and are plain files and folders.", ("sizes",),
          lambda found: _check_opening(found, "names")),
    Check("structure", "One folder in it is the package: the one with manifest.json.", ("names",), _find_root),
    Check("manifest", "manifest.json says what the package is.", ("structure",), _read_manifest),
)  # fmt: skip
"""Enough to know which package it is."""
PLACE = Check("place", "No other artefact of this name and version is installed.", ("manifest",), _look_at_place)
READING = (
    Check("files", "Each file has its place in the installation.", ("structure",), _lay_out),
    Check("assets", "The assets that the manifest requires are there.", ("manifest", "files"), _check_assets),
    Check("requirements", "requirements.txt can be read.", ("files",), _read_requirements),
    Check("content", "Every member can be unpacked, and has its checksum.", ("files",), _read_everything),
    Check("wheels", "There are wheels, and each of them is one.", ("content",), _check_wheels),
    Check("interpreter", "A Python is here that the wheels are made for.", ("requirements", "wheels"),
          _choose_interpreter),
    Check("closure", "Everything that is required, and what that requires, is among the wheels.", ("interpreter",),
          _close_requirements),
    Check("sdk", "The SDK among the wheels can start an algorithm.", ("closure",), _check_sdk),
)  # fmt: skip
"""Everything that can be judged without writing or running anything of it."""
ENVIRONMENT = Check("environment", "Its wheels make an environment.", ("place", "manifest", "assets", "sdk"), _unmade)
ENTRY_POINT = Check("entry_point", "The entry point starts in it, sets up, and is what the manifest says.",
                    ("environment",), _unmade)  # fmt: skip
PROVING = (ENVIRONMENT, ENTRY_POINT)
"""What takes building it: `build.py` says how these run."""
