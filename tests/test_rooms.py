"""The machinery does not depend on the example, nor do its tests on the data."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SLUG, TABLE, TEMPLATE, copy_template, run
from rooms import EXAMPLE_TESTS, is_example, section

pytestmark = pytest.mark.slow

ANOTHER_MODEL = Path(__file__).parent / "another_model"
"""The files of another example, as a generated repository has them."""


def replace_example(template: Path) -> None:
    """Follow ``docs/adapt.md``: another example instead of the template's, tests included."""
    project = template / TEMPLATE.name
    for path in sorted(project.rglob("*")):
        if path.is_file() and is_example(path.relative_to(project).as_posix()):
            path.unlink()
    (package,) = (path.name for path in (ANOTHER_MODEL / "src").iterdir())
    for source in filter(Path.is_file, ANOTHER_MODEL.rglob("*")):
        name = source.relative_to(ANOTHER_MODEL).as_posix()
        target = project / name.replace(package, "{{cookiecutter.__package_name}}")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".py":
            code = source.read_text(encoding="utf-8")
            target.write_text(code.replace(package, "{{ cookiecutter.__package_name }}"))
        elif name == "README.md":
            text = target.read_text(encoding="utf-8")
            target.write_text(text.replace(section(text), source.read_text(encoding="utf-8")))
        else:
            shutil.copy(source, target)
    for name in EXAMPLE_TESTS:
        tests = template / "tests" / name
        if tests.is_dir():
            shutil.rmtree(tests)
        else:
            tests.unlink()


def test_the_tests_of_the_template_pass_with_another_example(tmp_path: Path) -> None:
    template = copy_template(tmp_path / "template")
    replace_example(template)
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "--basetemp"]
    done = subprocess.run(
        [*command, str(tmp_path / "inner")],
        cwd=template,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ passed", done.stdout)


def test_the_tests_of_the_jobs_do_not_read_all_data(
    generated: Path, installed_project: Path, tmp_path: Path
) -> None:
    """A reader of a pipe without a writer waits until the test times out.

    ``test_another_model.py`` runs all other tests of a repository with data that is unreadable.
    """
    project = Path(shutil.copytree(generated, tmp_path / SLUG))
    (project / ".venv").symlink_to(installed_project / ".venv")
    inputs = [address for job in TABLE["inputs"].values() for address in job.values()]
    for folder in {project / address for address in inputs if (project / address).is_dir()}:
        suffix = max(folder.iterdir()).suffix
        with (folder / f"zz-large{suffix}").open("wb") as large:
            large.truncate(1 << 30)
        os.mkfifo(folder / f"zz-never-ends{suffix}")
        for number in range(1000):
            (folder / f"zz-{number}{suffix}").touch()
    tests = ("tests/jobs", "tests/machinery/test_entrypoints.py", "tests/machinery/test_imports.py")
    command = (".venv/bin/python", "-m", "pytest", "-q", "--numprocesses", "2", *tests)
    assert re.search(r"\d+ passed", run(project, *command, PYTHONPATH="src"))
