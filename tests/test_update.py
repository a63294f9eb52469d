"""Repositories that were created by cruft are updated from one tag of the template to the next."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SLUG, TEMPLATE, copy_template, run

pytestmark = pytest.mark.slow

CRUFT = (str(Path(sys.executable).parent / "cruft"),)
COMMIT = ("git", "commit", "--quiet", "--all", "--message")
BASE = "\nWORKDIR /app\n"
"""A line of the Dockerfile that the template's next versions change, and so may a team."""

Repository = Callable[[], Path]


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template's files as they are, tagged 1.0.0, and two versions after it."""
    folder = copy_template(tmp_path_factory.mktemp("template"))
    for version, was, now in (
        ("1.0.0", BASE, BASE),
        ("1.1.0", BASE, f"\nENV NEW=1{BASE}"),
        ("1.2.0", f"\nENV NEW=1{BASE}", f"\nENV NEW=2{BASE}"),
    ):
        edit(folder / TEMPLATE.name / "Dockerfile", was, now)
        if was != now:
            answers = folder / "cookiecutter.json"
            current = json.loads(answers.read_text())["_version"]
            edit(answers, f'"_version": "{current}"', f'"_version": "{version}"')
        run(folder, *COMMIT, version, "--allow-empty")
        run(folder, "git", "tag", version)
    return folder


@pytest.fixture(scope="module")
def created(template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A repository of version 1.0.0 as cruft leaves it, and what it said; not to be written to."""
    folder = tmp_path_factory.mktemp("created")
    options = ("--checkout", "1.0.0", "--no-input", "--default-config")
    said = run(folder, *CRUFT, "create", str(template), *options)
    return folder / SLUG, said


@pytest.fixture
def project(created: tuple[Path, str], tmp_path: Path) -> Path:
    """The same, committed as the hook says."""
    folder = Path(shutil.copytree(created[0], tmp_path / created[0].name))
    todo = re.search(r"afterwards, run: (.*)", created[1])
    assert todo
    run(folder, "sh", "-c", todo[1])
    return folder


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mode)
        for file in folder.rglob("*")
        if file.is_file() and ".git" not in file.relative_to(folder).parts
    }


def update(project: Path, version: str, *options: str) -> str:
    return run(project, *CRUFT, "update", "-y", "--checkout", version, *options)


def is_current(project: Path, version: str) -> bool:
    command = [*CRUFT, "check", "--checkout", version]
    return subprocess.run(command, cwd=project, capture_output=True, check=False).returncode == 0


def status(project: Path) -> dict[str, str]:
    lines = run(project, "git", "status", "--porcelain").splitlines()
    return {line[3:]: line[:2].strip() for line in lines}


def test_cruft_makes_what_cookiecutter_makes(created: tuple[Path, str], generated: Path) -> None:
    made = files(created[0])
    assert json.loads(made.pop(".cruft.json")[0])["checkout"] == "1.0.0"
    assert made == files(generated)


def test_first_commit_holds_what_cruft_wrote(project: Path) -> None:
    assert run(project, "git", "ls-files", ".cruft.json") == ".cruft.json\n"
    assert run(project, "git", "branch", "--show-current") == "main\n"
    commit = run(project, "git", "rev-parse", "HEAD")
    assert run(project, "scripts/stamp.sh") == commit


def test_an_update_brings_what_is_new_and_keeps_what_was_edited(project: Path) -> None:
    handler = next(project.glob("src/*/[!_]*.py"))
    handler.write_text(f"{handler.read_text()}# ours\n")
    edit(project / "aws.env", "AWS_REGION=\nS3_BUCKET=", "AWS_REGION=eu-west-1\nS3_BUCKET=ours")
    edit(project / "Dockerfile", "ENTRYPOINT", "ENV OURS=1\nENTRYPOINT")
    next((project / "entrypoints").iterdir()).unlink()
    run(project, *COMMIT, "Ours")
    before = run(project, "git", "rev-parse", "HEAD")
    edited = {file: file.read_text() for file in (handler, project / "aws.env")}

    for version, line in (("1.1.0", "ENV NEW=1"), ("1.2.0", "ENV NEW=2")):
        assert not is_current(project, version)
        said = update(project, version)
        assert is_current(project, version)
        assert "make run" not in said
        changed = {"Dockerfile", "pyproject.toml", ".cruft.json"}
        assert status(project) == dict.fromkeys(changed, "M")
        metadata = tomllib.loads((project / "pyproject.toml").read_text())
        assert metadata["tool"]["cookiecutter"]["template_version"] == version
        recipe = (project / "Dockerfile").read_text()
        assert f"{line}{BASE}" in recipe
        assert "ENV OURS=1\nENTRYPOINT" in recipe
        assert {file: file.read_text() for file in edited} == edited
        run(project, *COMMIT, version)
    assert run(project, "git", "rev-list", "--count", f"{before.strip()}..HEAD") == "2\n"
    assert list(project.rglob(".git")) == [project / ".git"]


def test_a_conflict_is_shown_as_one(project: Path) -> None:
    edit(project / "Dockerfile", BASE, "\nENV OURS=1\nWORKDIR /ours\n")
    run(project, *COMMIT, "Ours")
    assert "with conflicts" in update(project, "1.1.0")
    assert status(project)["Dockerfile"] == "UU"
    conflict = re.search("<<<<<<<.*?>>>>>>>", (project / "Dockerfile").read_text(), re.DOTALL)
    assert conflict
    assert {"ENV OURS=1", "WORKDIR /ours", "ENV NEW=1"} < set(conflict[0].splitlines())
    run(project, "git", "checkout", "--theirs", "Dockerfile")
    assert f"ENV NEW=1{BASE}" in (project / "Dockerfile").read_text()


def test_a_conflict_in_a_colleagues_clone_is_shown_too(project: Path) -> None:
    """It lacks the template's last version of a file that was merged, so git cannot merge again."""
    edit(project / "Dockerfile", "ENTRYPOINT", "ENV OURS=1\nENTRYPOINT")
    run(project, *COMMIT, "Ours")
    update(project, "1.1.0")
    edit(project / "Dockerfile", "ENV NEW=1", "ENV NEW=ours")
    run(project, *COMMIT, "Ours again")
    run(project, "git", "gc", "--quiet", "--prune=now")
    assert "*.rej" in update(project, "1.2.0")
    assert status(project)["Dockerfile.rej"] == "??"
    assert "Dockerfile" not in status(project)
    assert "+ENV NEW=2" in (project / "Dockerfile.rej").read_text()


def test_another_answer_does_not_overwrite_what_was_edited(project: Path) -> None:
    edit(project / "aws.env", "AWS_REGION=", "AWS_REGION=eu-west-1")
    run(project, *COMMIT, "Ours")
    answers = '{"ecr_repository": "team/other"}'
    update(project, "1.1.0", "--variables-to-update", answers)
    lines = (project / "aws.env").read_text().splitlines()
    assert {"AWS_REGION=eu-west-1", "ECR_REPOSITORY=team/other"} < set(lines)
    assert status(project)["aws.env"] in ("M", "UU")
