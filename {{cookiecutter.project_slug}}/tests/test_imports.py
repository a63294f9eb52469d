"""How the files of ``launch/`` build on each other."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = 7


def modules() -> dict[str, Path]:
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): file
        for file in (ROOT / "launch").rglob("*.py")
    }


@cache
def imports(module: str) -> frozenset[str]:
    """Return the modules of launch that a module imports, also within functions."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = module.split(".")[: -node.level]
            base = ".".join([*package, *(node.module or "").split(".")]).rstrip(".")
            for name in (alias.name for alias in node.names):
                candidates = (f"{base}.{name}", f"{base}.{name}.__init__", base, f"{base}.__init__")
                found |= {next(each for each in candidates if each in modules())}
    return frozenset(found - {module})


def height(module: str, above: tuple[str, ...] = ()) -> int:
    """Return the number of modules in the longest chain of imports below a module."""
    assert module not in above, f"{' -> '.join([*above, module])} is a cycle"
    below = (height(each, (*above, module)) for each in imports(module))
    return 1 + max(below, default=0)


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_are_few_floors_high_and_have_no_cycle(module: str) -> None:
    assert height(module) <= FLOORS


def test_planning_imports_no_backend() -> None:
    code = "import sys; from launch.__main__ import main; code = main(sys.argv[1:]);"
    code += "sys.exit(code or any('backends' in name for name in sys.modules))"
    data = next((ROOT / "data").iterdir())
    command = [sys.executable, "-c", code, "preprocess", "--input_path", str(data), "--plan"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_a_wrong_option_is_rejected_before_any_library_is_loaded() -> None:
    code = "import sys; from launch.__main__ import main; assert main(sys.argv[1:]) == 2;"
    code += "sys.exit(bool({'botocore', 'boto3', 'polars', 'tqdm'} & set(sys.modules)))"
    command = [sys.executable, "-c", code, "preprocess", "--no_such_option", "1"]
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
