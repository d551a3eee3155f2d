"""Wheels and which interpreter can use them: file names, tags and metadata.

Pure: it judges what was read.
"""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass, field, replace
from email.parser import BytesHeaderParser

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, NormalizedName, parse_wheel_filename
from packaging.version import Version

from controller.errors import PackageError
from controller.packages.decompression import DAMAGE, member_pieces
from controller.packages.directory import read_directory
from controller.packages.interpreters import Interpreter
from controller.packages.limits import Limits
from controller.packages.names import invalid_zip

_PLAIN = re.compile(r"[\w.!+-]+")


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
    files: frozenset[str] | None = None
    """What is in it; None where it was not looked into, or is damaged."""

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


def is_named_like_a_wheel(file: str) -> bool:
    """Whether a file name is one that a wheel can have: `… (1).whl`, as a browser writes it, is none."""
    try:
        parse_wheel_filename(file)
    except InvalidWheelFilename:
        return False
    return _PLAIN.fullmatch(file) is not None


def named_wheel(file: str, digests: frozenset[str] = frozenset()) -> Wheel:
    """Return what the name of a wheel says of it. `is_named_like_a_wheel` holds."""
    name, version, _, tags = parse_wheel_filename(file)
    return Wheel(file, name, version, tags, digests)


def parse_wheel(file: str, digests: frozenset[str], tail: bytes, limits: Limits) -> Wheel:
    """Return a wheel from its file name and the last bytes of its content, where archivers put METADATA (PEP 427).

    One that has it elsewhere, or is damaged, counts as one without dependencies here: it is read again, in full, before
    anything unpacks it. Raises PackageError 2001 where it would unpack to more than the limits allow.
    """
    wheel, content = named_wheel(file, digests), io.BytesIO(tail)
    try:
        with read_directory(content, limits.of_a_wheel) as archive:
            members = {info.filename: info for info in archive.infolist()}
        wheel = replace(wheel, files=frozenset(members))
        info = next(info for name, info in members.items() if name.endswith(".dist-info/METADATA"))
        check_metadata_size(info, limits)
        headers = BytesHeaderParser().parsebytes(b"".join(member_pieces(content, info)))
        pythons = headers.get_all("Requires-Python", [])
        return replace(
            wheel,
            requires=tuple(Requirement(str(each)) for each in headers.get_all("Requires-Dist", [])),
            requires_python=SpecifierSet(str(pythons[0])) if len(pythons) == 1 else SpecifierSet(),
        )
    except PackageError as error:
        raise invalid_zip(f"wheels/{file}: {error.message}", next_step=error.next_step) from error
    except (StopIteration, *DAMAGE, OSError):  # a ValueError also where a requirement is none
        return wheel


def check_metadata_size(info: zipfile.ZipInfo, limits: Limits) -> None:
    """Refuse a file that is too large for what reads it into memory, as uv does too. Raises PackageError 2001."""
    folder, _, file = info.filename.rpartition("/")
    if folder.endswith(".dist-info"):
        most = {"METADATA": limits.wheel_metadata_bytes}.get(file, limits.wheel_directory_bytes)
        if info.file_size > most:
            raise invalid_zip(f"{info.filename} is larger than {most} bytes")
