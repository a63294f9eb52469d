"""The documents name only what exists."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PACKAGE, TEMPLATE

ROOT = TEMPLATE.parent
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])

OTHERS_MESSAGES = {
    "pyproject.toml changed significantly since poetry.lock was last generated",  # Poetry
    "Cannot connect to the Docker daemon",
}


def targets(makefile: Path) -> set[str]:
    return set(re.findall(r"^\.PHONY: (\S+)", makefile.read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_of_the_template(document: Path, generated: Path) -> None:
    text = document.read_text(encoding="utf-8")
    known = targets(ROOT / "Makefile") | targets(generated / "Makefile")
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= known
    assert set(re.findall(r"^make ([a-z-]+)", text, flags=re.MULTILINE)) <= known
    for link in re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", text):
        assert (document.parent / link).exists(), link
    for path in re.findall(r"`((?:hooks|tests|docs|benchmarks|launch|\.ci)/[\w./-]*)", text):
        assert (ROOT / path).exists() or (generated / path).exists(), path


def test_readme_of_a_project(generated: Path) -> None:
    text = (generated / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets(generated / "Makefile")
    paths = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:toml|lock|env|mk|txt))`", text)
    for path in paths:
        assert (generated / path).exists(), path


def test_tree_of_the_readme_is_the_tree(generated: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^[├└]── ([\w.-]+)", text, flags=re.MULTILINE)
    found = {path.name for path in generated.iterdir()}
    assert set(named) <= found
    assert {name for name in found if not name.startswith(".")} <= set(named) | {"poetry.toml"}


def test_readme_of_a_project_explains_every_file_of_launch(generated: Path) -> None:
    text = (generated / "README.md").read_text(encoding="utf-8")
    files = (generated / "launch").rglob("*.py")
    assert {path.relative_to(generated).as_posix() for path in files} <= set(
        re.findall(r"`(launch/[\w./]+)`", text)
    )


def test_options_of_launch_are_those_that_it_has(generated: Path) -> None:
    jobs = [path.stem for path in (generated / "entrypoints").glob("*.py")]
    helps = [launch_help(generated, name) for name in (*jobs, "pipeline")]
    known = set(re.findall(r"--[a-z_-]+", "".join(helps)))
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


def test_messages_are_those_of_the_code(generated: Path) -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \|", text, flags=re.MULTILINE)
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    assert messages
    folders = ("entrypoints", "launch", "scripts", f"src/{PACKAGE}")
    python = [path for name in folders for path in (generated / name).rglob("*.py")]
    shell = [generated / "venv.mk", *(generated / "scripts").glob("*.sh")]
    said = [
        text
        for path in [ROOT / "hooks" / "pre_gen_project.py", *python]
        for text in strings(path.read_text(encoding="utf-8"))
    ]
    said += [path.read_text(encoding="utf-8") for path in shell]
    for message in set(messages) - OTHERS_MESSAGES:
        assert any(message in text for text in said), message


def strings(code: str) -> Iterator[str]:
    """The strings in Python code; those with values filled in are several."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
