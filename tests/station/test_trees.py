"""Which tree a command is about, where a daemon keeps one: the same by any name, another one by none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.errors import OtherTree
from controller.station.commands.reconciling import DesiredTree
from controller.station.port import TreeUse
from controller.station.trees import NamedTree, followed, tree_at


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The daemon's tree; the working folder has another one of the default's name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "srv" / "desired").mkdir(parents=True)
    (tmp_path / "desired").mkdir()
    return tmp_path / "srv" / "desired"


def follow(kept: Path, named: NamedTree, use: TreeUse = TreeUse.read) -> Path:
    return followed(named, tree_at(kept), use, Path("/store"))


def test_a_tree_is_the_same_by_every_name(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("srv")
    (tmp_path / "other.yaml").touch()
    for name in ("srv/desired", "link/desired", "srv/../link/desired/", os.path.relpath(kept), str(kept)):
        assert follow(kept, NamedTree(Path(name))) == Path(name)
    assert follow(tmp_path / "other.yaml", NamedTree(Path("other.yaml"))) == Path("other.yaml"), "a tree of one file"


@pytest.mark.parametrize("use", [TreeUse.acts, TreeUse.read])
@pytest.mark.parametrize("name", ["desired", "nowhere"])
def test_another_tree_that_was_named_is_refused(kept: Path, use: TreeUse, name: str) -> None:
    with pytest.raises(OtherTree) as caught:
        follow(kept, NamedTree(Path(name)), use)
    words = caught.value.message.replace(";", " ").replace(",", " ").split()
    assert {str(kept), str(Path(name).resolve())} <= set(words)


def test_a_default_that_is_there_counts_where_it_would_be_read(kept: Path, tmp_path: Path) -> None:
    default = NamedTree(Path("desired"), given=False)
    with pytest.raises(OtherTree, match="the default of --desired here"):
        follow(kept, default, TreeUse.read)
    assert follow(kept, default, TreeUse.acts) == kept
    (tmp_path / "desired").rmdir()
    assert follow(kept, default, TreeUse.read) == kept


def test_a_daemons_tree_that_is_away_for_a_moment_is_known_by_its_path(kept: Path) -> None:
    kept.rmdir()
    assert tree_at(kept) == DesiredTree(str(kept))
    assert follow(kept, NamedTree(Path("srv/desired"))) == Path("srv/desired")


def test_a_folder_that_another_mount_hides_is_another_tree(kept: Path) -> None:
    theirs = DesiredTree(str(kept), device=1, inode=2)
    with pytest.raises(OtherTree):
        followed(NamedTree(kept), theirs, TreeUse.read, Path("/store"))
