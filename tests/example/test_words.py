"""The example is known where ``rooms`` says, and nowhere else."""

import re
from pathlib import Path

import pytest
from conftest import JOBS, TABLE, TEMPLATE, Bake
from rooms import is_example, machinery, section, template_tests

NAMES = (
    *("penguin", "penguins", "palmer", "gorman"),
    *("adelie", "chinstrap", "gentoo", "biscoe", "dream", "torgersen"),
    *("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"),
)
"""Words that mean the example wherever they are."""

ENGLISH = (*JOBS, TABLE["metric"]["name"], "species", "island", "sex", "year")
"""Words that mean the example only as a name: of a job, a metric, a column or an option."""

NAME = re.compile(rf"\b({'|'.join(NAMES)})\b", re.IGNORECASE)
_ENGLISH = f"(?:{'|'.join(ENGLISH)})"
CODE = re.compile(
    rf"""["'`]{_ENGLISH}["'`.:]      # "year", `tune`
    | \b(?:entrypoints|jobs|runs|src)/{_ENGLISH}\b | /{_ENGLISH}/ | \b{_ENGLISH}\.py\b  # a path
    | --{_ENGLISH}\b | --[\w-]+\.{_ENGLISH}\b        # an option
    | \b(?:min|max)_{_ENGLISH}\b | \b{_ENGLISH}_(?:path|seed|instance_\w+)\b
    | \blaunch[ ]{_ENGLISH}\b
    | (?:["'`]|\bimport[ ]|\bfrom[ ])(?:polars|sklearn|scikit[-_]learn)\b
    """,
    re.VERBOSE,
)


def findings(name: str, text: str) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if NAME.search(line) or CODE.search(line)
    ]


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("Put it next to the Penguins.", True),
        ('"data/penguins"', True),
        (".venv/bin/python -m launch train", True),
        ("entrypoints/tune.py", True),
        ("--seed.train 1", True),
        ("--min_accuracy 1", True),
        ('row["year"]', True),
        ("import polars as pl", True),
        ("A panic of Polars is not an Exception.", False),
        ("s3://bucket/project/runs/run/train/model", True),
        ("To train another model, tune it once a year.", False),
        ("The accuracy of the clock is a matter of training.", False),
    ],
)
def test_names_are_found_and_english_is_not(line: str, is_found: bool) -> None:
    assert bool(findings("file", line)) is is_found


def test_the_example_is_in_its_own_files(bake: Bake) -> None:
    """The names that the default answers bring are not the example's: others are given here."""
    project = bake(project_name="Some Model", description="What it does.")
    found = []
    assert is_example("launch.toml")
    for name in set(machinery(project)) - {"poetry.lock"}:
        text = (project / name).read_text(encoding="utf-8")
        if name == "README.md":
            example = section(text)
            assert findings(name, example)
            text = text.replace(example, "")
        if name == "pyproject.toml":
            text = re.sub(r"^dependencies = \[.*?^\]", "", text, flags=re.M | re.S)
        found += findings(name, text)
    assert not found, "\n".join(found)


def test_the_example_is_not_in_the_tests_of_the_template() -> None:
    root = TEMPLATE.parent
    files = [*template_tests(), *root.glob("hooks/*.py"), *root.glob(".ci/*"), root / "Makefile"]
    files += root.glob(".github/workflows/*")
    found = []
    for path in files:
        found += findings(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


def test_every_file_of_the_example_is_there(generated: Path) -> None:
    """So that a test of its words reads what it means to."""
    outside = set(machinery(generated))
    assert {f"entrypoints/{job}.py" for job in JOBS}.isdisjoint(outside)
    assert {"launch/settings/config.py", "tests/conftest.py", "tests/machinery/probe.py"} <= outside
