"""Writing a checked package's files into a staging folder, and the wheels that versions share.

Wheels live once in the cache under their digest and are linked from there: uv keys its own cache by the wheel's path,
so the same path for the same bytes is what makes a second version cheap. A wheel that somebody wrote to is not linked
again (`sharing`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from controller.errors import PackageError
from controller.packages.archive import Archive, Member, damage_is_2001
from controller.packages.contents import Contents
from controller.packages.decompression import member_pieces
from controller.packages.directory import read_directory
from controller.packages.limits import Limits
from controller.packages.names import invalid_zip
from controller.packages.sharing import is_sealed, seal
from controller.packages.wheels import check_metadata_size


def unpack(
    archive: Archive, contents: Contents, digests: Mapping[str, str], cache: Path, target: Path
) -> dict[str, Path]:
    """Write the package below `target`; return the folder of the cache that holds each wheel.

    Raises PackageError 2001 where the zip changed meanwhile, and OSError.
    """
    for folder in sorted({*contents.folders, *(str(Path(path).parent) for path in contents.tree)}):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for path, member in contents.tree.items():
        _write(archive, member, target / path)
    for name in contents.links:
        (target / name).symlink_to(Path("src", name))
    wheels = target / "wheels"
    wheels.mkdir()
    return {
        file: _link_wheel(archive, member, digests[file], cache, wheels / file)
        for file, member in contents.wheels.items()
    }


def _write(archive: Archive, member: Member, target: Path) -> str:
    """Write one member and return the SHA-256 hex digest of what was written."""
    digest = hashlib.sha256()
    with target.open("xb") as file:
        for chunk in archive.chunks(member):
            digest.update(chunk)
            file.write(chunk)
    if member.executable:
        target.chmod(0o755)
    return digest.hexdigest()


def _link_wheel(archive: Archive, member: Member, digest: str, cache: Path, target: Path) -> Path:
    """Put a wheel at `target` and into the cache, one inode for both; return its folder in the cache."""
    folder = cache / digest
    cached = folder / target.name
    if _is_whole(cached):
        os.link(cached, target)
        return folder
    if _write(archive, member, target) != digest:
        raise invalid_zip("it was changed while it was being read", next_step="try again")
    _prove_wheel(target, archive.limits)
    seal(target)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        os.link(target, cached)
    except FileExistsError:  # an installation beside this one was quicker: share its inode
        target.unlink()
        os.link(cached, target)
    return folder


def _is_whole(cached: Path) -> bool:
    """Whether a wheel is in the cache as it was put there; one that was written to meanwhile is dropped."""
    try:
        if is_sealed(cached):
            return True
        cached.unlink()
    except FileNotFoundError:
        pass
    return False


def _prove_wheel(path: Path, limits: Limits) -> None:
    """Read a wheel as what unpacks it will, so that nothing in it is larger than it says. Raises PackageError 2001.

    uv takes a member as it comes, into memory or onto the disk, and compares its size afterwards. Once for each wheel:
    what is in the cache was proven.
    """
    try:
        with path.open("rb") as file, damage_is_2001(path):
            if not zipfile.is_zipfile(file):
                return  # there is nothing to unpack, and uv says what is wrong
            with read_directory(file, limits.of_a_wheel) as directory:
                members = directory.infolist()
            for info in members:
                check_metadata_size(info, limits)
                with damage_is_2001(path, info.filename):
                    for _ in member_pieces(file, info):
                        pass
    except PackageError as error:
        raise invalid_zip(f"wheels/{path.name}: {error.message}", next_step=error.next_step) from error


def prune_wheels(cache: Path) -> list[str]:
    """Remove the wheels that no installation links any more; return their file names. Raises OSError."""
    removed = []
    for wheel in cache.glob("*/*.whl"):
        if wheel.stat().st_nlink == 1:
            shutil.rmtree(wheel.parent)
            removed.append(wheel.name)
    return removed
