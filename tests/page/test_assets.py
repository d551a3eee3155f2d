"""Vendored files are what the manifest says, and a first view of 200 PIDs is small."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

import controller.page
from controller.page import assets
from controller.page.application import Page
from tests.page.asking import ask
from tests.page.made_up import MadeUpStation, WithSession

VENDOR = Path(controller.page.__file__).parent / "static" / "vendor"
MOST = 50_000


@pytest.mark.parametrize(
    ("folder", "fit"),
    [(VENDOR, {"0BSD", "MIT"}), (Path(__file__).parents[1] / "browser" / "vendor", {"MPL-2.0"})],
    ids=["page", "tests"],
)
def test_every_vendored_file_is_in_the_manifest_with_its_hash_and_a_licence(folder: Path, fit: set[str]) -> None:
    rows = json.loads((folder / "vendor.json").read_text(encoding="utf-8"))
    licences = {f"{row['package']}.LICENSE" for row in rows}

    assert {path.name for path in folder.iterdir()} == {row["file"] for row in rows} | licences | {"vendor.json"}
    for row in rows:
        assert hashlib.sha256((folder / row["file"]).read_bytes()).hexdigest() == row["sha256"], row["file"]
        assert row["licence"] in fit
        assert row["version"]
        assert (folder / f"{row['package']}.LICENSE").stat().st_size > 300


async def test_the_first_view_of_200_pids_is_at_most_50_kb_of_markup_style_and_script() -> None:
    page = Page(MadeUpStation(200))
    reply = await ask(WithSession(page), "/", headers={"accept-encoding": "gzip"})
    await page.close()

    loaded = [each for name, each in assets.assets().items() if name in assets.FIRST and each.path in reply.text]
    assert len(loaded) == len(assets.FIRST)
    assert reply.headers["content-encoding"] == "gzip"
    assert len(reply.body) + sum(len(each.packed) for each in loaded) <= MOST


async def test_assets_are_named_by_their_content_and_kept_for_ever() -> None:
    page = Page(MadeUpStation(4))
    app = WithSession(page)
    app.session = None
    style = assets.assets()["page.css"]

    packed = await ask(app, style.path, headers={"accept-encoding": "br, gzip"})
    plain = await ask(app, style.path)
    gone = await ask(app, style.path.replace(".css", "0.css"))

    assert gzip.decompress(packed.body) == plain.body == style.content
    assert "immutable" in plain.headers["cache-control"]
    assert gone.status == 404
