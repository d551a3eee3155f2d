"""A folder as a source: which files count, how a revision is named, and what is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from controller.errors import DesiredStateError
from controller.sources import folder as folder_module
from controller.sources.folder import FolderSource
from tests.sources.desired_text import deployment, load


def refusal(path: Path) -> str:
    with pytest.raises(DesiredStateError) as caught:
        FolderSource(path).load()
    return str(caught.value)


def git(where: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=where, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A committed repository with one deployment in `plant/desired` and a file beside it."""
    desired = tmp_path / "plant" / "desired"
    desired.mkdir(parents=True)
    (desired / "a.yaml").write_text(deployment())
    (tmp_path / "README").write_text("x")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return desired


def test_every_yaml_file_below_the_folder_counts_and_nothing_else(tmp_path: Path) -> None:
    for name, pid in (("a.yaml", "A"), ("line/b.yml", "B"), ("line/x/c.YAML", "C")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(deployment(pid, f"[{pid}]"))
    for name in (".git/x.yaml", ".#a.yaml", ".a.yaml.swp", "a.yaml~", "#a.yaml#", "README.md", "b.yaml.bak", ".x.yml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("not: [valid")
    revision = FolderSource(tmp_path, now=lambda: "then").load()
    assert list(revision.by_name) == ["A", "B", "C"]
    assert (revision.source, revision.loaded_at) == (str(tmp_path), "then")


def test_an_empty_tree_is_a_revision_without_deployments(tmp_path: Path) -> None:
    assert FolderSource(tmp_path).load().deployments == ()


def test_a_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no").endswith(
        "no: there is no such folder; create it, or name another one with --desired DIR"
    )


def test_one_file_can_be_loaded_alone(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_text(deployment())
    (tmp_path / "b.yaml").write_text("broken: [")
    revision = FolderSource(path).load()
    assert list(revision.by_name) == ["screw-check"]
    assert revision.id.startswith("sha256:")


def test_links_inside_the_folder_are_followed_once_and_those_that_leave_it_are_refused(tmp_path: Path) -> None:
    desired = tmp_path / "desired"
    hidden = desired / "..2026_01_01"
    hidden.mkdir(parents=True)
    (hidden / "a.yaml").write_text(deployment())
    (desired / "..data").symlink_to(hidden.name)
    (desired / "a.yaml").symlink_to("..data/a.yaml")
    (desired / "again.yaml").symlink_to("a.yaml")
    (desired / "loop").symlink_to(".")
    assert list(FolderSource(desired).load().by_name) == ["screw-check"]
    (tmp_path / "outside.yaml").write_text(deployment("b", "[B]"))
    (desired / "out.yaml").symlink_to("../outside.yaml")
    (desired / "gone.yaml").symlink_to("nowhere")
    (desired / "self.yaml").symlink_to("self.yaml")
    lines = refusal(desired).splitlines()
    assert lines[0].startswith(f"{desired}/gone.yaml:1:1: cannot be read: No such file or directory")
    assert lines[1].startswith(f"{desired}/out.yaml:1:1: is a link that leaves {desired}")
    assert lines[2].startswith(f"{desired}/self.yaml:1:1: ")


def test_a_folder_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "desired").symlink_to("checkout")
    assert list(load(tmp_path / "desired", a=deployment()).by_name) == ["screw-check"]


def test_a_pipe_called_yaml_blocks_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    assert "a.yaml:1:1: is no regular file" in refusal(tmp_path)


def test_a_large_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"# " + b"x" * 2_000_000)
    assert "big.yaml:1:1: the file is larger than 1024 KiB" in refusal(tmp_path)


def test_a_content_hash_follows_the_meaning_and_not_the_formatting(tmp_path: Path) -> None:
    first = load(tmp_path, a=deployment(more="  timeouts: {call: 90s}\n"))
    second = load(tmp_path, a="# comment\n" + deployment(more="  timeouts:\n    call: '1m30s'\n"))
    assert first.id.startswith("sha256:")
    assert len(first.id) == len("sha256:") + 16
    assert second == first
    assert second.deployments[0].generation == first.deployments[0].generation
    third = load(tmp_path, a=deployment(more="  timeouts: {call: 91s}\n"))
    assert third.id != first.id
    assert third.deployments[0].generation != first.deployments[0].generation


def test_in_a_repository_the_commit_names_the_revision(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert FolderSource(repository).load().id == commit
    (repository / "notes.txt").write_text("untracked, but no desired state")
    (repository.parent.parent / "README").write_text("dirty elsewhere")
    assert FolderSource(repository).load().id == commit


@pytest.mark.parametrize("change", ["edited", "staged", "untracked", "ignored", "deleted"])
def test_a_difference_below_the_folder_makes_it_dirty(repository: Path, change: str) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    if change in {"edited", "staged"}:
        (repository / "a.yaml").write_text(deployment() + "# edited\n")
    if change == "staged":
        git(repository, "add", ".")
    if change == "ignored":
        (repository.parent.parent / ".git" / "info" / "exclude").write_text("local/\n")
    if change in {"untracked", "ignored"}:
        (repository / "local").mkdir()
        (repository / "local" / "b.yaml").write_text(deployment("b", "[B]"))
    if change == "deleted":
        (repository / "a.yaml").unlink()
    assert FolderSource(repository).load().id == f"{commit}-dirty"


def test_git_that_cannot_answer_leaves_the_content_hash(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = tmp_path_factory.mktemp("fresh")
    git(fresh, "init", "-q")
    assert load(fresh, a=deployment()).id.startswith("sha256:"), "no commit yet"
    (repository.parent.parent / ".git" / "info" / "exclude").write_text("/demo/\n")
    demo = repository.parent.parent / "demo"
    demo.mkdir()
    assert load(demo, a=deployment()).id.startswith("sha256:"), "the repository ignores the folder"
    monkeypatch.setenv("PATH", str(fresh))
    assert FolderSource(repository).load().id.startswith("sha256:"), "no git"


def test_a_hooks_environment_does_not_mislead(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent/index")
    monkeypatch.setenv("GIT_WORK_TREE", "/nonexistent")
    identifier = FolderSource(repository).load().id
    monkeypatch.undo()
    assert identifier == git(repository, "rev-parse", "HEAD")


def test_git_starts_no_program_of_the_repositorys_configuration(repository: Path) -> None:
    marker = repository.parent / "started"
    git(repository, "config", "core.fsmonitor", f"touch {marker} #")
    index = repository.parent.parent / ".git" / "index"
    before = index.stat().st_mtime_ns
    FolderSource(repository).load()
    assert not marker.exists()
    assert index.stat().st_mtime_ns == before


def test_files_that_change_while_they_are_read_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(tmp_path, a=deployment(), b=deployment("b", "[B]"))
    edits = iter(range(100))
    read = folder_module.read_bytes

    def read_and_edit(found: object, limit: int) -> bytes:
        data = read(found, limit)  # type: ignore[arg-type]
        if next(edits) < changes:
            shutil.copy(tmp_path / "a.yaml", tmp_path / "new")
            (tmp_path / "new").rename(tmp_path / "a.yaml")
        return data

    monkeypatch.setattr(folder_module, "read_bytes", read_and_edit)
    changes = 1
    assert len(FolderSource(tmp_path).load().deployments) == 2
    edits, changes = iter(range(100)), 100
    assert "the files keep changing while they are read" in refusal(tmp_path)
