"""Requirements against wheels against interpreters: 2003 and 2004, found before anything is written."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.errors import Code, PackageError
from controller.packages.examination import Inspection
from controller.packages.install import Installer
from controller.packages.interpreters import Interpreter, Interpreters
from controller.packages.requirements import Requirements, read_requirements
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import make_wheel
from tests.packages.conftest import NOW, inspected, snapshot
from tests.packages.zips import rewrite

Refused = Callable[[Path, Code], PackageError]
REQUIREMENTS = "screw-check/requirements.txt"
SDK = "procvision-algorithm-sdk==0.3.2\n"


def with_requirements(small_zip: Path, target: Path, text: str, *wheels: Path) -> Path:
    added = {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels}
    return rewrite(small_zip, target, replace={REQUIREMENTS: text.encode()}, add=added)


def retagged(small_zip: Path, target: Path, tag: str) -> Path:
    def rename(name: str) -> str:
        return f"wheels/numpy-2.0.0-{tag}.whl" if name.startswith("wheels/numpy") else name

    return rewrite(small_zip, target, rename=rename)


@pytest.mark.parametrize("tag", ["cp39-cp39-win_amd64", "cp27-cp27m-manylinux2014_x86_64", "cp399-cp399-any"])
def test_wheels_for_another_python_are_2003(small_zip: Path, tmp_path: Path, refused: Refused, tag: str) -> None:
    error = refused(retagged(small_zip, tmp_path / "bad.zip", tag), Code.incompatible_python)
    assert tag in error.message
    assert "Python 3." in error.message
    assert error.details["interpreters"]


def test_a_policy_interpreter_that_does_not_run_is_named(small_zip: Path, tmp_path: Path, layout: StoreLayout) -> None:
    broken = tmp_path / "python3.10"
    broken.write_text("#!/bin/sh\necho 'no such version' >&2\nexit 127\n")
    broken.chmod(0o755)
    installer = Installer(
        layout, MutationLock(layout), now=lambda: NOW, pythons=lambda: [str(broken), "/nowhere/python3"]
    )
    with pytest.raises(PackageError) as caught:
        installer.install(retagged(small_zip, tmp_path / "bad.zip", "cp39-cp39-win_amd64"))
    assert f"{broken}: it does not run: no such version" in caught.value.message
    assert "/nowhere/python3: No such file or directory" in caught.value.message
    assert snapshot(layout.root)["algorithms/.staging"] == "folder"


def test_broken_shims_on_path_are_left_out_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("python3", "python3.9", "python3-config"):
        shim = tmp_path / name
        shim.write_text("#!/bin/sh\nexit 127\n")
        shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere")
    found = list(Interpreters([]).at_hand())
    assert len(found) == 1
    assert isinstance(found[0], Interpreter)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo hello", "does not answer like a Python"),
        ("echo \"{'implementation': 'pypy'}\"", "it is pypy"),
        ("echo \"{'implementation': 'cpython', 'platform': 'win-amd64'}\"", "it is for win-amd64"),
    ],
)
def test_what_is_no_interpreter_for_here_says_why(tmp_path: Path, script: str, words: str) -> None:
    fake = tmp_path / "fake"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    assert words in str(Interpreters([str(fake)]).unusable()[0])


def test_a_policy_interpreter_that_does_not_run_is_a_warning_where_another_fits(
    small_zip: Path, layout: StoreLayout
) -> None:
    installer = Installer(layout, MutationLock(layout), now=lambda: NOW, pythons=lambda: ["/nowhere/python3"])
    assert "spec.pythons: /nowhere/python3: No such file or directory" in inspected(installer, small_zip).warnings


def says_that_it_is_3_99(folder: Path) -> Path:
    """Write what answers, when it is asked, as a CPython 3.99 does."""
    python = folder / "python3.99"
    facts = {
        "executable": str(python), "implementation": "cpython", "platform": sysconfig.get_platform(),
        "version": "3.99.0", "numbers": (3, 99), "free_threaded": False, "debug": False,
    }  # fmt: skip
    python.write_text(f'#!/bin/sh\necho "{facts}"\n')
    python.chmod(0o755)
    return python


def test_a_policy_that_is_edited_is_in_force_at_the_next_look(
    small_zip: Path, tmp_path: Path, layout: StoreLayout
) -> None:
    pythons: list[str] = []
    installer = Installer(layout, MutationLock(layout), now=lambda: NOW, pythons=lambda: tuple(pythons))
    package = retagged(small_zip, tmp_path / "p.zip", "cp399-none-any")
    with pytest.raises(PackageError, match="no interpreter here fits"):
        inspected(installer, package)
    pythons.append(str(says_that_it_is_3_99(tmp_path)))
    assert inspected(installer, package).interpreter.numbers == (3, 99)
    pythons.clear()
    with pytest.raises(PackageError, match="no interpreter here fits"):
        inspected(installer, package)


def test_an_interpreter_that_did_not_run_is_asked_again_and_one_that_did_is_not(tmp_path: Path) -> None:
    """Its own file is the same all the time: what it needs was installed, or the machine had no time for it."""
    real, asked = says_that_it_is_3_99(tmp_path), tmp_path / "asked"
    real.rename(tmp_path / "not-yet")
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\necho >>{asked}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    interpreters = Interpreters([str(wrapper)])
    assert "it does not run" in str(interpreters.unusable())
    (tmp_path / "not-yet").rename(real)
    assert interpreters.unusable() == interpreters.unusable() == []
    assert "Python 3.99.0" in str([str(found) for found in interpreters.at_hand()])
    assert asked.read_text().count("\n") == 2


def test_a_missing_wheel_is_2004_and_named(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    bad = with_requirements(small_zip, tmp_path / "bad.zip", SDK + "numpy\nopencv-python>=4\n")
    assert (
        "opencv-python>=4 (wanted by requirements.txt): there is no wheel" in refused(bad, Code.wheels_missing).message
    )


def test_a_wheel_of_another_version_is_2004(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    bad = with_requirements(small_zip, tmp_path / "bad.zip", SDK + "numpy<1\n")
    assert "numpy<1 (wanted by requirements.txt): there is only" in refused(bad, Code.wheels_missing).message


def test_a_missing_dependency_of_a_wheel_is_2004_and_says_whose(
    small_zip: Path, tmp_path: Path, refused: Refused
) -> None:
    long = 'tint; (python_version >= "3.9" and platform_system == "Nowhere") and (extra == "dark" or extra == "darker")'
    wheel = make_wheel(tmp_path, "lenses", requires=[long, "glass>=2"])
    bad = with_requirements(small_zip, tmp_path / "bad.zip", SDK + "numpy\nlenses\n", wheel)
    assert "glass>=2 (wanted by lenses 1.0)" in refused(bad, Code.wheels_missing).message


def test_a_wheel_that_wants_another_python_is_2003(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    wheel = make_wheel(tmp_path, "lenses", requires=["numpy"])
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("METADATA"))
    picky = rewrite(
        wheel, tmp_path / f"new-{wheel.name}",
        replace={name: b"Metadata-Version: 2.1\nName: lenses\nVersion: 1.0\nRequires-Python: >=3.99\n"},
    )  # fmt: skip
    bad = with_requirements(small_zip, tmp_path / "bad.zip", SDK + "numpy\nlenses\n", picky.replace(wheel))
    assert "Python >=3.99" in refused(bad, Code.incompatible_python).message


def test_a_requirement_that_a_marker_excludes_is_not_asked_for(
    small_zip: Path, tmp_path: Path, installer: Installer
) -> None:
    wheel = make_wheel(tmp_path, "pywin32", tag="cp310-cp310-win_amd64")
    text = SDK + 'numpy\npywin32; sys_platform == "win32"\n'
    found = inspected(installer, with_requirements(small_zip, tmp_path / "p.zip", text, wheel))
    assert isinstance(found, Inspection)
    assert wheel.name in found.wheels


def test_extras_are_followed(small_zip: Path, tmp_path: Path, refused: Refused, installer: Installer) -> None:
    wheel = make_wheel(tmp_path, "lenses", requires=['glass>=2; extra == "zoom"'])
    plain = with_requirements(small_zip, tmp_path / "plain.zip", SDK + "numpy\nlenses\n", wheel)
    assert inspected(installer, plain).wheels
    zoom = with_requirements(small_zip, tmp_path / "zoom.zip", SDK + "numpy\nlenses[zoom]\n", wheel)
    assert "glass>=2" in refused(zoom, Code.wheels_missing).message


@pytest.mark.parametrize("keep", [(), ("wheels/README.txt",)])
def test_no_wheels_is_2004(small_zip: Path, tmp_path: Path, refused: Refused, keep: tuple[str, ...]) -> None:
    bad = rewrite(
        small_zip, tmp_path / "bad.zip", rename=lambda name: None if name.startswith("wheels/") else name,
        add=dict.fromkeys(keep, b"empty"),
    )  # fmt: skip
    assert "wheels/ is missing or empty" in refused(bad, Code.wheels_missing).message


def test_no_sdk_among_the_wheels_is_2004(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    bad = rewrite(
        small_zip, tmp_path / "bad.zip", replace={REQUIREMENTS: b"numpy\n"},
        rename=lambda name: None if name.startswith("wheels/procvision") else name,
    )  # fmt: skip
    assert "procvision-algorithm-sdk (wanted by every algorithm)" in refused(bad, Code.wheels_missing).message


def test_what_is_not_named_like_a_wheel_is_left_out_and_said(
    small_zip: Path, tmp_path: Path, refused: Refused, installer: Installer
) -> None:
    strange = {"wheels/notes.whl": b"x", "wheels/numpy-2.0.0-py3-none-any (1).whl": b"x"}
    found = inspected(installer, rewrite(small_zip, tmp_path / "p.zip", add=strange))
    assert (
        "not named like a wheel and left out: wheels/notes.whl, wheels/numpy-2.0.0-py3-none-any (1).whl"
        in found.warnings
    )
    assert len(found.wheels) == 2
    only = rewrite(
        small_zip, tmp_path / "b.zip", rename=lambda name: None if name.startswith("wheels/") else name, add=strange
    )
    assert "wheels/notes.whl" in refused(only, Code.wheels_missing).message


def test_two_wheels_of_one_name_are_2001(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    wheel = make_wheel(tmp_path, "lenses")
    both = {f"{folder}wheels/{wheel.name}": wheel.read_bytes() + folder.encode() for folder in ("", "screw-check/")}
    assert (
        "two wheels of one name" in refused(rewrite(small_zip, tmp_path / "b.zip", add=both), Code.invalid_zip).message
    )


@pytest.mark.parametrize("value", [f"sha256:{'0' * 64}", f"sha512:{'0' * 128}"])
def test_a_hash_that_no_wheel_has_is_2004(small_zip: Path, tmp_path: Path, refused: Refused, value: str) -> None:
    text = f"{SDK}numpy --hash={value}\n"
    assert (
        "numpy"
        in (error := refused(with_requirements(small_zip, tmp_path / "b.zip", text), Code.wheels_missing)).message
    )
    assert "hashes" in error.message


def test_a_hash_that_a_wheel_has_is_taken(small_zip: Path, tmp_path: Path, installer: Installer) -> None:
    wheels = inspected(installer, small_zip).wheels
    numpy = next(digest for file, digest in wheels.items() if file.startswith("numpy"))
    text = f"{SDK}numpy \\\n  --hash=sha256:{'0' * 64} \\\n  --hash=sha256:{numpy}\n"
    assert inspected(installer, with_requirements(small_zip, tmp_path / "p.zip", text)).wheels == wheels


def test_the_digest_of_each_wheel_is_that_of_its_bytes(small_zip: Path, installer: Installer) -> None:
    with zipfile.ZipFile(small_zip) as archive:
        real = {
            name.removeprefix("wheels/"): hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist() if name.startswith("wheels/")
        }  # fmt: skip
    assert inspected(installer, small_zip).wheels == real


def parsed(text: str, **files: str) -> Requirements:
    """Read `requirements.txt` in the folder `p` of a zip that has `files` there too, `_` for a dot."""
    there = {"p/requirements.txt": text, **{f"p/{name.replace('_', '.')}": content for name, content in files.items()}}
    return read_requirements("p/requirements.txt", there.get)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-r other.txt", "p/other.txt is not in the package"),
        ("-r ../../other.txt", "is not a file of the package"),
        ("-c https://example.org/c.txt", "is not a file of the package"),
        ("-e .", "the option -e"),
        ("--editable=.", "the option --editable"),
        ("numpy @ https://example.org/numpy.whl", "is to come from https://example.org/numpy.whl"),
        ("https://example.org/numpy.whl", "is not a requirement"),
        ("./wheels/numpy.whl", "is not a requirement"),
        ("numpy = 1", "is not a requirement"),
        ("numpy --config-settings x", "has an option"),
        ("numpy --hash=md5:0123", "is not a hash"),
    ],
)
def test_lines_that_need_more_than_wheels_are_refused(line: str, words: str) -> None:
    with pytest.raises(PackageError) as caught:
        parsed(f"# first\n{line}\n-e .\n")
    assert caught.value.code == Code.wheels_missing
    assert words in caught.value.message
    assert "requirements.txt:2" in caught.value.message
    assert "requirements.txt:3: the option -e" in caught.value.message


def test_lines_about_where_to_download_from_are_ignored_and_said() -> None:
    lines = [
        "-i https://example.org/simple", "--index-url=https://example.org", "--extra-index-url https://example.org",
        "--find-links=/tmp", "-f /tmp", "--trusted-host example.org", "--prefer-binary", "--no-index",
    ]  # fmt: skip
    found = parsed("\n".join([*lines, "numpy"]))
    assert [str(pinned.requirement) for pinned in found.wanted] == ["numpy"]
    assert len(found.ignored) == len(lines)
    assert found.ignored[0].startswith("p/requirements.txt:1: -i says where")


def test_files_that_are_named_are_followed_once_each() -> None:
    found = parsed(
        "-r base.txt\n--constraint=pins.txt\nlenses\n", base_txt="numpy\n-rbase.txt\n-r requirements.txt\n",
        pins_txt="glass<2\n-c base.txt\n",
    )  # fmt: skip
    assert [str(pinned.requirement) for pinned in found.wanted] == ["numpy", "lenses"]
    assert [str(pinned.requirement) for pinned in found.constraints] == ["glass<2", "numpy", "lenses"]
    assert found.wanted[0].wanted_by == "base.txt"


def test_comments_continuations_extras_and_markers_are_read() -> None:
    text = (
        "# a comment\n\nnumpy==1.26.4  # why\nlenses[zoom,\\\nwide] >= 2 ; python_version > '3' \\\n"
        f"  --hash=sha256:{'A' * 64}\n# a comment that ends with a backslash \\\nlast\\\n"
    )
    lines = parsed(text).wanted
    assert [str(pinned.requirement) for pinned in lines] == [
        "numpy==1.26.4", 'lenses[wide,zoom]>=2; python_version > "3"', "last",
    ]  # fmt: skip
    assert lines[1].hashes == (f"sha256:{'a' * 64}",)
    assert lines[1].line.endswith(f"--hash=sha256:{'a' * 64}")


def test_constraints_choose_among_the_wheels(
    small_zip: Path, tmp_path: Path, refused: Refused, installer: Installer
) -> None:
    wheels = [make_wheel(tmp_path, "glass", version) for version in ("1.0", "2.0")]
    package = with_requirements(small_zip, tmp_path / "p.zip", SDK + "numpy\nglass\n-c pins.txt\n", *wheels)
    pinned = rewrite(package, tmp_path / "pinned.zip", add={"screw-check/pins.txt": "glass<2\r\n".encode("utf-16")})
    assert {file for file in inspected(installer, pinned).allowed if "glass" in file} == {wheels[0].name}
    bad = rewrite(package, tmp_path / "bad.zip", add={"screw-check/pins.txt": b"glass<1\n"})
    assert "the constraints exclude 1.0, 2.0" in refused(bad, Code.wheels_missing).message


def test_a_spare_wheel_that_lacks_something_is_no_obstacle(
    small_zip: Path, tmp_path: Path, refused: Refused, installer: Installer
) -> None:
    """uv would choose acase 1.0, which needs nothing, for bcase too."""
    wheels = [
        make_wheel(tmp_path, "acase", "1.0"),
        make_wheel(tmp_path, "acase", "2.0", requires=["ccase"]),
        make_wheel(tmp_path, "bcase", "1.0", requires=["acase"]),
        make_wheel(tmp_path, "ring-a", requires=["ring-b"]),
        make_wheel(tmp_path, "ring-b", requires=["ring-a", "acase"]),
    ]
    text = f"{SDK}numpy\nacase==1.0\nbcase==1.0\nring-a\n"
    assert inspected(installer, with_requirements(small_zip, tmp_path / "p.zip", text, *wheels)).wheels
    bad = with_requirements(small_zip, tmp_path / "bad.zip", f"{SDK}numpy\nring-a\nacase==2.0\n", *wheels)
    assert "ccase (wanted by acase 2.0): there is no wheel of it" in refused(bad, Code.wheels_missing).message
    without = [wheel for wheel in wheels if "acase-1" not in wheel.name]
    bad = with_requirements(small_zip, tmp_path / "bad.zip", f"{SDK}numpy\nring-a\n", *without)
    assert "ccase (wanted by acase 2.0)" in refused(bad, Code.wheels_missing).message


def test_a_package_for_windows_is_told_how_to_be_packed_for_here(
    small_zip: Path, tmp_path: Path, refused: Refused, installer: Installer
) -> None:
    package = retagged(small_zip, tmp_path / "windows.zip", "cp310-cp310-win_amd64")
    error = refused(package, Code.incompatible_python)
    assert "it is packed for Windows (win_amd64), this machine is Linux" in error.message
    major, minor = sys.version_info[:2]
    assert f"`procvision-cli package DIR -w manylinux2014_{platform.machine()} -p " in error.next_step
    assert f"-b cp{major}{minor}`" in error.next_step

    found = installer.look(package)
    assert found.manifest is not None
    assert found.manifest.name == "screw-check"
    assert [each.code for each in found.errors] == [Code.incompatible_python]
    assert len(found.wheels) == 2


def test_a_package_for_another_python_of_this_machine_may_get_it(
    small_zip: Path, tmp_path: Path, refused: Refused
) -> None:
    error = refused(retagged(small_zip, tmp_path / "b.zip", "cp39-cp39-linux_x86_64"), Code.incompatible_python)
    assert "it is packed for Python 3.9" in error.message
    assert "spec.pythons" in error.next_step


@pytest.mark.parametrize("version", ["0.0.3", "0.0.5"])
def test_an_sdk_without_an_adapter_is_named(small_zip: Path, tmp_path: Path, refused: Refused, version: str) -> None:
    """These versions have no `procvision_algorithm_sdk.adapter`; what they were packed with is told by the wheel."""
    wheel = make_wheel(tmp_path, "procvision-algorithm-sdk", version)
    package = with_requirements(small_zip, tmp_path / "b.zip", f"procvision-algorithm-sdk=={version}\nnumpy\n", wheel)
    error = refused(package, Code.install_failed)
    assert f"procvision-algorithm-sdk {version} has no adapter" in error.message
    assert "procvision-algorithm-sdk>=0.0.6" in error.next_step


def test_everything_that_is_wrong_or_strange_is_found_at_once(
    small_zip: Path, tmp_path: Path, installer: Installer
) -> None:
    manifest = {"name": "screw-check", "version": "1.0.0", "entry_point": "a.b:C", "required_assets": ["golden.png"]}
    spare = make_wheel(tmp_path, "numpy", "2.0.0", tag="cp310-cp310-win_amd64")
    package = with_requirements(small_zip, tmp_path / "p.zip", f"{SDK}numpy\n-i https://example.org\n", spare)
    package = rewrite(
        package, tmp_path / "q.zip", replace={"screw-check/manifest.json": json.dumps(manifest).encode()},
        add={"notes.txt": b"", "wheels/notes.whl": b""},
    )  # fmt: skip
    found = installer.look(package)
    assert [str(each.code.name) for each in found.errors] == ["invalid_zip"]
    assert "golden.png" in found.errors[0].message
    strange = "\n".join(found.warnings)
    for words in (
        "left out: notes.txt", "left out: wheels/notes.whl", "requirements.txt:3: -i", "declares no supported_pids",
        f"of no use: {spare.name}",
    ):  # fmt: skip
        assert words in strange
    assert len(found.warnings) == 5
    worse = rewrite(package, tmp_path / "r.zip", replace={REQUIREMENTS: b"-e .\n"})
    assert [each.code for each in installer.look(worse).errors] == [Code.invalid_zip, Code.wheels_missing]
    assert [each.code for each in installer.trial(worse).errors] == [Code.invalid_zip, Code.wheels_missing]
