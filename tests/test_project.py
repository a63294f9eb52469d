"""A generated project is installed, checked, run and moved."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from conftest import PACKAGE, TABLE, TEMPLATE, Bake, copy_installed, run
from rooms import TESTS_OF_THE_EXAMPLE

pytestmark = pytest.mark.slow


def results(project: Path) -> bytes:
    """The file with the metric of the last `make run`."""
    metric = TABLE["metric"]
    place = f"{metric['job']}/{metric['output']}/{metric['file']}"
    *_, last = sorted(project.glob(f"out/*/{place}"))
    return last.read_bytes()


def direct_dependencies(project: Path) -> set[str]:
    """The names of the libraries that the jobs use."""
    pyproject = tomllib.loads((project / "pyproject.toml").read_text())
    return {re.split("[^a-z0-9-]", line)[0] for line in pyproject["project"]["dependencies"]}


def test_is_clean_at_once_after_a_move(installed_project: Path) -> None:
    """All tests of a generated project run here, and in its dev container with a newer Python."""
    output = run(installed_project, "make", "check")
    assert re.search(r"Success: no issues found in \d+ source files", output)
    assert re.search(r"\d+ passed in", output)
    assert "skipped" not in output
    run(installed_project, "make", "run")
    assert results(installed_project)
    assert run(installed_project, "git", "status", "--porcelain") == ""


def test_new_jobs_pass_all_checks_and_run_with_the_others(
    installed_project: Path, tmp_path: Path
) -> None:
    """Runs the tests that read the jobs of the repository: the others cannot differ."""
    project = copy_installed(installed_project, tmp_path / "copy")
    run(project, "make", "job", "NAME=describe")
    second = f"{TABLE['metric']['job']}_again"
    run(project, "make", "job", f"NAME={second}", f"READS={TABLE['metric']['output']}")
    run(project, "make", "lint")
    names = ("describe", second)
    tests = [f"tests/jobs/test_{name}.py" for name in names]
    tests += [each for each in TESTS_OF_THE_EXAMPLE if each != "tests/jobs"]
    command = (".venv/bin/python", "-m", "pytest", "--numprocesses", "2")
    assert re.search(r"\d+ passed in", run(project, *command, *tests))
    output = run(project, "make", "run")
    for name in names:
        assert list(project.glob(f"out/*/{name}/{name}/job.json"))
        assert f"--output_path.{name} " in output


def test_check_tells_of_both_lint_and_tests(installed_project: Path, tmp_path: Path) -> None:
    copy = copy_installed(installed_project, tmp_path / "copy")
    (copy / "tests" / "test_wrong.py").write_text("def test_wrong() -> None :\n    assert 0\n")
    done = subprocess.run(
        ("make", "check"),
        cwd=copy,
        env=os.environ | {"PYTEST_ADDOPTS": "-k wrong"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "1 file would be reformatted" in done.stdout
    assert "FAILED tests/test_wrong.py" in done.stdout


def test_can_be_installed_in_a_folder_of_any_name(bake: Bake, tmp_path: Path) -> None:
    project = Path(shutil.move(bake(), tmp_path / """it's a "new" \\ $HOME & folder"""))
    run(project, "make", "install", "GROUPS=dev")
    assert run(project, ".venv/bin/ruff", "--version").startswith("ruff ")
    assert "[options]" in run(project, ".venv/bin/python", "-m", "pytest", "--help")


def test_cleaning_leaves_what_was_committed(bake: Bake) -> None:
    project = bake()
    before = run(project, "git", "status", "--porcelain", "--ignored")
    run(project, "make", "install", "GROUPS=dev")
    (project / "out" / "run").mkdir(parents=True)
    (project / ".coverage.host.1").touch()
    assert run(project, "git", "status", "--porcelain") == ""
    run(project, "make", "clean")
    assert run(project, "git", "status", "--porcelain", "--ignored") == before


def test_a_copy_and_its_original_each_run_their_own_source(
    installed_project: Path, tmp_path: Path
) -> None:
    copy = copy_installed(installed_project, tmp_path / "copy")

    def source(project: Path) -> Path:
        where = f"import {PACKAGE}; print({PACKAGE}.__path__[0])"
        return Path(run(project, ".venv/bin/python", "-c", where).strip())

    for _ in "copied", "installed anew":
        for project in (installed_project, copy):
            assert source(project) == project / "src" / PACKAGE
            assert run(project, ".venv/bin/ruff", "--version").startswith("ruff ")
            assert run(project, ".venv/bin/pytest", "--version").startswith("pytest ")
        run(copy, "make", "install", "GROUPS=dev")


