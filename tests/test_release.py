"""The version of the template: where it is written, and how the next one is released."""

import json
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import TEMPLATE, copy_template, run

pytestmark = pytest.mark.slow

ENTRY = "- Something new.\n"
CHECKED = "echo checked"


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A clone of the template that is ready for the release after 1.9.0."""
    folder = copy_template(tmp_path / "template")
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## Unreleased\n\n{ENTRY}\n## 1.9.0 - x\n")
    run(folder, "git", "commit", "--quiet", "--all", "--message", "Something")
    for tag in ("1.9.0", "1.8.10", "v7", "9.9"):
        run(folder, "git", "tag", tag)
    return folder


def release(folder: Path, version: str, check: str = CHECKED) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ".ci/release.py", version, *check.split()]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def versions(folder: Path) -> set[str]:
    answers = json.loads((folder / "cookiecutter.json").read_text())
    metadata = tomllib.loads((folder / "pyproject.toml").read_text())
    return {answers["_version"], metadata["project"]["version"]}


def test_the_version_is_everywhere_the_same(generated: Path) -> None:
    (version,) = versions(TEMPLATE.parent)
    metadata = tomllib.loads((generated / "pyproject.toml").read_text())
    assert metadata["tool"]["cookiecutter"]["template_version"] == version
    changelog = (TEMPLATE.parent / "CHANGELOG.md").read_text()
    released = re.findall(r"^## (\d\S*) - \d{4}-\d\d-\d\d$", changelog, flags=re.MULTILINE)
    assert released[:1] in ([], [version])


@pytest.mark.parametrize("version", ["1.9.1", "1.10.0", "2.0.0"])
def test_a_release_is_a_commit_and_a_tag(template: Path, version: str) -> None:
    before = run(template, "git", "rev-parse", "HEAD").strip()
    done = release(template, version)
    assert done.returncode == 0, done.stderr
    assert "checked" in done.stdout
    assert versions(template) == {version}
    today = datetime.now(UTC)
    days = "|".join(f"{day:%Y-%m-%d}" for day in (today, today - timedelta(days=1)))
    sections = rf"## Unreleased\n\n## {version} - ({days})\n\n{ENTRY}\n## 1\.9\.0"
    assert re.search(sections, (template / "CHANGELOG.md").read_text())
    assert run(template, "git", "rev-parse", f"{version}^{{commit}}", "HEAD~").split() == [
        run(template, "git", "rev-parse", "HEAD").strip(),
        before,
    ]
    changed = run(template, "git", "diff", "--name-only", "HEAD~").split()
    assert changed == ["CHANGELOG.md", "cookiecutter.json", "pyproject.toml"]
    assert run(template, "git", "status", "--porcelain") == ""
    assert f"git push --atomic origin main {version}" in done.stdout


@pytest.mark.parametrize(
    ("version", "prepare", "reason"),
    [
        ("", "true", "is not a version"),
        ("2.0", "true", "is not a version"),
        ("v2.0.0", "true", "is not a version"),
        ("02.0.0", "true", "is not a version"),
        ("2.0.0\n", "true", "is not a version"),
        ("1.8.11", "true", "not newer than 1.9.0"),
        ("1.9.0", "true", "not newer than 1.9.0"),
        ("2.0.0", "git switch --quiet --create other", "git switch main"),
        ("2.0.0", "git switch --quiet --detach", "git switch main"),
        ("2.0.0", "touch new", "git status"),
        ("2.0.0", "rm LICENSE", "git status"),
        ("2.0.0", "echo > CHANGELOG.md && git commit -qam -", "no entry under Unreleased"),
        ("2.0.0", "echo '## Unreleased' > CHANGELOG.md && git commit -qam -", "no entry"),
    ],
)
def test_what_cannot_be_released(template: Path, version: str, prepare: str, reason: str) -> None:
    run(template, "sh", "-c", prepare)
    before = run(template, "git", "rev-parse", "HEAD"), run(template, "git", "status", "-s")
    done = release(template, version)
    assert done.returncode == 1
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "checked" not in done.stdout
    assert before == (
        run(template, "git", "rev-parse", "HEAD"),
        run(template, "git", "status", "-s"),
    )


def test_checks_that_fail_stop_a_release(template: Path) -> None:
    done = release(template, "2.0.0", "git rev-parse --quiet --verify nothing")
    assert done.returncode == 1
    assert "git rev-parse --quiet --verify nothing failed" in done.stderr
    assert run(template, "git", "status", "--porcelain") == ""
    assert run(template, "git", "tag", "--list", "2.0.0") == ""


def test_without_an_identity_nothing_is_lost(
    template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "")
    done = release(template, "2.0.0")
    assert done.returncode == 1
    undo = re.search("git commit failed; run (.*) to undo", done.stderr)
    assert undo
    run(template, *undo[1].split())
    assert run(template, "git", "status", "--porcelain") == ""


def test_the_verb_checks_everything_unless_told_otherwise() -> None:
    verb = ("make", "--no-print-directory", "--dry-run", "release", "VERSION=1.2.3")

    def last(*more: str) -> str:
        return run(TEMPLATE.parent, *verb, *more, MAKEFLAGS="").splitlines()[-1]

    assert last() == ".tools/bin/python .ci/release.py '1.2.3' .ci/run"
    assert last("CHECK=make lint") == ".tools/bin/python .ci/release.py '1.2.3' make lint"
