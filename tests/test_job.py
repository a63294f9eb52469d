"""`make job` adds a job that the tests, the linters and `make run` know at once."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PACKAGE, TEMPLATE, run

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
    shutil.rmtree(installed_project / "out", ignore_errors=True)


def run_hosts(project: Path, folder: Path, *command: str) -> None:
    """Run two hosts of a job at once, on one output folder."""
    hosts = ["algo-1", "algo-2"]
    processes = []
    for host in hosts:
        (folder / host / "config").mkdir(parents=True)
        config = json.dumps({"current_host": host, "hosts": hosts})
        (folder / host / "config" / "resourceconfig.json").write_text(config)
        env = os.environ | {"SAGEMAKER_BASE_DIR": str(folder / host)}
        processes.append(subprocess.Popen(command, cwd=project, env=env))
    assert [process.wait() for process in processes] == [0, 0]


def status(project: Path) -> list[str]:
    lines = run(project, "git", "status", "--porcelain", "--untracked-files=all").splitlines()
    return sorted(line[3:] for line in lines)


def test_a_new_job_is_known_at_once(project: Path, tmp_path: Path) -> None:
    said = run(project, "make", "job", "NAME=evaluate")
    written = [
        "entrypoints/evaluate.py",
        f"src/{PACKAGE}/evaluate.py",
        "tests/test_evaluate.py",
    ]
    assert status(project) == ["Makefile", *written]
    assert set(written) < set(said.splitlines())
    assert "skeleton" not in "".join((project / path).read_text() for path in written).lower()

    run(project, *RUFF, "format", "--check", *written)
    run(project, *RUFF, "check", *written)
    run(project, PYTHON, "-m", "mypy", *written)
    tests = (
        "tests/test_evaluate.py",
        "tests/test_entrypoints.py::test_help_gives_every_option_its_default[evaluate]",
    )
    assert re.search(r"\d+ passed in", run(project, PYTHON, "-m", "pytest", *tests))

    for _ in range(2):
        run(project, "make", "run")
    first, second = sorted((project / "out").iterdir())
    for record in (first / "evaluate" / "job.json", second / "evaluate" / "job.json"):
        assert json.loads(record.read_text())["job"] == "evaluate"

    paths = ("--input_path", str(first / "dataset"), "--output_path", str(tmp_path / "out"))
    run_hosts(project, tmp_path, PYTHON, "entrypoints/evaluate.py", *paths)
    lists = [file.read_text().split() for file in sorted((tmp_path / "out").glob("*.txt"))]
    assert len(lists) == 2
    assert all(lists)
    files = [file for file in (first / "dataset").rglob("*") if file.is_file()]
    names = [file.relative_to(first / "dataset").as_posix() for file in files]
    assert sorted(name for part in lists for name in part) == sorted(names)

    commands = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert len(commands) == 3
    for command in commands[:2]:
        run(project, *command.split(), "--dry-run")
    assert "launch evaluate" in commands[2]


@pytest.mark.parametrize(
    "name", ["a", "evaluate_with_a_name_that_is_longer_than_a_line_can_hold_it"]
)
def test_style_does_not_depend_on_the_name(project: Path, name: str) -> None:
    run(project, PYTHON, "scripts/new_job.py", name)
    makefile, *written = status(project)
    assert makefile == "Makefile"
    assert len(written) == 3
    run(project, *RUFF, "format", "--check", *written)
    run(project, *RUFF, "check", *written)


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
        ("pipeline", "verb of launch"),
        ("deploy", "verb of launch"),
        (JOB, f"entrypoints/{JOB}.py exists"),
        ("dataset", f"src/{PACKAGE}/dataset.py exists"),
        ("runtime", "tests/test_runtime.py exists"),
        ("options", "tests/test_options.py exists"),
    ],
)
def test_bad_name_is_rejected(project: Path, name: str, reason: str) -> None:
    command = [PYTHON, "scripts/new_job.py", name]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert status(project) == []
