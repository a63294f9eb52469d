"""The documents name only what exists."""

import re
from pathlib import Path

import pytest
from conftest import TEMPLATE

ROOT = TEMPLATE.parent
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/**/*.md")])


def verbs(makefile: Path) -> set[str]:
    return set(re.findall(r"^\.PHONY: (\S+)", makefile.read_text(), flags=re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_of_the_template(document: Path, generated: Path) -> None:
    text = document.read_text(encoding="utf-8")
    known = verbs(ROOT / "Makefile") | verbs(generated / "Makefile")
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= known
    assert set(re.findall(r"^make ([a-z-]+)", text, flags=re.MULTILINE)) <= known
    for link in re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", text):
        assert (document.parent / link).exists(), link
    for path in re.findall(r"`((?:hooks|tests|docs|benchmarks|\.ci)/[\w./-]*)", text):
        assert (ROOT / path).exists() or (generated / path).exists(), path


def test_readme_of_a_project(generated: Path) -> None:
    text = (generated / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= verbs(generated / "Makefile")
    paths = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w-]+\.(?:toml|lock|env|mk|txt))`", text)
    for path in paths:
        assert (generated / path).exists(), path


def test_tree_of_the_readme_is_the_tree(generated: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^[├└]── ([\w.-]+)", text, flags=re.MULTILINE)
    found = {path.name for path in generated.iterdir()}
    assert set(named) <= found
    assert {name for name in found if not name.startswith(".")} <= set(named) | {"poetry.toml"}
