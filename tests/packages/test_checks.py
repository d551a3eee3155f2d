"""The table of checks: a report tells what became of each, and an install is refused for the first that fails there."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.errors import PackageError
from controller.packages.checks import OPENING, PLACE, PROVING, READING
from controller.packages.examination import CheckResult, Examination
from controller.packages.install import Installer
from controller.packages.limits import Limits
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from tests.packages.conftest import NOW, snapshot
from tests.packages.zips import rewrite

TABLE = [each.name for each in (*OPENING, PLACE, *READING, *PROVING)]
MANIFEST, REQUIREMENTS = "screw-check/manifest.json", "screw-check/requirements.txt"
Spoil = Callable[[Path, Path], Path]


def told(found: Examination) -> dict[str, str]:
    """Return what became of each check, in the order of the report: its code, `passed`, or why it was not reached."""

    def word(result: CheckResult) -> str:
        return result.error.code.name if result.error is not None else result.because or result.state

    return {name: word(result) for name, result in found.results.items()}


def cut_off(good: Path, target: Path) -> Path:
    target.write_bytes(good.read_bytes()[:2000])
    return target


def bomb(good: Path, target: Path) -> Path:
    target.write_bytes(good.read_bytes())
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as package:
        package.writestr("screw-check/zeros.bin", bytes(65 << 20))
    return target


def outside(good: Path, target: Path) -> Path:
    return rewrite(good, target, add={"screw-check/../../evil": b""})


def without_manifest(good: Path, target: Path) -> Path:
    return rewrite(good, target, rename=lambda name: None if name == MANIFEST else name)


def nameless(good: Path, target: Path) -> Path:
    return rewrite(good, target, replace={MANIFEST: b'{"name": ""}', REQUIREMENTS: b"-e .\nglass\n"})


def without_wheels(good: Path, target: Path) -> Path:
    return rewrite(good, target, rename=lambda name: None if name.endswith(".whl") else name)


def lacking(good: Path, target: Path) -> Path:
    with zipfile.ZipFile(good) as package:
        manifest = json.loads(package.read(MANIFEST))
    manifest["required_assets"] = ["golden.png"]
    text = b"procvision-algorithm-sdk\nglass\n"
    return rewrite(good, target, replace={MANIFEST: json.dumps(manifest).encode(), REQUIREMENTS: text})


SPOILT: list[tuple[Spoil, str, dict[str, str]]] = [
    (cut_off, "zip", {"sizes": "zip failed", "entry_point": "zip failed"}),
    (bomb, "sizes", {"zip": "passed", "names": "sizes failed"}),
    (outside, "names", {"sizes": "passed", "structure": "names failed", "sdk": "names failed"}),
    (without_manifest, "structure", {"names": "passed", "manifest": "structure failed", "files": "structure failed"}),
    (nameless, "manifest", {"files": "passed", "assets": "manifest failed", "requirements": "wheels_missing"}),
    (without_wheels, "wheels", {"content": "passed", "interpreter": "wheels failed", "sdk": "wheels failed"}),
    (lacking, "assets", {"manifest": "passed", "closure": "wheels_missing", "sdk": "closure failed"}),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "first", "others"), SPOILT, ids=[spoil.__name__ for spoil, _, _ in SPOILT])
def test_a_report_tells_every_check_and_an_install_is_refused_for_the_first(
    small_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout, spoil: Spoil, first: str,
    others: dict[str, str],
) -> None:  # fmt: skip
    package = spoil(small_zip, tmp_path / "spoilt.zip")
    before = snapshot(layout.root)
    found = installer.trial(package, beside=True)
    rows = told(found)
    assert list(rows) == TABLE
    assert next(name for name, result in found.results.items() if result.state == "failed") == first
    assert rows | others == rows
    assert rows["environment"].endswith(" failed"), "nothing is built of it"
    with pytest.raises(PackageError) as refused:
        installer.install(package)
    assert refused.value.code == found.errors[0].code
    assert found.errors[0].message in refused.value.message
    assert snapshot(layout.root) == before


def test_another_artefact_of_an_installed_version_is_told_beside_a_store_only(
    small_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    first = installer.trial(small_zip, beside=True, prove=False)
    assert (first.errors, told(first)["environment"]) == ([], "it was not asked for")
    receipt = layout.receipt(first.known_manifest.ref)
    receipt.parent.mkdir(parents=True)
    (receipt.parent / "left.txt").write_text("somebody's")
    found = installer.trial(small_zip, beside=True)
    assert told(found)["place"] == "install_failed"
    assert told(found)["environment"] == "place failed"
    alone = Installer(layout, MutationLock(layout), now=lambda: NOW).trial(small_zip, prove=False)
    assert told(alone)["place"] == "no store was looked at"


def test_the_limits_in_force_decide_what_is_too_large(small_zip: Path, layout: StoreLayout) -> None:
    small = Installer(layout, MutationLock(layout), now=lambda: NOW, limits=lambda: Limits(total_bytes=1000))
    assert told(small.look(small_zip))["sizes"] == "invalid_zip"
