"""Which member of an archive is what: package root, manifest, requirements, wheels, and where each file will stand.

Pure on the list of names. Two layouts are known: *enclosed* (the root's content becomes `src/`), and *deployed* (the
zip itself has `manifest.json` beside `src/` and keeps that shape).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from controller.errors import Code, PackageError
from controller.model.package import RequiredAsset
from controller.packages.archive import Archive, Member
from controller.packages.names import invalid_zip
from controller.packages.wheels import is_named_like_a_wheel

Shape = Literal["enclosed", "deployed"]
_OURS = ("venv", "receipt.json")
_LINKED = ("manifest.json", "requirements.txt", "assets")


@dataclass(frozen=True, slots=True)
class Contents:
    """The parts of a package. `root` is the package root's prefix in the zip: empty or ending with a slash.

    `tree` maps paths relative to the installation to members, wheels excluded; `wheels` maps file names to members.
    `ignored` are members that are no part of the package, and `misnamed` files among the wheels that cannot be any.
    """

    root: str
    shape: Shape
    tree: Mapping[str, Member]
    folders: tuple[str, ...]
    wheels: Mapping[str, Member]
    ignored: tuple[str, ...]
    misnamed: tuple[str, ...] = ()

    @property
    def working_directory(self) -> str:
        return "." if self.shape == "deployed" else "src"

    @property
    def python_path(self) -> tuple[str, ...]:
        return ("src",) if self.shape == "deployed" else ()

    @property
    def links(self) -> tuple[str, ...]:
        """Names beside `src/` that are links into it."""
        if self.shape == "deployed":
            return ()
        present = {PurePosixPath(path).parts[1] for path in (*self.tree, *self.folders) if path.count("/")}
        return tuple(name for name in _LINKED if name in present)

    def missing(self, assets: Iterable[RequiredAsset]) -> tuple[RequiredAsset, ...]:
        """Return those assets (their paths are relative to the package root) that the package does not hold."""
        prefix = "" if self.shape == "deployed" else "src/"
        present = {*self.tree, *self.folders}
        return tuple(asset for asset in assets if prefix + asset.path.removesuffix("/") not in present)


def find_root(archive: Archive) -> str:
    """Return the prefix of the folder that holds the shallowest `manifest.json`.

    Raises PackageError: 2002 where there is none, 2001 where two are equally shallow.
    """
    found = [PurePosixPath(name) for name in archive.files if PurePosixPath(name).name == "manifest.json"]
    if not found:
        raise PackageError(
            Code.manifest_missing, "there is no manifest.json in it", next_step="pack it with `procvision-cli package`"
        )
    depth = min(len(path.parts) for path in found)
    roots = sorted(path.parent for path in found if len(path.parts) == depth)
    if len(roots) > 1:
        raise invalid_zip(
            f"{roots[0]}/manifest.json and {roots[1]}/manifest.json are equally near the top",
            next_step="pack one package into a zip",
        )
    return "" if str(roots[0]) == "." else f"{roots[0]}/"


def lay_out(archive: Archive) -> Contents:
    """Say where each member belongs. Raises PackageError 2001 or 2002."""
    root = find_root(archive)
    if f"{root}requirements.txt" not in archive.files:
        raise invalid_zip(
            f"{root}requirements.txt is missing", next_step="add it, if only with the SDK, and pack again"
        )
    shape: Shape = "deployed" if f"{root}src" in archive.folders else "enclosed"
    prefix = "" if shape == "deployed" else "src/"
    beside = _wheel_folders(root)
    tree, ignored = {}, []
    for name, member in archive.files.items():
        if name.startswith(beside):
            continue
        if name.startswith(root):
            tree[prefix + name.removeprefix(root)] = member
        else:
            ignored.append(name)
    folders = [
        prefix + name.removeprefix(root)
        for name in archive.folders
        if name.startswith(root) and not f"{name}/".startswith(beside)
    ]
    if shape == "deployed":
        _check_reserved((*tree, *folders))
    wheels, misnamed = _wheels(archive, beside)
    return Contents(root, shape, tree, tuple(sorted(folders)), wheels, tuple(ignored), misnamed)


def _wheel_folders(root: str) -> tuple[str, ...]:
    """Return where wheels may stand: in the package root or beside it, however deep it is."""
    above = [str(parent) for parent in PurePosixPath(root).parents] if root else []
    return ("wheels/", f"{root}wheels/", *(f"{folder}/wheels/" for folder in above if folder != "."))


def _check_reserved(paths: tuple[str, ...]) -> None:
    for path in paths:
        if (top := PurePosixPath(path).parts[0]) in _OURS:
            raise invalid_zip(f"{top} beside manifest.json is a name that the installation needs for itself")


def _wheels(archive: Archive, folders: tuple[str, ...]) -> tuple[dict[str, Member], tuple[str, ...]]:
    wheels: dict[str, Member] = {}
    misnamed = []
    for name, member in archive.files.items():
        if not name.startswith(folders) or not name.endswith(".whl"):
            continue
        file = PurePosixPath(name).name
        if not is_named_like_a_wheel(file):
            misnamed.append(name)
        elif _is_same(wheels.setdefault(file, member), member):
            continue
        else:
            raise invalid_zip(
                f"{name} and {wheels[file].name} are two wheels of one name", next_step="leave out one of them"
            )
    return wheels, tuple(misnamed)


def require_wheels(contents: Contents) -> None:
    """Raise PackageError 2004 where a package holds no wheels."""
    if contents.wheels:
        return
    found = f"; not named like a wheel: {', '.join(contents.misnamed[:5])}" if contents.misnamed else ""
    raise PackageError(
        Code.wheels_missing,
        f"there are no wheels in it: wheels/ is missing or empty{found}",
        next_step="pack it with `procvision-cli package`, without --skip-download",
    )


def _is_same(one: Member, other: Member) -> bool:
    return (one.size, one.info.CRC) == (other.size, other.info.CRC)