def test_a_busy_machine_fails_no_property(installed_project: Path, tmp_path: Path) -> None:
    shutil.copy(installed_project / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_slow.py").write_text(
        "import time\n"
        "from hypothesis import given, strategies as st\n"
        "@given(st.booleans())\n"
        "def test_slow(value):\n"
        "    time.sleep(0.5)\n"
    )
    path = f"PYTHONPATH={installed_project}:{installed_project / 'tests' / 'machinery'}"
    here = ("env", "--unset=CI", "--unset=GITHUB_ACTIONS", path)
    python = str(installed_project / ".venv/bin/python")
    assert "1 passed" in run(tmp_path, *here, python, "-m", "pytest", "test_slow.py")


@pytest.mark.parametrize("slug", ["a", "x" * 29])
def test_format_and_style_do_not_depend_on_the_names(
    bake: Bake, installed_project: Path, slug: str
) -> None:
    project = bake(
        project_slug=slug, ecr_repository="team/image", description='a "b" \\', author="ü"
    )
    python = str(installed_project / ".venv/bin/python")
    run(project, python, "-m", "ruff", "format", "--check", ".")
    run(project, python, "-m", "ruff", "check", ".")
    poetry = (str(installed_project / ".tools/bin/python"), "-m", "poetry")
    run(project, *poetry, "check", "--strict")
    run(project, *poetry, "check", "--lock")


def test_run_needs_nothing_but_what_the_jobs_use(bake: Bake) -> None:
    project = bake()
    output = run(project, "make", "run")

    metrics = results(project)
    (reported,) = re.findall(rf"^ +{re.escape(TABLE['metric']['name'])} \S+ \(.*\)$", output, re.M)
    assert str(TABLE["metric"].get("minimum", TABLE["metric"].get("maximum"))) in reported

    listed = run(project, ".tools/bin/uv", "pip", "list", "--format=json", "--python=.venv")
    installed = {package["name"] for package in json.loads(listed.splitlines()[-1])}
    lock = tomllib.loads((TEMPLATE / "poetry.lock").read_text())
    needed = {
        package["name"]
        for package in lock["package"]
        if {"main", "launch"} & set(package["groups"])
    }
    assert installed <= needed
    assert direct_dependencies(project) <= installed

    run(project, "make", "run")
    assert results(project) == metrics
    assert run(project, "git", "status", "--porcelain") == ""


def test_verbs_are_listed(generated: Path) -> None:
    listed = re.findall(r"^  make (\S+) +\S", run(generated, "make"), flags=re.MULTILINE)
    verbs = re.findall(r"^\.PHONY: (\S+)", (generated / "Makefile").read_text(), flags=re.MULTILINE)
    assert listed == verbs


@pytest.mark.parametrize("python", ["/nowhere/python3", "/bin/false"])
def test_a_missing_python_is_named(bake: Bake, python: str) -> None:
    done = subprocess.run(
        ["make", "run", f"PYTHON={python}"],
        cwd=bake(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    message = next(line for line in done.stderr.splitlines() if "3.11" in line)
    assert python in message


def test_an_environment_whose_python_is_gone_is_made_anew(
    installed_project: Path, tmp_path: Path
) -> None:
    project = copy_installed(installed_project, tmp_path / "copy")
    for python in (project / ".tools/bin/python", project / ".venv/bin/python"):
        python.unlink()
        python.symlink_to("/nowhere/bin/python3")
    run(project, "make", "lint", "GROUPS=dev")
    listed = run(project, ".tools/bin/uv", "pip", "list", "--python=.venv")
    assert all(f"\n{name} " in listed for name in direct_dependencies(project))


def test_a_group_that_was_asked_for_stays(installed_project: Path, tmp_path: Path) -> None:
    project = copy_installed(installed_project, tmp_path / "copy")
    code = "from importlib.util import find_spec as f; print(f('jupyterlab'))"
    words = (".venv/bin/python", "-c", code)
    for groups, there in (("dev", False), ("", False), ("dev notebook", True), ("", True)):
        run(project, "make", "install", *([f"GROUPS={groups}"] if groups else []))
        assert (run(project, *words) != "None\n") is there


def test_a_stale_lock_stops_the_install(bake: Bake, installed_project: Path) -> None:
    project = bake()
    pyproject = project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace('"tqdm>=', '"tqdm!=4.0,>='))
    run(project, "cp", "-R", str(installed_project / ".tools"), ".")
    done = subprocess.run(
        ["make", "install"],
        cwd=project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "poetry lock" in done.stderr
    assert not list(project.glob(".venv/installed*"))
