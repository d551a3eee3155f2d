"""Wheels and which interpreter can use them: file names, tags, metadata, and the closure of the requirements.

Pure: it judges what was read. `check_closure` is no resolver (uv is); it finds what no resolver could mend, before
anything is written, and says it in the terms of the package's author.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser

from packaging.metadata import InvalidMetadata, Metadata
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from controller.errors import Code, PackageError
from controller.packages.decompression import DAMAGE, member_pieces
from controller.packages.directory import read_directory
from controller.packages.interpreters import Interpreter
from controller.packages.limits import Limits
from controller.packages.names import invalid_zip
from controller.packages.requirements import PinnedRequirement


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel: its file name taken apart, its digests (`algorithm:hex`, SHA-256 always), what its METADATA says."""

    file: str
    name: NormalizedName
    version: Version
    tags: frozenset[Tag]
    digests: frozenset[str]
    requires: tuple[Requirement, ...] = ()
    requires_python: SpecifierSet = field(default_factory=SpecifierSet)

    def fits(self, interpreter: Interpreter) -> bool:
        return not self.tags.isdisjoint(interpreter.tags) and self.requires_python.contains(
            interpreter.version, prereleases=True
        )

    @property
    def sha256(self) -> str:
        return next(value for value in self.digests if value.startswith("sha256:")).removeprefix("sha256:")

    @property
    def wants(self) -> str:
        """What kind of interpreter it is for, in a few words."""
        python = f", Python {self.requires_python}" if str(self.requires_python) else ""
        tags = sorted(str(tag) for tag in self.tags)
        more = f" and {len(tags) - 1} more tags" if len(tags) > 3 else ""
        return f"{self.file} wants {tags[0] if more else ' or '.join(tags)}{more}{python}"


def parse_wheel(file: str, digests: frozenset[str], tail: bytes, limits: Limits) -> Wheel:
    """Return a wheel from its file name and the last bytes of its content.

    Raises PackageError: 2004 on a bad name, 2001 where it would unpack to more than the limits allow.
    """
    try:
        name, version, _, tags = parse_wheel_filename(file)
    except InvalidWheelFilename as error:
        raise PackageError(
            Code.wheels_missing, f"wheels/{file} is not named like a wheel: {error}", next_step="pack it again"
        ) from error
    requires, requires_python = _metadata(file, tail, limits)
    return Wheel(file, name, version, tags, digests, requires, requires_python)


def _metadata(file: str, tail: bytes, limits: Limits) -> tuple[tuple[Requirement, ...], SpecifierSet]:
    """Read METADATA, which archivers put at the end of a wheel (PEP 427).

    A wheel that has it elsewhere, or damaged, counts as one without dependencies here: it is read again, in full,
    before anything unpacks it.
    """
    content = io.BytesIO(tail)
    try:
        with read_directory(content, limits.of_a_wheel) as archive:
            info = next(info for info in archive.infolist() if info.filename.endswith(".dist-info/METADATA"))
        check_metadata_size(info, limits)
        metadata = Metadata.from_email(_headers(b"".join(member_pieces(content, info))), validate=False)
        return tuple(metadata.requires_dist or ()), metadata.requires_python or SpecifierSet()
    except PackageError as error:
        raise invalid_zip(f"wheels/{file}: {error.message}", next_step=error.next_step) from error
    except (StopIteration, *DAMAGE, InvalidMetadata, ExceptionGroup, OSError):
        return (), SpecifierSet()


def check_metadata_size(info: zipfile.ZipInfo, limits: Limits) -> None:
    """Refuse a file that is too large for what reads it into memory, as uv does too. Raises PackageError 2001."""
    folder, _, file = info.filename.rpartition("/")
    if folder.endswith(".dist-info"):
        most = {"METADATA": limits.wheel_metadata_bytes}.get(file, limits.wheel_directory_bytes)
        if info.file_size > most:
            raise invalid_zip(f"{info.filename} is larger than {most} bytes")


def _headers(content: bytes) -> bytes:
    """Drop the long description: nothing here reads it."""
    message = BytesHeaderParser().parsebytes(content)
    message.set_payload("")
    return message.as_bytes()


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why an interpreter cannot run the package: wheels that are missing, or that are for another interpreter."""

    missing: tuple[str, ...]
    incompatible: tuple[str, ...]


def check_closure(
    requirements: Iterable[PinnedRequirement], wheels: Mapping[NormalizedName, list[Wheel]], interpreter: Interpreter
) -> Misfit | None:
    """Follow the requirements through the wheels' metadata; return what does not work out, None where all does."""
    missing: list[str] = []
    incompatible: list[str] = []
    seen: set[tuple[str, str]] = set()
    queue = [(pinned, "") for pinned in requirements]
    while queue:
        pinned, extra = queue.pop()
        requirement = pinned.requirement
        key = (pinned.line, extra)
        if key in seen or not _applies(requirement, interpreter, extra):
            continue
        seen.add(key)
        candidates = [
            wheel
            for wheel in wheels.get(canonicalize_name(requirement.name), ())
            if requirement.specifier.contains(wheel.version, prereleases=True) and pinned.allows(wheel.digests)
        ]
        fitting = [wheel for wheel in candidates if wheel.fits(interpreter)]
        if not candidates:
            missing.append(_missing(pinned, wheels))
        elif not fitting:
            incompatible.append(" | ".join(wheel.wants for wheel in candidates))
        else:
            queue.extend(_dependencies(max(fitting, key=lambda wheel: wheel.version), requirement.extras))
    if not missing and not incompatible:
        return None
    return Misfit(tuple(dict.fromkeys(missing)), tuple(dict.fromkeys(incompatible)))


def allowed(
    requirements: Iterable[PinnedRequirement], wheels: Iterable[Wheel], interpreter: Interpreter
) -> frozenset[str]:
    """Return the files that uv may choose from: all but those that the hashes of their requirement exclude.

    uv itself checks the hashes of a requirement only where its version is pinned with `==`.
    """
    hashed = [pinned for pinned in requirements if pinned.hashes and _applies(pinned.requirement, interpreter, "")]
    return frozenset(
        wheel.file
        for wheel in wheels
        if all(
            pinned.allows(wheel.digests)
            for pinned in hashed
            if canonicalize_name(pinned.requirement.name) == wheel.name
        )
    )


def _applies(requirement: Requirement, interpreter: Interpreter, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**interpreter.markers, "extra": extra})


def _dependencies(wheel: Wheel, extras: Iterable[str]) -> Iterator[tuple[PinnedRequirement, str]]:
    for requirement in wheel.requires:
        for extra in ("", *sorted(extras)):
            yield PinnedRequirement(requirement, wanted_by=f"{wheel.name} {wheel.version}"), extra


def _missing(pinned: PinnedRequirement, wheels: Mapping[NormalizedName, list[Wheel]]) -> str:
    there = wheels.get(canonicalize_name(pinned.requirement.name), [])
    text = f"{pinned.requirement} (wanted by {pinned.wanted_by})"
    if not there:
        return f"{text}: there is no wheel of it"
    if any(pinned.requirement.specifier.contains(wheel.version, prereleases=True) for wheel in there):
        return f"{text}: no wheel of it has one of the hashes that are asked for"
    return f"{text}: there is only {', '.join(sorted(str(wheel.version) for wheel in there))}"
