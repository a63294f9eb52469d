"""How the files of ``launch/`` build on each other."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = 9

PACKAGES = (
    "settings",
    "aws",
    "storage",
    "requests",
    "history",
    "pipelines",
    "backends",
    "commands",
)
"""The packages of launch: each imports only those before it."""


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


def package(module: str) -> str:
    """Return the package of a module of launch; empty for a module at the top."""
    parts = module.split(".")
    return parts[1] if len(parts) > 2 else ""


def test_every_package_of_launch_has_its_position() -> None:
    assert {package(module) for module in modules()} - {""} == set(PACKAGES)


@pytest.mark.parametrize("module", sorted(filter(package, modules())))
def test_a_package_imports_only_packages_before_it(module: str) -> None:
    position = PACKAGES.index(package(module))
    allowed = {*PACKAGES[: position + 1]}
    assert {package(each) for each in imports(module) - {"launch.run"}} <= allowed


def launch(root: Path, code: str, *words: str) -> None:
    """Run code that launches in a small repository, in a process that has imported nothing yet."""
    lines = ["import sys", "from pathlib import Path", "from launch.settings import project"]
    lines += ["project.ROOT = Path(sys.argv.pop(1))", "from launch.__main__ import main", code]
    command = [sys.executable, "-c", "; ".join(lines), str(root), *words]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


PLANS = [
    ["make_data", "--input_path", "raw", "--plan"],
    ["pipeline", "--input_path.make_data", "raw", "--plan"],
]


@pytest.mark.parametrize("words", PLANS, ids=["job", "pipeline"])
def test_planning_imports_no_backend(small_pipeline: Path, words: list[str]) -> None:
    code = "code = main(sys.argv[1:]);"
    code += "sys.exit(code or any('backends' in name for name in sys.modules))"
    raw = str(small_pipeline / "raw")
    launch(small_pipeline, code, *(raw if word == "raw" else word for word in words))


REJECTED = [
    ["make_data", "--no_such_option", "1"],
    ["pipeline", "--no_such_option", "1"],
    ["pipeline", "--input_path.make_data", "raw", "--seed.fit", "x"],
    ["pipeline", "--min_score", "high"],
]


@pytest.mark.parametrize("words", REJECTED, ids=" ".join)
def test_a_wrong_option_is_rejected_before_any_library_is_loaded(
    small_pipeline: Path, words: list[str]
) -> None:
    libraries = {"botocore", "boto3", "tqdm"}
    code = f"assert main(sys.argv[1:]) == 2; sys.exit(bool({libraries} & set(sys.modules)))"
    launch(small_pipeline, code, *words)
