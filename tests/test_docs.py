"""The documents name only what exists."""

import re
from pathlib import Path

import messages
import pytest
from conftest import TEMPLATE
from rooms import names_example, paths

ROOT = TEMPLATE.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

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
    for path in paths(document):
        if not names_example(path):
            assert any((folder / path).exists() for folder in (ROOT, generated)), path


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
    explained = set(re.findall(r"`(launch/[\w./]+)`", text))
    package = ""
    for row in re.findall(r"^\|(.*?)\|(.*?)\|", text, flags=re.MULTILINE):
        if named := re.search(r"`(launch/(?:\w+/)?)`", row[0]):
            package = named[1]
        explained |= {package + file for file in re.findall(r"`(\w+\.py)`", row[1])}
    explained |= {f"{name}__init__.py" for name in explained if name.endswith("/")}
    files = (generated / "launch").rglob("*.py")
    assert {path.relative_to(generated).as_posix() for path in files} <= explained


def test_messages_are_those_of_the_code(generated: Path) -> None:
    machinery, _ = messages.documented()
    assert machinery
    said = messages.in_code(generated)
    for message in set(machinery) - OTHERS_MESSAGES:
        assert any(message in text for text in said), message
