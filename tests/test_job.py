"""`make job`: one command more, and there is one job more, which everything knows."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import DATA, PACKAGE, TABLES, TEMPLATE, run

pytestmark = pytest.mark.slow

PYTHON = ".venv/bin/python"
JOB = next((TEMPLATE / "entrypoints").glob("*.py")).stem
RUFF = (PYTHON, "-m", "ruff")


@pytest.fixture
def project(installed_project: Path) -> Iterator[Path]:
    """The installed project, which is as it was when the test is over."""
    yield installed_project
    run(installed_project, "git", "reset", "--quiet", "--hard")
    run(installed_project, "git", "clean", "--quiet", "--force", "-d")


def status(project: Path) -> list[str]:
    lines = run(project, "git", "status", "--porcelain", "--untracked-files=all").splitlines()
    return sorted(line[3:] for line in lines)


def test_a_new_job_is_known_at_once(project: Path) -> None:
    said = run(project, "make", "job", "NAME=evaluate")
    written = [
        "entrypoints/evaluate.py",
        f"src/{PACKAGE}/evaluate.py",
        "tests/test_evaluate.py",
    ]
    assert status(project) == ["Makefile", *written]
    assert set(written) < set(said.splitlines())
    assert "skeleton" not in "".join((project / path).read_text() for path in written).lower()

    run(project, "make", "lint")
    tests = (
        "tests/test_evaluate.py",
        "tests/test_entrypoints.py::test_help_gives_every_option_its_default[evaluate]",
        "tests/test_launch.py::test_every_entrypoint_can_be_read[evaluate]",
    )
    assert re.search(r"\d+ passed in", run(project, PYTHON, "-m", "pytest", *tests))
    assert "--where" in run(project, PYTHON, "-m", "launch", "evaluate", "--help")
    where = ("--input_path", DATA, "--output_path", "out/listed")
    run(project, PYTHON, "-m", "launch", "evaluate", *where, "--instance_count", "2")
    lists = [file.read_text().split() for file in sorted((project / "out/listed").glob("*.txt"))]
    assert len(lists) == 2
    assert all(lists)
    assert sorted(name for names in lists for name in names) == TABLES
    run(project, "make", "run")
    assert json.loads((project / "out/evaluate/job.json").read_text())["job"] == "evaluate"

    commands = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert len(commands) == 3
    for command in commands[:2]:
        run(project, *command.split(), "--dry-run")
    run(project, *commands[2].split())


@pytest.mark.parametrize(
    "name", ["a", "evaluate_with_a_name_that_is_longer_than_a_line_can_hold_it"]
)
def test_style_does_not_depend_on_the_name(project: Path, name: str) -> None:
    run(project, PYTHON, "scripts/new_job.py", name)
    assert len(status(project)) == 4
    run(project, *RUFF, "format", "--check", ".")
    run(project, *RUFF, "check", ".")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "lower-case words"),
        ("Evaluate", "lower-case words"),
        ("9lives", "lower-case words"),
        ("evaluate-all", "lower-case words"),
        ("evaluate_", "lower-case words"),
        ("_evaluate", "lower-case words"),
        ("évaluate", "lower-case words"),
        ("below/evaluate", "lower-case words"),
        ("evaluate\n", "lower-case words"),
        ("class", "Python would import it"),
        ("json", "Python would import it"),
        ("polars", "Python would import it"),
        (PACKAGE, "Python would import it"),
        ("pipeline", "launch runs all the jobs"),
        (JOB, f"entrypoints/{JOB}.py exists"),
        ("runtime", f"src/{PACKAGE}/runtime.py exists"),
        ("launch", "tests/test_launch.py exists"),
    ],
)
def test_bad_name_is_refused(project: Path, name: str, reason: str) -> None:
    command = [PYTHON, "scripts/new_job.py", name]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert status(project) == []
