"""`make job` adds a job that the tests, the linters and `make run` accept.

The generated project's own tests say which names are rejected, and what is changed where.
"""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import JOBS, PACKAGE, run

pytestmark = pytest.mark.slow

PYTHON = ".venv/bin/python"
RUFF = (PYTHON, "-m", "ruff")


@pytest.fixture
def project(installed_project: Path) -> Iterator[Path]:
    """The installed project, which is as it was when the test is over."""
    yield installed_project
    run(installed_project, "git", "reset", "--quiet", "--hard")
    run(installed_project, "git", "clean", "--quiet", "--force", "-d")
    shutil.rmtree(installed_project / "out", ignore_errors=True)


def status(project: Path) -> list[str]:
    lines = run(project, "git", "status", "--porcelain", "--untracked-files=all").splitlines()
    return sorted(line[3:] for line in lines)


def test_a_new_job_is_known_at_once(project: Path) -> None:
    said = run(project, "make", "job", "NAME=evaluate")
    written = [
        "entrypoints/evaluate.py",
        f"src/{PACKAGE}/evaluate.py",
        "tests/jobs/test_evaluate.py",
    ]
    assert status(project) == sorted(["launch.toml", *written])
    assert set(written) < set(said.splitlines())
    assert "skeleton" not in "".join((project / path).read_text() for path in written).lower()
    table = tomllib.loads((project / "launch.toml").read_text())
    assert table["pipeline"]["jobs"] == [*JOBS, "evaluate"]

    run(project, *RUFF, "format", "--check", *written)
    run(project, *RUFF, "check", *written)
    run(project, PYTHON, "-m", "mypy")
    tests = ("tests/jobs/test_evaluate.py", "tests/machinery/test_entrypoints.py", "--verbose")
    passed = run(project, PYTHON, "-m", "pytest", *tests)
    assert "test_entrypoints.py::test_help_names_every_option[evaluate] PASSED" in passed

    run(project, "make", "run")
    (record,) = (project / "out").glob("*/evaluate/*/job.json")
    assert json.loads(record.read_text())["job"] == "evaluate"

    commands = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert len(commands) == 3
    for command in commands[:2]:
        run(project, *command.split(), "--dry-run")
    assert "--input_path" in run(project, *commands[2].split())


@pytest.mark.parametrize("name", ["a", "evaluate_it"])
def test_style_does_not_depend_on_the_name(project: Path, name: str) -> None:
    run(project, PYTHON, "scripts/new_job.py", name)
    written = [path for path in status(project) if path.endswith(".py")]
    assert len(written) == 3
    run(project, *RUFF, "format", "--check", *written)
    run(project, *RUFF, "check", *written)


@pytest.mark.parametrize(
    ("name", "reason"),
    [(PACKAGE, "module"), (JOBS[0], f"entrypoints/{JOBS[0]}.py"), ("tomlkit", "module")],
    ids=["package", "job", "dependency"],
)
def test_a_name_that_the_project_has_is_rejected(project: Path, name: str, reason: str) -> None:
    command = [PYTHON, "scripts/new_job.py", name]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(reason, done.stderr)
    assert len(done.stderr.splitlines()) == 1
    assert status(project) == []
