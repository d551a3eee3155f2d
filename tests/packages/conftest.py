"""A store to install into, its snapshot, and the packages that most tests share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from controller.errors import Code, PackageError
from controller.host.environment import STAGING_VARIABLE
from controller.packages.examination import Inspection
from controller.packages.install import Installer
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import BRIGHTNESS, build_package, make_wheel, sdk_wheels

Snapshot = dict[str, str]
NOW = "2026-01-31T08:15:00Z"


@pytest.fixture(scope="session")
def good_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of SDK 0.3.2 as the packager made it. Tests copy it, and never change it."""
    return build_package(tmp_path_factory.mktemp("zips"), name="screw-check", source=BRIGHTNESS)


@pytest.fixture(scope="session")
def small_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a stand-in for numpy, for what is judged by reading: the real wheel only makes that slow."""
    folder = tmp_path_factory.mktemp("small")
    sdk = [wheel for wheel in sdk_wheels("0.3") if wheel.name.startswith("procvision")]
    return build_package(folder, name="screw-check", wheels=[*sdk, make_wheel(folder, "numpy", "2.0.0")])


@pytest.fixture
def layout(tmp_path: Path) -> StoreLayout:
    layout = StoreLayout.at(tmp_path / "store")
    for folder in layout.folders:
        folder.mkdir(parents=True)
    return layout


@pytest.fixture
def installer(layout: StoreLayout) -> Installer:
    return Installer(layout, MutationLock(layout), now=lambda: NOW)


def inspected(installer: Installer, zip_path: Path) -> Inspection:
    """Return what an install would go on with. Raises the first error that reading the zip finds."""
    return installer.look(zip_path).inspection()[0]


def snapshot(root: Path) -> Snapshot:
    """Return what stands below a folder: names, links and content."""
    return {str(path.relative_to(root)): _fact(path) for path in sorted(root.rglob("*"))}


def visible(layout: StoreLayout) -> Snapshot:
    """Return what an interrupted or failed install must not change: everything but the caches and its log."""
    return {
        name: fact for name, fact in snapshot(layout.root).items()
        if not name.startswith(("algorithms/.cache", "logs/installs")) and name != "algorithms/.lock"
    }  # fmt: skip


def marked(layout: StoreLayout, command: str = "") -> list[int]:
    """Return the processes that work in the store's staging folder and whose command line holds a word."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(STAGING_VARIABLE, "").startswith(str(layout.staging)):
                found += [process.pid] if command in " ".join(process.cmdline()) else []
    return found


def _fact(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def refused(installer: Installer, layout: StoreLayout) -> Callable[[Path, Code], PackageError]:
    """Install a zip that must be refused before anything is written; return the error for a look at its words."""

    def attempt(package: Path, code: Code) -> PackageError:
        before = snapshot(layout.root)
        with pytest.raises(PackageError) as caught:
            installer.install(package)
        assert caught.value.code == code, str(caught.value)
        assert snapshot(layout.root) == before
        assert caught.value.next_step
        return caught.value

    return attempt
