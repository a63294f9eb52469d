"""Launching deletes and overwrites nothing but launch's own temporary folders."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch import LaunchError
from launch.requests import jobs
from launch.requests.options import parse

LAUNCH = Path(__file__).parents[2] / "launch"
FORBIDDEN = {"copyfile", "remove", "removedirs", "replace", "rmdir", "rmtree", "unlink"}
"""Functions of ``os``, ``shutil`` and ``Path`` that delete or overwrite."""


def calls(file: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the function around each call, what is called, and on what."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield function.name, node.func.attr, ast.unparse(node.func.value)


@pytest.mark.parametrize(
    "file", sorted(LAUNCH.rglob("*.py")), ids=lambda file: file.relative_to(LAUNCH).as_posix()
)
def test_nothing_is_deleted_or_overwritten(file: Path) -> None:
    found = {
        (function, name, owner)
        for function, name, owner in calls(file)
        if name.startswith("delete_") or (name in FORBIDDEN and owner in ("os", "shutil", "path"))
    }
    if file.name == "folders.py":
        assert {function for function, *_ in found} == {"_remove_locked"}
    else:
        assert not found


def test_no_option_overwrites(small_project: Path) -> None:
    assert small_project
    with pytest.raises(LaunchError, match="--overwrite"):
        parse(jobs.read("probe"), ["--overwrite"])
