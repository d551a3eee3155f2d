"""Installing real packages: what stands afterwards, what a second version costs, and what failures leave."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from controller.errors import Code, PackageError, RetryableError, StoreError
from controller.model.package import PackageRef, Receipt
from controller.packages import durability
from controller.packages.bytecode import inherit
from controller.packages.install import Installer
from controller.packages.limits import Limits
from controller.packages.receipts import load_receipt, store_receipt
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import BRIGHTNESS, OK, SETUP_HANGS, build_package, make_wheel, sdk_wheels
from tests.packages.conftest import NOW, inspected, marked, snapshot, visible
from tests.packages.zips import append, raw_name, rewrite, with_files
from tests.waiting import eventually

pytestmark = pytest.mark.real
SCREW = PackageRef("screw-check", "1.0.0")
ROOT = "screw-check/"
RECEIPT = Receipt(
    "screw-check", "1.0.0", "sha256:0", "m:C", None, ".", (), "/usr/bin/python3", "3.11.9", "0.3.2", (), NOW
)
SETUP = """
import sys
from controller.packages.bytecode import inherit
from controller.packages.install import Installer
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
layout = StoreLayout.at(sys.argv[1])
installer = Installer(layout, MutationLock(layout), now=lambda: "2026-01-31T08:15:00Z")
"""


def run_in(folder: Path, python_path: tuple[str, ...], working_directory: str, code: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(str(folder / path) for path in python_path),
    }
    return subprocess.run(
        [folder / "venv" / "bin" / "python", "-c", code], cwd=folder / working_directory, env=environment, check=True,
        capture_output=True, text=True,
    ).stdout  # fmt: skip


def test_a_package_of_the_current_sdk(good_zip: Path, installer: Installer, layout: StoreLayout) -> None:
    steps: list[str] = []
    receipt = installer.install(good_zip, progress=steps.append)
    folder = layout.package(SCREW)
    assert steps == ["checking", "unpacking", "building the environment", "proving the entry point", "writing to disk"]
    assert (receipt.ref, receipt.sdk_version, receipt.installed_at) == (SCREW, "0.3.2", NOW)
    assert (receipt.working_directory, receipt.python_path) == ("src", ())
    assert receipt.supported_pids == ("A01", "A02", "A03", "A04")
    assert receipt.digest == installer.survey(good_zip)[1]
    assert load_receipt(folder / "receipt.json") == receipt
    assert (folder / "manifest.json").readlink() == Path("src/manifest.json")
    assert json.loads((folder / "manifest.json").read_text())["name"] == "screw-check"
    assert (folder / "requirements.txt").readlink() == Path("src/requirements.txt")
    assert sorted(path.name for path in (folder / "wheels").iterdir()) == sorted(receipt.wheels)
    assert not (folder / "src" / "wheels").exists()
    assert (folder / "src" / "screw_check" / "__pycache__").is_dir()
    assert run_in(folder, (), "src", f"import {receipt.entry_point.split(':')[0]}; print('in')") == "in\n"
    assert list(layout.staging.iterdir()) == []
    assert {ref: found.folder for ref, found in installer.installations().items()} == {SCREW: str(folder)}


def test_a_package_of_the_legacy_sdk(tmp_path: Path, installer: Installer, layout: StoreLayout) -> None:
    package = build_package(
        tmp_path, name="legacy-check", generation="0.0", source=BRIGHTNESS, supported_pids=["L1", "L2"]
    )
    receipt = installer.install(package)
    assert (receipt.sdk_version, receipt.supported_pids) == ("0.0.7", ("L1", "L2"))
    assert run_in(layout.package(receipt.ref), (), "src", "import PIL, numpy; print('in')") == "in\n"


def test_a_second_install_of_the_same_zip_does_nothing(
    good_zip: Path, installer: Installer, layout: StoreLayout
) -> None:
    first = installer.install(good_zip)
    before = {path: path.lstat().st_mtime_ns for path in layout.deployed.rglob("*")}
    assert installer.install(good_zip) == first
    assert {path: path.lstat().st_mtime_ns for path in layout.deployed.rglob("*")} == before


def inode(folder: Path, pattern: str) -> int:
    return next(folder.glob(pattern)).stat().st_ino


def test_a_second_version_shares_what_no_code_writes_to_and_has_the_rest_for_itself(
    good_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    installer.install(good_zip)
    installer.install(build_package(tmp_path, name="screw-check", version="1.1.0", source=BRIGHTNESS))
    one, two = layout.package(SCREW), layout.package(PackageRef("screw-check", "1.1.0"))
    numpy = "venv/lib/python3*/site-packages/numpy"
    shared = ("wheels/numpy*.whl", f"{numpy}/linalg/_umath*.so", f"{numpy}/__init__.pyi",
              f"{numpy}/__pycache__/__init__.*.pyc")  # fmt: skip
    own = ("src/screw_check/main.py", f"{numpy}/__init__.py", f"{numpy}/py.typed")
    for pattern in shared:
        assert inode(one, pattern) == inode(two, pattern), pattern
    for pattern in own:
        assert inode(one, pattern) != inode(two, pattern), pattern


SPOIL = """
import os, sys
for folder, _, files in os.walk(sys.argv[1]):
    for path in (os.path.join(folder, file) for file in files):
        if path.endswith(tuple(sys.argv[2].split(","))) and not os.path.islink(path):
            with open(path, "r+b") as file:
                file.write(b"# spoilt")
