"""The files of the example."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePath

from conftest import TEMPLATE, run

EXAMPLE = (
    "data/",
    "launch.toml",
    "entrypoints/",
    "src/*/*.py",
    "tests/jobs/",
)
"""In a generated repository, besides the list of dependencies in ``pyproject.toml`` and the section
*The example* of the README; all the rest is machinery."""

TESTS_OF_THE_EXAMPLE = (
    "tests/jobs",
    *(
        f"tests/machinery/test_{name}.py"
        for name in (
            "comparison",
            "config",
            "configured",
            "entrypoints",
            "imports",
            "jobs",
            "main",
            "new_job",
            "options",
            "pipeline",
            "selection",
        )
    ),
)
"""The tests of a generated repository that read its jobs, its data, or the table of its jobs.

The others use jobs of their own. ``test_project.py`` and ``test_dev_container.py`` run all tests;
where a repository has other jobs, these run."""

EXAMPLE_TESTS = ("example/", "another_model/", "test_another_model.py")
"""In ``tests/`` of the template."""


def is_example(path: str) -> bool:
    """Whether a file of a generated repository belongs to the example, by its path in it."""
    if path.endswith("/__init__.py"):
        return False
    return any(
        path.startswith(place) if place.endswith("/") else PurePath(path).match(place)
        for place in EXAMPLE
    )


def section(readme: str) -> str:
    """The section of a README about the example."""
    found = re.search(r"^## The example\n.*?(?=^## |\Z)", readme, flags=re.MULTILINE | re.DOTALL)
    assert found
    return found[0]


def machinery(project: Path) -> Iterator[str]:
    """The files of a generated repository that a new model does not touch."""
    for path in run(project, "git", "ls-files").splitlines():
        if not is_example(path):
            yield path


def template_tests() -> Iterator[Path]:
    """The template's tests that know nothing of the example."""
    folder = TEMPLATE.parent / "tests"
    for path in sorted(folder.rglob("*.py")):
        if not path.relative_to(folder).as_posix().startswith(EXAMPLE_TESTS):
            yield path
