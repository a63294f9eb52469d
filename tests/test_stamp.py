"""The stamp: the last commit that changed the files of the image, and their current state."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PACKAGE, fails, run

pytestmark = pytest.mark.slow

MODULE = f"src/{PACKAGE}/added.py"
IN_THE_IMAGE = (
    ".dockerignore",
    ".python-version",
    "Dockerfile",
    "entrypoints/added.py",
    "image.env",
    "poetry.lock",
    "pyproject.toml",
    "scripts/base_packages.py",
    "scripts/build.sh",
    MODULE,
    "tools/uv.txt",
)
NOT_IN_THE_IMAGE = (
    "README.md",
    "added.txt",
    "aws.env",
    "infra/stack.yaml",
    "launch.toml",
    "launch/settings/project.py",
    "notebooks/launch.ipynb",
    "scripts/push.sh",
    f"src/{PACKAGE}/.hidden",
    f"src/{PACKAGE}/.hidden/added.py",
    "tests/conftest.py",
)


@pytest.fixture
def project(generated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "a space" / generated.name))


def stamp(project: Path, **env: str) -> str:
    return run(project, "scripts/stamp.sh", **env).strip()


def described(project: Path, *folder: str, **env: str) -> dict[str, str]:
    """What scripts/tree.sh prints."""
    lines = run(project, "scripts/tree.sh", *folder, **env).splitlines()
    return dict(line.split("=", 1) for line in lines)


def head(project: Path) -> str:
    return run(project, "git", "rev-parse", "HEAD").strip()


def edit(project: Path, name: str, text: str = "\n# Edited\n") -> None:
    """Add a line to a file, which may be new."""
    (project / name).parent.mkdir(exist_ok=True)
    with (project / name).open("a") as file:
        file.write(text)


def commit(project: Path, *names: str) -> str:
    """Edit and commit files, and return the commit."""
    for name in names:
        edit(project, name)
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "--allow-empty", "--message", "Edit")
    return head(project)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", IN_THE_IMAGE)
def test_a_commit_that_changes_the_image_is_a_new_stamp(project: Path, name: str) -> None:
    changed = commit(project, name)
    assert stamp(project) == changed
    assert described(project)["stamp"] == changed


@pytest.mark.parametrize("name", NOT_IN_THE_IMAGE)
def test_other_files_change_nothing(project: Path, name: str) -> None:
    before = described(project)
    edit(project, name)
    assert (stamp(project), described(project)) == (before["stamp"], before)
    run(project, "git", "add", "--all")
    assert (stamp(project), described(project)) == (before["stamp"], before)
    assert commit(project) != before["stamp"]
    assert (stamp(project), described(project)) == (before["stamp"], before)


@pytest.mark.parametrize("name", IN_THE_IMAGE)
def test_an_edit_of_what_the_image_holds_makes_it_dirty(project: Path, name: str) -> None:
    clean = described(project)
    edit(project, name)
    dirty = described(project)
    assert dirty["tree"] != clean["tree"]
    assert dirty["stamp"] == f"{clean['stamp']}-{dirty['tree'][:12]}-dirty"
    assert stamp(project) == dirty["stamp"]
    run(project, "git", "add", "--all")
    assert described(project) == dirty


def test_a_file_that_is_deleted_or_only_touched(project: Path) -> None:
    clean = stamp(project)
    file = next(project.glob("entrypoints/*.py"))
    file.touch()
    assert stamp(project) == clean
    file.unlink()
    assert stamp(project).endswith("-dirty")
    assert stamp(project) == described(project)["stamp"]


def test_new_files_count_whatever_git_status_shows(project: Path) -> None:
    run(project, "git", "config", "status.showUntrackedFiles", "no")
    edit(project, MODULE)
    assert stamp(project).endswith("-dirty")


def test_a_dirty_stamp_names_the_contents(project: Path) -> None:
    edit(project, MODULE, "first\n")
    first = stamp(project)
    edit(project, MODULE, "second\n")
    second = stamp(project)
    assert first != second
    (project / MODULE).write_text("first\n")
    assert stamp(project) == first
    commit(project, "README.md")
    (project / MODULE).unlink()
    commit(project)
    (project / MODULE).write_text("first\n")
    assert stamp(project).split("-")[1:] == first.split("-")[1:]


def test_what_the_environment_sets_otherwise_is_a_change(project: Path) -> None:
    edit(project, "image.env", "\nSYSTEM_PACKAGES='git  curl'\n")
    committed = commit(project)
    clean = described(project)
    assert described(project, SYSTEM_PACKAGES="git  curl") == clean
    assert stamp(project, SYSTEM_PACKAGES="git  curl") == committed
    assert stamp(project, SYSTEM_PACKAGES="") == committed

    packages = described(project, SYSTEM_PACKAGES="git")
    base = described(project, BASE_IMAGE="own:1")
    stamps = {clean["stamp"], packages["stamp"], base["stamp"]}
    assert len(stamps) == 3
    assert stamp(project, BASE_IMAGE="own:1") == base["stamp"]
    assert base["environment"] != clean["environment"]
    edit(project, "image.env", "BASE_IMAGE=own:1\n")
    assert stamp(project).endswith("-dirty")


def test_settings_of_the_environment_are_written_with_the_tree(
    project: Path, tmp_path: Path
) -> None:
    (project / "image.env").unlink()
    described(project, str(tmp_path / "files"), BASE_PACKAGES="torch nvidia-*")
    settings = (tmp_path / "files" / "image.env").read_text()
    assert settings.strip().replace("'", "").replace('"', "") == "BASE_PACKAGES=torch nvidia-*"


def test_a_merge_is_a_stamp_only_if_both_sides_changed_the_image(project: Path) -> None:
    run(project, "git", "branch", "other")
    ours = commit(project, MODULE)
    run(project, "git", "switch", "--quiet", "other")
    commit(project, "README.md")
    run(project, "git", "merge", "--quiet", "--no-edit", "main")
    assert stamp(project) == ours

    theirs = commit(project, "entrypoints/added.py")
    run(project, "git", "switch", "--quiet", "main")
    commit(project, "added.txt")
    run(project, "git", "merge", "--quiet", "--no-edit", "--no-ff", "other")
    assert stamp(project) == theirs

    run(project, "git", "switch", "--quiet", "--create", "third", f"{theirs}~")
    commit(project, "tools/uv.txt")
    run(project, "git", "merge", "--quiet", "--no-edit", "main")
    assert stamp(project) == head(project)


def test_a_revert_is_a_stamp_of_its_own_with_the_same_tree(project: Path) -> None:
    before = described(project)
    commit(project, MODULE)
    run(project, "git", "revert", "--no-edit", "HEAD")
    after = described(project)
    assert after.pop("stamp") == head(project)
    assert after.items() <= before.items()


def test_a_history_that_ends_too_early_is_an_error(project: Path, tmp_path: Path) -> None:
    changed = commit(project, MODULE)
    commit(project, "README.md")
    address = f"file://{project}".replace(" ", "%20")
    run(tmp_path, "git", "clone", "--quiet", "--depth=1", address, "shallow")
    for script in ("stamp", "tree"):
        assert "git fetch --unshallow" in fails(tmp_path / "shallow", f"scripts/{script}.sh")
    run(tmp_path, "git", "clone", "--quiet", "--depth=2", address, "deeper")
    assert "git fetch --unshallow" in fails(tmp_path / "deeper", "scripts/stamp.sh")
    run(tmp_path, "git", "clone", "--quiet", "--depth=3", address, "whole")
    run(tmp_path / "shallow", "git", "fetch", "--quiet", "--unshallow")
    for clone in ("shallow", "whole"):
        assert stamp(tmp_path / clone) == changed


@pytest.mark.parametrize("change", ["none", "edits"])
def test_the_tree_is_written_and_nothing_else(project: Path, tmp_path: Path, change: str) -> None:
    if change == "edits":
        edit(project, MODULE)
        edit(project, "src/ignored.py")
        (project / ".git" / "info" / "exclude").write_text("ignored.py\n")
        next(project.glob("entrypoints/*.py")).unlink()
    edit(project, "large.bin")
    before = files(project)
    folder = tmp_path / "of" / "files"
    assert described(project, os.path.relpath(folder, project)) == described(project)
    assert files(project) == before

    written = files(folder)
    assert (MODULE in written) == (change == "edits")
    assert {name.partition("/")[0] for name in written} >= {"entrypoints", "src", "Dockerfile"}
    assert "src/ignored.py" not in written
    assert "large.bin" not in written
    assert all(before[name] == content for name, content in written.items())
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "add", "--all")
    assert run(folder, "git", "write-tree").strip() == described(project)["tree"]


def test_the_code_of_the_jobs_is_no_part_of_the_environment(project: Path) -> None:
    before = described(project)
    assert re.fullmatch("[0-9a-f]{32}", before["environment"])
    commit(project, MODULE, "entrypoints/added.py")
    edit(project, "entrypoints/added.py")
    after = described(project)
    assert after["environment"] == before["environment"]
    assert after["tree"] != before["tree"]
    edit(project, "poetry.lock")
    assert described(project)["environment"] != before["environment"]


def test_a_project_in_a_folder_of_another_repository(project: Path, tmp_path: Path) -> None:
    alone = described(project)
    shutil.rmtree(project / ".git")
    outer = project.parent
    run(outer, "git", "init", "--quiet", "--initial-branch=main")
    first = commit(outer)
    (outer / "Dockerfile").write_text("FROM scratch\n")
    commit(outer)
    found = described(project, str(tmp_path / "files"))
    assert found.pop("stamp") == first
    assert found.items() <= alone.items()
    assert files(tmp_path / "files")["Dockerfile"] == (project / "Dockerfile").read_bytes()
    env = {"BASE_IMAGE": "own:1"}
    edit(project, "image.env", "\nBASE_IMAGE=\n")
    assert described(project, **env)["stamp"].startswith(f"{first}-")
    assert stamp(outer / project.name).endswith("-dirty")


def test_stamp_of_a_detached_head_from_another_folder(project: Path, tmp_path: Path) -> None:
    first = head(project)
    commit(project, MODULE)
    run(project, "git", "checkout", "--quiet", "--detach", "HEAD~1")
    assert run(tmp_path, str(project / "scripts" / "stamp.sh")).strip() == first


def remove_git(project: Path) -> None:
    shutil.rmtree(project / ".git")


def start_again(project: Path) -> None:
    remove_git(project)
    run(project, "git", "init", "--quiet")


@pytest.mark.parametrize("change", [remove_git, start_again])
def test_without_a_commit_the_stamp_says_what_to_do(
    project: Path, change: Callable[[Path], None], tmp_path: Path
) -> None:
    change(project)
    for tool in ("aws", "docker"):
        (tmp_path / tool).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / tool).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    for script in ("stamp", "tree", "build", "tag", "push"):
        assert "git commit" in fails(project, f"scripts/{script}.sh", PATH=path)


def test_a_repository_that_git_does_not_read_is_another_error(project: Path) -> None:
    done = subprocess.run(
        ["scripts/stamp.sh"],
        cwd=project,
        env=os.environ | {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "safe.directory" in done.stderr


def test_settings_that_git_ignores_are_an_error(project: Path) -> None:
    run(project, "git", "rm", "--quiet", "--cached", "image.env")
    edit(project, ".gitignore", "image.env\n")
    commit(project)
    assert "git ignores image.env" in fails(project, "scripts/tree.sh")
