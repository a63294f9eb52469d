"""The documents use options and explain messages that the example's jobs have."""

import os
import re
import subprocess
import sys
from pathlib import Path

import messages
import pytest
from conftest import JOBS, TEMPLATE
from rooms import names_example, paths

ROOT = TEMPLATE.parent
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
ANOTHER_METRIC = "--max_rmse"
OF_THE_AWS_CLI = "--recursive"


def test_options_of_launch_are_those_that_it_has(generated: Path) -> None:
    helps = [launch_help(generated, name) for name in (*JOBS, "pipeline")]
    known = set(re.findall(r"--[a-z_-]+", "".join(helps))) | {ANOTHER_METRIC, OF_THE_AWS_CLI}
    readme = (generated / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [line for line in readme if "python -m launch" in line]
    text = "\n".join([(ROOT / "docs" / "launch.md").read_text(encoding="utf-8"), *commands])
    assert set(re.findall(r"--[a-z_]+(?:-[a-z]+)?", text)) <= known


def launch_help(project: Path, verb: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "launch", verb, "--help"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": "src", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_of_the_example_exist(document: Path, generated: Path) -> None:
    folders = (ROOT, generated, ROOT / "tests" / "another_model")
    for path in filter(names_example, paths(document)):
        assert any((folder / path).exists() for folder in folders), path


def test_messages_are_those_of_the_code(generated: Path) -> None:
    _, example = messages.documented()
    said = messages.in_code(generated)
    for message in example:
        assert any(message in text for text in said), message
