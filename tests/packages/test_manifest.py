"""The manifest and where it stands: every refusal names the key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.errors import Code, PackageError
from controller.model.package import RequiredAsset
from controller.packages.install import Installer
from controller.packages.manifest import parse_manifest
from tests.packages.conftest import inspected
from tests.packages.zips import rewrite

Refused = Callable[[Path, Code], PackageError]
MANIFEST = "screw-check/manifest.json"
GOOD: dict[str, Any] = {"name": "screw-check", "version": "1.0.0", "entry_point": "screw_check.main:Check"}


def as_bytes(**changes: Any) -> bytes:
    document = {**GOOD, **changes}
    return json.dumps({key: value for key, value in document.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ...}, "name is missing"),
        ({"version": ...}, "version is missing"),
        ({"entry_point": ...}, "entry_point is missing"),
        ({"name": ""}, "name is empty"),
        ({"name": 7}, "name must be text, got 7"),
        ({"version": 1.1}, "version must be text, got 1.1"),
        ({"name": "../evil"}, "name '../evil' is not safe"),
        ({"name": ".."}, "name '..' is not safe"),
        ({"name": "."}, "name '.' is not safe"),
        ({"name": "a/b"}, "name 'a/b' is not safe"),
        ({"name": "a\n"}, "name 'a\\n' is not safe"),
        ({"name": "x" * 64}, "is not safe"),
        ({"version": "1.0 0"}, "version '1.0 0' is not safe"),
        ({"version": "-1"}, "version '-1' is not safe"),
        ({"entry_point": "main"}, "entry_point must be like package.module:Class"),
        ({"entry_point": "main:"}, "entry_point must be like"),
        ({"entry_point": "a..b:C"}, "entry_point must be like"),
        ({"entry_point": "os;x:C"}, "entry_point must be like"),
        ({"entry_point": ["main:C"]}, "entry_point must be text"),
        ({"description": []}, "description must be text"),
        ({"supported_pids": "A01"}, "supported_pids must be a list"),
        ({"supported_pids": ["A01", 2]}, "supported_pids[1] must be text, got 2"),
        ({"supported_pids": ["../A01"]}, "supported_pids[0] '../A01' is not a safe PID"),
        ({"supported_pids": [""]}, "supported_pids[0] '' is not a safe PID"),
        ({"required_assets": "golden.png"}, "required_assets must be a list"),
        ({"required_assets": [1]}, "required_assets[0] must be text"),
        ({"required_assets": {"A01": {"model": 7}}}, "required_assets.A01.model must be text, got 7"),
        ({"required_assets": {"A01": {"model": "../x"}}}, "required_assets.A01.model '../x' leaves the package"),
        ({"assets": {"required": 1}}, "assets"),
        ({"assets": 1}, "assets must be a list"),
    ],
)
def test_a_wrong_key_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PackageError) as caught:
        parse_manifest(as_bytes(**changes), "manifest.json")
    assert caught.value.code == Code.invalid_zip
    assert words in caught.value.message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"\xff\xff", b"[" * 100_000, b'{"name": NaN'])
def test_what_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(PackageError) as caught:
        parse_manifest(content, "manifest.json")
    assert caught.value.code == Code.invalid_zip


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(PackageError) as caught:
        parse_manifest(as_bytes(name=..., entry_point="main", supported_pids=[1]), "manifest.json")
    assert [each.split(" ")[:2] for each in caught.value.message.split("; ")] == [
        ["manifest.json:", "name"], ["manifest.json:", "entry_point"], ["manifest.json:", "supported_pids[0]"],
    ]  # fmt: skip


def test_what_is_nested_too_deep_for_anybody_is_refused() -> None:
    steps: list[Any] = []
    for _ in range(300):
        steps = [steps]
    with pytest.raises(PackageError, match="nested more than 64 deep"):
        parse_manifest(as_bytes(steps=steps), "manifest.json")


def test_steps_are_kept_as_they_are_written() -> None:
    steps = [
        {"index": 0, "name": "示例", "params": [{"key": "threshold", "type": "float", "default": 0.5, "min": 0.0}]}
    ]
    assert parse_manifest(as_bytes(steps=steps), "manifest.json").steps == tuple(steps)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "gbk"])
def test_what_windows_writes_is_read(encoding: str) -> None:
    text = json.dumps({**GOOD, "description": "螺丝检测"}, ensure_ascii=False)
    assert parse_manifest(text.encode(encoding), "manifest.json").description == "螺丝检测"


def test_a_byte_order_mark_and_gbk_are_read() -> None:
    assert parse_manifest(b"\xef\xbb\xbf" + as_bytes(), "manifest.json").name == "screw-check"
    text = json.dumps({**GOOD, "description": "螺丝检测"}, ensure_ascii=False)
    assert parse_manifest(text.encode("gbk"), "manifest.json").description == "螺丝检测"


def test_absent_pids_are_none_and_an_empty_list_is_none_supported() -> None:
    assert parse_manifest(as_bytes(), "manifest.json").supported_pids is None
    assert parse_manifest(as_bytes(supported_pids=[]), "manifest.json").supported_pids == ()
    assert parse_manifest(as_bytes(supported_pids=["B", "A", "B"]), "manifest.json").supported_pids == ("B", "A")


@pytest.mark.parametrize(
    "assets", [{"required_assets": ["a.png"]}, {"assets": ["a.png"]}, {"assets": {"required": ["a.png"]}}]
)
def test_required_assets_have_three_spellings(assets: dict[str, Any]) -> None:
    assert parse_manifest(as_bytes(**assets), "manifest.json").required_assets == (RequiredAsset("a.png"),)


def test_no_manifest_is_2002(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    bad = rewrite(small_zip, tmp_path / "bad.zip", rename=lambda name: None if name == MANIFEST else name)
    assert "manifest.json" in refused(bad, Code.manifest_missing).message


def test_two_manifests_at_one_depth_are_ambiguous(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    bad = rewrite(small_zip, tmp_path / "bad.zip", add={"other/manifest.json": b"{}"})
    assert "other/manifest.json" in refused(bad, Code.invalid_zip).message


def test_a_deeper_manifest_is_no_ambiguity(small_zip: Path, tmp_path: Path, installer: Installer) -> None:
    package = rewrite(small_zip, tmp_path / "p.zip", add={"screw-check/models/manifest.json": b"{}"})
    assert inspected(installer, package).manifest.name == "screw-check"


def test_a_broken_manifest_in_a_zip_says_where(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    bad = rewrite(small_zip, tmp_path / "bad.zip", replace={MANIFEST: as_bytes(name="..")})
    assert "screw-check/manifest.json: name" in refused(bad, Code.invalid_zip).message


def test_a_missing_asset_is_refused(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    bad = rewrite(small_zip, tmp_path / "bad.zip", replace={MANIFEST: as_bytes(required_assets=["assets/golden.png"])})
    assert "assets/golden.png" in refused(bad, Code.invalid_zip).message


def test_assets_in_the_form_of_the_sdk_are_named_by_their_use(
    small_zip: Path, tmp_path: Path, installer: Installer, refused: Refused
) -> None:
    required = {"A01": {"model": "screw_check/main.py"}, "A02": {"model": "models/a.pt", "more": ["models/", None]}}
    manifest = as_bytes(required_assets=required, default_config={"A01": {"threshold": 0.5}})
    bad = rewrite(small_zip, tmp_path / "bad.zip", replace={MANIFEST: manifest})
    assert (
        "the manifest requires A02/model: models/a.pt, A02/more: models/, which"
        in refused(bad, Code.invalid_zip).message
    )
    good = rewrite(
        small_zip, tmp_path / "good.zip", replace={MANIFEST: manifest}, add={"screw-check/models/a.pt": b"weights"}
    )
    assert inspected(installer, good).manifest.required_assets[1] == RequiredAsset("models/a.pt", "A02/model")


def test_no_requirements_is_2001(small_zip: Path, tmp_path: Path, refused: Refused) -> None:
    bad = rewrite(
        small_zip, tmp_path / "bad.zip", rename=lambda name: None if name.endswith("requirements.txt") else name
    )
    assert "requirements.txt is missing" in refused(bad, Code.invalid_zip).message


def test_survey_reads_manifest_and_digest_only(small_zip: Path, tmp_path: Path, installer: Installer) -> None:
    manifest, digest = installer.survey(small_zip)
    assert (manifest.name, manifest.version) == ("screw-check", "1.0.0")
    assert manifest.supported_pids == ("A01", "A02", "A03", "A04")
    assert digest == inspected(installer, small_zip).digest
    with pytest.raises(PackageError) as caught:
        installer.survey(
            rewrite(small_zip, tmp_path / "bad.zip", rename=lambda name: None if name == MANIFEST else name)
        )
    assert caught.value.code == Code.manifest_missing