"""
CONTENT = ".json,.dat,.py,.txt,.typed,.csv"
BINARIES = ".so,.pyi,.whl"


def content(folder: Path) -> dict[str, str]:
    return {
        path: fact for path, fact in snapshot(folder).items()
        if not path.endswith((".pyc", "receipt.json", "install.log", "RECORD", "uv_cache.json"))
        and "venv/bin/activate" not in path  # of an old uv it names the folder that it was made in
    }  # fmt: skip


def test_what_a_version_writes_into_its_wheels_stays_its_own_and_a_repair_gives_what_the_zip_holds(
    tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    files = {"lenses/settings.json": b'{"threshold": 10}', "lenses-1.0.data/data/share/lenses/table.dat": b"0" * 64}
    lenses = with_files(make_wheel(tmp_path / "a", "lenses"), tmp_path, files)
    one, two = (
        build_package(tmp_path, name="screw-check", version=version, source=BRIGHTNESS,
                      requirements="procvision-algorithm-sdk==0.3.2\nnumpy\nlenses\n",
                      wheels=[*sdk_wheels("0.3"), lenses])
        for version in ("1.0.0", "1.1.0")
    )  # fmt: skip
    first, second = installer.install(one), installer.install(two)
    spoiling, spared = layout.package(first.ref), layout.package(second.ref)
    pristine = content(spared)
    assert any(path.endswith("share/lenses/table.dat") for path in pristine)

    def spoil(endings: str) -> None:
        subprocess.run([sys.executable, "-c", SPOIL, spoiling, endings], check=True)

    spoil(CONTENT)
    assert content(spared) == pristine

    spoil(BINARIES)  # which stay shared, so no version that is made from now on may have them from there
    for receipt, package in ((second, two), (first, one)):
        (layout.package(receipt.ref) / "venv" / "bin" / "python").unlink()
        installer.install(package)
    assert content(spared) == pristine
    assert b"spoilt" not in (spoiling / "src" / "screw_check" / "main.py").read_bytes()


def test_bytecode_is_taken_over_only_for_the_same_wheel_and_only_as_it_was_installed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        top = tmp_path / name / "venv/lib/python3/site-packages"
        for module in ("same", "other", "stale", "touched"):
            info = top / f"{module}-1.dist-info"
            info.mkdir(parents=True)
            (top / module).mkdir()
            (top / module / "m.py").write_text("x = 1")
            os.utime(top / module / "m.py", (5, 5))
            (info / "RECORD").write_text(f"{module}/m.py,sha256={name if module == 'other' else 'x'},5\n")
    one = tmp_path / "one/venv/lib/python3/site-packages"
    for module in ("same", "other", "stale", "touched"):
        (one / module / "__pycache__").mkdir()
        compiled = one / module / "__pycache__" / "m.cpython-311.pyc"
        compiled.write_bytes(struct.pack("<4I", 1, 0, 6 if module == "stale" else 5, 5))
        (one / module / "__pycache__" / "notes.txt").write_text("")
        (one / module / "__pycache__" / "odd.pyc").write_text("")
    (tmp_path / "one" / "receipt.json").write_text("{}")
    later = (tmp_path / "one" / "receipt.json").stat().st_mtime + 60
    os.utime(one / "touched" / "__pycache__" / "m.cpython-311.pyc", (later, later))
    inherit(tmp_path / "one", tmp_path / "two")
    assert [path.parent.parent.name for path in (tmp_path / "two").rglob("*.pyc")] == ["same"]
    inherit(tmp_path / "gone", tmp_path / "two")


def flatten(name: str) -> str:
    name = name.removeprefix(ROOT)
    return f"src/{name}" if name.startswith("screw_check/") else name


def test_the_flat_layout_keeps_its_shape(
    good_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    assets = {"assets/golden.txt": b"golden"}
    receipt = installer.install(rewrite(good_zip, tmp_path / "flat.zip", rename=flatten, add=assets))
    folder = layout.package(SCREW)
    assert (receipt.working_directory, receipt.python_path) == (".", ("src",))
    assert not (folder / "manifest.json").is_symlink()
    assert (folder / "assets" / "golden.txt").read_bytes() == b"golden"
    module = receipt.entry_point.split(":")[0]
    assert run_in(folder, ("src",), ".", f"import {module}; print(open('assets/golden.txt').read())") == "golden\n"


def test_everything_at_the_root_of_the_zip_goes_into_src(
    good_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    package = rewrite(good_zip, tmp_path / "p.zip", rename=lambda name: name.removeprefix(ROOT), add={"assets/a": b"1"})
    receipt = installer.install(package)
    folder = layout.package(SCREW)
    assert receipt.working_directory == "src"
    assert (folder / "assets").readlink() == Path("src/assets")
    assert (folder / "assets" / "a").read_bytes() == b"1"


def test_wheels_inside_the_package_root_and_strangers_beside_it(
    good_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    package = rewrite(
        good_zip, tmp_path / "p.zip", rename=lambda name: ROOT + name if name.startswith("wheels/") else name,
        add={"__MACOSX/._x": b"", f"{ROOT}empty/": b""},
    )  # fmt: skip
    assert any("__MACOSX/._x" in warning for warning in inspected(installer, package).warnings)
    installer.install(package)
    folder = layout.package(SCREW)
    assert not (folder / "src" / "wheels").exists()
    assert (folder / "src" / "empty").is_dir()
    assert "__MACOSX" not in str(snapshot(folder).keys())


@pytest.mark.parametrize("name", ["venv/bin/python", "receipt.json"])
def test_the_flat_layout_may_not_bring_what_is_ours(
    good_zip: Path, tmp_path: Path, refused: Callable[[Path, Code], PackageError], name: str
) -> None:
    bad = rewrite(good_zip, tmp_path / "bad.zip", add={f"{ROOT}src/x.py": b"", ROOT + name: b"{}"})
    assert "needs for itself" in refused(bad, Code.invalid_zip).message


def test_gbk_names_byte_order_marks_and_modes(
    good_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    def executable(info: zipfile.ZipInfo) -> None:
        info.external_attr = 0o755 << 16

    with zipfile.ZipFile(good_zip) as archive:
        names = [f"{ROOT}manifest.json", f"{ROOT}requirements.txt"]
        marked = {name: b"\xef\xbb\xbf" + archive.read(name) for name in names}
    with_marks = rewrite(good_zip, tmp_path / "marks.zip", replace=marked)
    with_tool = append(with_marks, tmp_path / "tool.zip", f"{ROOT}QQQQ", b"tool", executable)
    installer.install(raw_name(with_tool, tmp_path / "gbk.zip", "QQQQ", "螺丝".encode("gbk")))
    tool = layout.package(SCREW) / "src" / "螺丝"
    assert tool.read_bytes() == b"tool"
    assert tool.stat().st_mode & 0o111
    assert (layout.package(SCREW) / "src" / "manifest.json").read_bytes() == marked[names[0]]


def test_another_zip_of_an_installed_version_is_refused_with_both_digests(
    good_zip: Path, tmp_path: Path, installer: Installer, refused: Callable[[Path, Code], PackageError]
) -> None:
    first = installer.install(good_zip)
    other = rewrite(good_zip, tmp_path / "other.zip", add={f"{ROOT}more.txt": b"more"})
    error = refused(other, Code.invalid_zip)
    assert first.digest in error.message
    assert installer.survey(other)[1] in error.message
    installer.uninstall(SCREW)
    assert installer.install(other).digest != first.digest


def test_expectations_are_checked_first(good_zip: Path, installer: Installer, layout: StoreLayout) -> None:
    before = snapshot(layout.root)
    with pytest.raises(PackageError, match=r"holds screw-check@1\.0\.0, not screw-check@2\.0\.0") as caught:
        installer.install(good_zip, expect=PackageRef("screw-check", "2.0.0"))
    assert caught.value.code == Code.invalid_zip
    with pytest.raises(RetryableError, match="changed since it was looked at"):
        installer.install(good_zip, expect_digest="sha256:" + "0" * 64)
    assert snapshot(layout.root) == before


def test_a_folder_that_is_not_ours_is_neither_replaced_nor_listed(
    good_zip: Path, installer: Installer, layout: StoreLayout, refused: Callable[[Path, Code], PackageError]
) -> None:
    (layout.package(SCREW) / "src").mkdir(parents=True)
    assert "no receipt" in refused(good_zip, Code.install_failed).message
    assert installer.installations() == {}


def test_wheels_that_are_not_what_they_are_called_fail_and_leave_nothing(
    good_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    bad = rewrite(
        good_zip, tmp_path / "bad.zip", rename=lambda name: None if "wheels/numpy" in name else name,
        add={"wheels/numpy-2.0.0-py3-none-any.whl": b"not a wheel"},
    )  # fmt: skip
    before = visible(layout)
    with pytest.raises(PackageError) as caught:
        installer.install(bad)
    assert caught.value.code == Code.install_failed
    assert "numpy" in caught.value.message
    assert visible(layout) == before


def test_conflicting_wheels_are_reported_in_uvs_words(
    good_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    wheels = [make_wheel(tmp_path, "lenses", requires=["glass<2"]), make_wheel(tmp_path, "glass", "1.0"),
              make_wheel(tmp_path, "glass", "2.0")]  # fmt: skip
    text = b"procvision-algorithm-sdk\nlenses\nglass>=2\n"
    bad = rewrite(
        good_zip, tmp_path / "bad.zip", replace={f"{ROOT}requirements.txt": text},
        add={f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels},
    )  # fmt: skip
    with pytest.raises(PackageError, match="glass") as caught:
        installer.install(bad)
    assert caught.value.code == Code.install_failed
    assert list(layout.staging.iterdir()) == []


def test_a_trial_keeps_nothing_and_needs_no_store(good_zip: Path, tmp_path: Path) -> None:
    layout = StoreLayout.at(tmp_path / "no-store")
    steps: list[str] = []
    found = Installer(layout, MutationLock(layout), now=lambda: NOW).trial(good_zip, steps.append)
    assert found.manifest.ref == SCREW
    assert steps[-1] == "proving the entry point"
    assert not layout.root.exists()


def test_uninstall_removes_the_package_and_the_wheels_nobody_uses(
    good_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    installer.install(good_zip)
    second = installer.install(build_package(tmp_path, name="screw-check", version="1.1.0", source=BRIGHTNESS))
    installer.uninstall(SCREW)
    assert list(installer.installations()) == [second.ref]
    assert len(list(layout.cache.glob("wheels/*/*.whl"))) == len(second.wheels)
    installer.uninstall(second.ref)
    installer.uninstall(second.ref)
    assert list(layout.deployed.iterdir()) == []
    assert list(layout.cache.glob("wheels/*")) == []
    assert list(layout.staging.iterdir()) == []
    assert installer.install(good_zip).ref == SCREW


def test_a_store_that_cannot_be_written_is_a_store_error(good_zip: Path, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the store should be")
    layout = StoreLayout.at(tmp_path / "store")
    with pytest.raises(StoreError, match="cannot write"):
        Installer(layout, MutationLock(layout), now=lambda: NOW).install(good_zip)


def test_a_store_with_an_odd_path_and_no_working_directory(good_zip: Path, tmp_path: Path) -> None:
    """`#` and `,` mean something to uv, a colon to Python; a folder that was removed ends uv before it begins."""
    (tmp_path / "gone").mkdir()
    package = rewrite(good_zip, tmp_path / "flat.zip", rename=flatten)
    code = SETUP + "import os\nos.rmdir(os.getcwd())\ninstaller.install(sys.argv[2])"
    odd = tmp_path / "a#b,c:d e%20" / "store"
    subprocess.run([sys.executable, "-c", code, odd, package], cwd=tmp_path / "gone", check=True)
    assert load_receipt(StoreLayout.at(odd).receipt(SCREW)) is not None


def test_a_build_that_somebody_ends_is_not_the_packages_fault(
    good_zip: Path, installer: Installer, layout: StoreLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "uv"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr("uv.find_uv_bin", lambda: str(killed))
    with pytest.raises(StoreError, match=r"uv, .*staging.* was ended by SIGKILL"):
        installer.install(good_zip)
    assert list(layout.staging.iterdir()) == []


@pytest.mark.parametrize("step", ["durability.sync_file_system", "build.unpack", "install.store_receipt"])
def test_a_full_disk_is_a_store_error_and_leaves_nothing(
    good_zip: Path, installer: Installer, layout: StoreLayout, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(f"controller.packages.{step}", full)
    before = visible(layout)
    with pytest.raises(StoreError, match="No space left"):
        installer.install(good_zip)
    assert visible(layout) == before


@pytest.mark.parametrize(
    "stage", ["unpacking", "building the environment", "proving the entry point", "writing to disk"]
)
def test_kill_at_a_stage_leaves_nothing_visible_and_the_next_run_converges(
    good_zip: Path, installer: Installer, layout: StoreLayout, stage: str
) -> None:
    code = SETUP + (
        "import os, signal\n"
        "def die(step):\n    if step == sys.argv[3]: os.kill(os.getpid(), signal.SIGKILL)\n"
        "installer.install(sys.argv[2], progress=die)"
    )
    done = subprocess.run([sys.executable, "-c", code, layout.root, good_zip, stage], check=False)
    assert done.returncode == -signal.SIGKILL
    _converges(good_zip, installer, layout)


def test_kill_while_uv_works_leaves_nothing_visible(good_zip: Path, installer: Installer, layout: StoreLayout) -> None:
    code = SETUP + "installer.install(sys.argv[2])"
    process = subprocess.Popen([sys.executable, "-c", code, layout.root, good_zip], start_new_session=True)
    eventually(lambda: list(layout.staging.glob("*/package/venv/pyvenv.cfg")), "uv at work")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _converges(good_zip, installer, layout)


def test_kill_during_a_proof_that_hangs_leaves_no_process(
    tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    package = build_package(tmp_path, name="hangs", source=SETUP_HANGS)
    process = subprocess.Popen([sys.executable, "-c", SETUP + "installer.install(sys.argv[2])", layout.root, package])
    eventually(lambda: marked(layout, "sleep"), "the proof's own child")
    process.kill()
    process.wait()
    assert marked(layout, "python")
    assert len(installer.sweep()) == 1
    assert marked(layout) == []


def _converges(good_zip: Path, installer: Installer, layout: StoreLayout) -> None:
    assert list(layout.deployed.rglob("*")) == []
    assert len(installer.sweep()) == 1
    assert list(layout.staging.iterdir()) == []
    assert installer.sweep() == ()
    assert installer.install(good_zip).ref == SCREW
    assert list(layout.staging.iterdir()) == []


def test_a_cache_that_a_power_cut_may_have_torn_is_emptied(
    good_zip: Path, installer: Installer, layout: StoreLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    installer.install(good_zip)
    assert installer.sweep() == ()
    (layout.cache / "in-use-before").write_text("the boot before this one")
    assert installer.sweep() == (str(layout.cache),)
    assert list(layout.cache.iterdir()) == []
    installer.uninstall(SCREW)
    assert installer.install(good_zip).ref == SCREW
    monkeypatch.setattr(durability, "boot_id", lambda: "the next boot")
    assert installer.sweep() == ()


def test_two_installations_at_the_same_time_share_their_wheels(
    good_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    other = build_package(tmp_path, name="screw-check", version="1.1.0", source=BRIGHTNESS)
    with ThreadPoolExecutor() as pool:
        receipts = list(pool.map(installer.install, [good_zip, other]))
    numpy = {next((layout.package(receipt.ref) / "wheels").glob("numpy*")).stat().st_ino for receipt in receipts}
    assert len(numpy) == 1
    assert list(layout.staging.iterdir()) == []
    assert list(layout.cache.glob("in-use*")) == []


def test_the_slower_of_two_installers_takes_the_receipt_of_the_faster(
    good_zip: Path, installer: Installer, layout: StoreLayout
) -> None:
    def overtake(step: str) -> None:
        if step == "writing to disk":
            Installer(layout, MutationLock(layout), now=lambda: "2026-01-31T00:00:00Z").install(good_zip)

    assert installer.install(good_zip, progress=overtake).installed_at == "2026-01-31T00:00:00Z"
    assert list(layout.staging.iterdir()) == []


def test_a_receipt_that_makes_no_sense_is_none(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    assert load_receipt(path) is None
    store_receipt(path, RECEIPT)
    odd = [json.loads(path.read_text()) | change for change in ({"working_directory": 5}, {"wheels": "x"})]
    for damaged in (b"", b"{}", b"[]", b'{"name": "x"}', b"\xff", *(json.dumps(each).encode() for each in odd)):
        path.write_bytes(damaged)
        assert load_receipt(path) is None
    with pytest.raises(StoreError, match="cannot read"):
        load_receipt(tmp_path)


def test_undeclared_pids_stay_undeclared(tmp_path: Path, installer: Installer) -> None:
    package = build_package(tmp_path, name="any-pid", source=OK, supported_pids=None)
    assert "the manifest declares no supported_pids" in inspected(installer, package).warnings[0]
    assert installer.install(package).supported_pids is None


@pytest.mark.parametrize(
    ("line", "metadata", "code", "words"),
    [
        ("lenses", "Requires-Dist: glass>=2", Code.wheels_missing, "glass"),
        ("lenses", "Requires-Python: >=3.99", Code.incompatible_python, "3.99"),
    ],
)
def test_what_reading_did_not_find_is_found_by_uv_and_has_the_same_code(
    good_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout,
    line: str, metadata: str, code: Code, words: str,
) -> None:  # fmt: skip
    """A wheel with its METADATA at its front, and more behind it than is kept of a wheel while it is read."""
    wheel = make_wheel(tmp_path, "lenses")
    text = f"Metadata-Version: 2.1\nName: lenses\nVersion: 1.0\n{metadata}\n".encode()
    large = {"lenses/large.bin": os.urandom(Limits().wheel_directory_bytes)}
    changed = rewrite(wheel, tmp_path / "new.whl", replace={"lenses-1.0.dist-info/METADATA": text}, add=large)
    bad = rewrite(
        good_zip, tmp_path / "bad.zip", add={f"wheels/{wheel.name}": changed.read_bytes()},
        replace={f"{ROOT}requirements.txt": f"procvision-algorithm-sdk\n{line}\n".encode()},
    )  # fmt: skip
    before = visible(layout)
    with pytest.raises(PackageError) as caught:
        installer.install(bad)
    assert caught.value.code == code, str(caught.value)
    assert words in caught.value.message
    assert visible(layout) == before


def test_hashes_decide_which_of_two_wheels_is_installed(
    good_zip: Path, tmp_path: Path, installer: Installer, layout: StoreLayout
) -> None:
    wheels = [make_wheel(tmp_path, "lenses", version) for version in ("1.0", "2.0")]
    wanted = hashlib.sha512(wheels[0].read_bytes()).hexdigest()
    package = rewrite(
        good_zip, tmp_path / "p.zip", add={f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels},
        replace={f"{ROOT}requirements.txt": f"procvision-algorithm-sdk\nlenses --hash=sha512:{wanted}\n".encode()},
    )  # fmt: skip
    installer.install(package)
    assert run_in(layout.package(SCREW), (), "src", "import lenses; print(lenses.version)") == "1.0\n"


@pytest.fixture(scope="module")
def standing(good_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Installer, StoreLayout]:
    """An installation for several tests, each of which leaves it whole."""
    layout = StoreLayout.at(tmp_path_factory.mktemp("standing") / "store")
    for folder in layout.folders:
        folder.mkdir(parents=True)
    installer = Installer(layout, MutationLock(layout), now=lambda: NOW)
    installer.install(good_zip)
    return installer, layout


def lose(folder: Path, path: str) -> None:
    (folder / path).rename(folder / "lost")


@pytest.mark.parametrize(
    "damage",
    [
        partial(lose, path="venv/bin/python"),
        partial(lose, path="src"),
        lambda folder: (folder / "receipt.json").write_bytes(b""),
        lambda folder: (folder / "receipt.json").write_text('{"name": "screw-check", "version":'),
        lambda folder: (folder / "receipt.json").write_text((folder / "receipt.json").read_text().replace("[", "{")),
    ],
)
def test_a_damaged_installation_counts_as_none_and_is_repaired_from_the_zip(
    good_zip: Path, standing: tuple[Installer, StoreLayout], damage: Callable[[Path], None]
) -> None:
    installer, layout = standing
    receipt = installer.installations()[SCREW].receipt
    folder = layout.package(SCREW)
    damage(folder)

    assert installer.installations() == {}
    assert installer.install(good_zip).digest == receipt.digest
    assert installer.installations()[SCREW].receipt == receipt
    assert not (folder / "lost").exists()
    assert list(layout.staging.iterdir()) == []
