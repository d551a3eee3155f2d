"""Requirements against wheels against interpreters: 2003 and 2004, found before anything is written."""

from __future__ import annotations

import hashlib
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.errors import Code, PackageError
from controller.packages.inspection import Inspection
from controller.packages.install import Installer
from controller.packages.interpreters import Interpreter, Interpreters
from controller.packages.requirements import parse_requirements
from controller.store.layout import StoreLayout
from controller.store.lock import MutationLock
from examples.packing import make_wheel
from tests.packages.conftest import NOW, snapshot
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
    assert "spec.pythons: /nowhere/python3: No such file or directory" in installer.inspect(small_zip).warnings


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
        installer.inspect(package)
    pythons.append(str(says_that_it_is_3_99(tmp_path)))
    assert installer.inspect(package).interpreter.numbers == (3, 99)
    pythons.clear()
    with pytest.raises(PackageError, match="no interpreter here fits"):
        installer.inspect(package)


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
    wheel = make_wheel(tmp_path, "lenses", requires=["glass>=2"])
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
    found = installer.inspect(with_requirements(small_zip, tmp_path / "p.zip", text, wheel))
    assert isinstance(found, Inspection)
    assert wheel.name in found.wheels


def test_extras_are_followed(small_zip: Path, tmp_path: Path, refused: Refused, installer: Installer) -> None:
    wheel = make_wheel(tmp_path, "lenses", requires=['glass>=2; extra == "zoom"'])
    plain = with_requirements(small_zip, tmp_path / "plain.zip", SDK + "numpy\nlenses\n", wheel)
    assert installer.inspect(plain).wheels
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


def test_a_file_that_is_not_named_like_a_wheel_is_2004(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    bad = rewrite(small_zip, tmp_path / "bad.zip", add={"wheels/numpy.whl": b"x"})
    assert "wheels/numpy.whl" in refused(bad, Code.wheels_missing).message


def test_two_wheels_of_one_name_are_2001(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    wheel = make_wheel(tmp_path, "lenses")
    both = {f"{folder}wheels/{wheel.name}": wheel.read_bytes() for folder in ("", "screw-check/")}
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
    wheels = installer.inspect(small_zip).wheels
    numpy = next(digest for file, digest in wheels.items() if file.startswith("numpy"))
    text = f"{SDK}numpy \\\n  --hash=sha256:{'0' * 64} \\\n  --hash=sha256:{numpy}\n"
    assert installer.inspect(with_requirements(small_zip, tmp_path / "p.zip", text)).wheels == wheels


def test_the_digest_of_each_wheel_is_that_of_its_bytes(small_zip: Path, installer: Installer) -> None:
    with zipfile.ZipFile(small_zip) as archive:
        real = {
            name.removeprefix("wheels/"): hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist() if name.startswith("wheels/")
        }  # fmt: skip
    assert installer.inspect(small_zip).wheels == real


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-r other.txt", "the option -r is not allowed"),
        ("-e .", "the option -e"),
        ("-c constraints.txt", "the option -c"),
        ("--index-url https://example.org/simple", "the option --index-url"),
        ("--find-links=/tmp", "the option --find-links"),
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
        parse_requirements(f"# first\n{line}\n", "requirements.txt")
    assert caught.value.code == Code.wheels_missing
    assert words in caught.value.message
    assert "requirements.txt:2" in caught.value.message


def test_comments_continuations_extras_and_markers_are_read() -> None:
    text = (
        "# a comment\n\nnumpy==1.26.4  # why\nlenses[zoom,\\\nwide] >= 2 ; python_version > '3' \\\n"
        f"  --hash=sha256:{'A' * 64}\n# a comment that ends with a backslash \\\nlast\\\n"
    )
    lines = parse_requirements(text, "requirements.txt")
    assert [str(pinned.requirement) for pinned in lines] == [
        "numpy==1.26.4", 'lenses[wide,zoom]>=2; python_version > "3"', "last",
    ]  # fmt: skip
    assert lines[1].hashes == (f"sha256:{'a' * 64}",)
    assert lines[1].line.endswith(f"--hash=sha256:{'a' * 64}")
