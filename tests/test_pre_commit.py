"""The Git hooks in ``.pre-commit-config.yaml``."""

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import TEMPLATE, fails, run

pytestmark = pytest.mark.slow

ROOT = TEMPLATE.parent
CONFIG = ".pre-commit-config.yaml"


def test_template_has_the_same_hooks() -> None:
    assert (ROOT / CONFIG).read_text() == (TEMPLATE / CONFIG).read_text()


def test_a_commit_that_lint_rejects_is_not_made(installed_project: Path, tmp_path: Path) -> None:
    run(ROOT, "make", "build/tools/installed")
    project = Path(shutil.copytree(installed_project, tmp_path / "copy", symlinks=True))
    env = {"PRE_COMMIT_HOME": str(tmp_path / "cache")}
    run(project, str(ROOT / "build" / "tools" / "bin" / "pre-commit"), "install", **env)

    file = project / "entrypoints" / "wrong.py"
    file.write_text("x = 1 ;\n")
    run(project, "git", "add", str(file))
    said = fails(project, "git", "commit", "--quiet", "--message", "Wrong", **env)
    assert "1 file would be reformatted" in said
    assert run(project, "git", "rev-list", "--count", "HEAD").strip() == "1"

    file.unlink()
    (project / "README.md").write_text("# Right\n")
    subprocess.run(["git", "add", "--all"], cwd=project, check=True)
    run(project, "git", "commit", "--quiet", "--message", "Right", **env)
    assert run(project, "git", "rev-list", "--count", "HEAD").strip() == "2"
