"""The messages that ``docs/troubleshooting.md`` explains, and the messages in the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from conftest import PACKAGE, TEMPLATE

ROOT = TEMPLATE.parent
EXAMPLE = re.compile(r"^#+ [^\n]*\bexample\b.*?(?=^#|\Z)", flags=re.MULTILINE | re.DOTALL)
"""The section about the messages of the example's jobs."""


def documented() -> tuple[list[str], list[str]]:
    """Return the messages of the machinery, and those of the example."""
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    example = "".join(EXAMPLE.findall(text))
    return _messages(EXAMPLE.sub("", text)), _messages(example)


def _messages(text: str) -> list[str]:
    rows = re.findall(r"^\| (`.*?`) \|", text, flags=re.MULTILINE)
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row)]


def in_code(project: Path) -> list[str]:
    """Return the strings in the code of the hooks and of a generated repository."""
    folders = ("entrypoints", "launch", "scripts", f"src/{PACKAGE}")
    python = [path for name in folders for path in (project / name).rglob("*.py")]
    shell = [project / "venv.mk", *(project / "scripts").glob("*.sh")]
    said = [
        text
        for path in [*(ROOT / "hooks").glob("*.py"), *python]
        for text in _strings(path.read_text(encoding="utf-8"))
    ]
    return said + [path.read_text(encoding="utf-8") for path in shell]


def _strings(code: str) -> Iterator[str]:
    """The strings in Python code; those with values filled in are several."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
