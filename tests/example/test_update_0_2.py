"""The update of a repository of version 0.1.0: docs/update_0_2.md, typed as it is.

``tests/update_0_2/`` has the template of that version without its lock, and the edits of a team.
"""

import json
import os
import re
import sys
import tarfile
from pathlib import Path

import pytest
from conftest import PACKAGE, SLUG, TEMPLATE, copy_template, link_environment, run, runs
from reader import Reader, blocks

pytestmark = pytest.mark.slow

PAGE = TEMPLATE.parent / "docs" / "update_0_2.md"
FILES = Path(__file__).with_name("update_0_2")
CONFLICT = re.compile(r"<<<<<<< .*?>>>>>>> \w+\n", re.DOTALL)
OWN_TESTS = "--ignore=tests/machinery"
"""The machinery's tests need no jobs, and run elsewhere."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the template with the tags 0.1.0 and 0.2.0, which is the present one."""
    folder = tmp_path_factory.mktemp("template")
    with tarfile.open(FILES / "template_0_1_0.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    for command in (
        "init --quiet --initial-branch=main",
        "add --all",
        "commit --quiet -m 0.1.0",
        "tag 0.1.0",
        "rm -r --quiet .",
    ):
        run(folder, "git", *command.split())
    copy_template(folder)
    run(folder, "git", "tag", "0.2.0")
    return folder


@pytest.fixture(scope="module")
def repository(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the team has: a repository that 0.1.0 generated, edited since."""
    cruft = Path(sys.executable).with_name("cruft")
    folder = tmp_path_factory.mktemp("team")
    options = ("--checkout", "0.1.0", "--no-input", "--default-config")
    run(folder, str(cruft), "create", str(template), *options)
    project = folder / SLUG
    commit = "git add --all && git commit --quiet --message"
    run(project, "sh", "-c", f"git init --quiet -b main && {commit} 'Start from the template'")
    run(project, "git", "apply", str(FILES / "team.patch"))
    run(project, "sh", "-c", f"{commit} 'Our model'")
    return project


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of somebody who has Python, git, make and cruft."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "cruft").symlink_to(Path(sys.executable).with_name("cruft"))
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTEST_ADDOPTS": OWN_TESTS}


def replace(folder: Path, old: str | re.Pattern[str], new: str) -> None:
    """Edit the one file of the repository that has a text once."""
    pattern = old if isinstance(old, re.Pattern) else re.compile(re.escape(old))
    (file,) = [
        path for path in folder.glob(f"src/{PACKAGE}/*.py") if pattern.search(path.read_text())
    ]
    text, count = pattern.subn(lambda _: new, file.read_text())
    assert count == 1
    file.write_text(text)


@pytest.fixture(scope="module")
def updated(repository: Path, installed_project: Path, environment: dict[str, str]) -> Path:
    """The repository at the end of the page."""
    reader = Reader(repository, environment, repository)
    merged, old, new = blocks(PAGE, "python")
    for number, block in enumerate(blocks(PAGE)):
        said = reader.type(block)
        if number == 0:
            conflicts = {line[3:] for line in said.splitlines() if line.startswith("UU ")}
            handlers = {f"src/{PACKAGE}/{name}.py" for name in ("model", "training")}
            assert conflicts == {"Makefile", "aws.env", *handlers}
            for name in (".tools", ".venv"):
                link_environment(installed_project / name, repository / name)
            for marker in (*repository.glob(".tools/installed"), *repository.glob(".venv/[ir]*")):
                marker.touch()
        if "--ours" in block:
            replace(repository, CONFLICT, merged)
            replace(repository, old, new)
    return repository


def test_nothing_of_the_update_is_left_to_do(updated: Path) -> None:
    """The page ends with `make check`, `make run` and a commit, which have succeeded."""
    assert run(updated, "git", "status", "--porcelain") == ""
    assert not list(updated.rglob("*.rej"))
    assert json.loads((updated / ".cruft.json").read_text())["checkout"] == "0.2.0"
    assert "S3_BUCKET=penguins-of-the-team\n" in (updated / "aws.env").read_text()


def test_what_the_team_edited_is_in_the_results(updated: Path) -> None:
    (folder,) = runs(updated)
    metrics = json.loads((folder / "train" / "model" / "metrics.json").read_text())
    assert metrics["trees"] == 50
    assert "criterion" in metrics["parameters"]
    assert metrics["accuracy"] > 0.9
    record = json.loads((folder / "describe" / "description" / "job.json").read_text())
    assert set(record["files"]) == {"description.json"}
    listed = (folder / "describe" / "description" / "description.json").read_text()
    counts = json.loads(listed)
    assert sum(counts["test"].values()) == metrics["n"]
