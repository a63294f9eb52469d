"""Arbitrary answers are rejected without leaving files, or result in a working repository.

``make fuzz`` tries more of them, and prints what came of how many.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from conftest import TEMPLATE, typed
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

OUTCOMES = ("accepted", "refused", "broken", "injected")
RUFF = [sys.executable, "-m", "ruff"]
QUIETLY = ["--no-cache", "--force-exclude"]
PYTHON_LINTERS = [[*RUFF, "format", *QUIETLY, "--check"], [*RUFF, "check", *QUIETLY]]
SHELL_LINTERS = [["shellcheck"]]
PASSED: set[bytes] = set()
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
"""Where files are written and removed without waiting for a disk, on Linux."""

TEXTS = [
    "$(touch injected)",
    "`touch injected`",
    "; touch injected",
    "| touch injected #",
    "$(shell touch injected)",
    "{{ 7*7 }}",
    "{% for x in () %}",
    "{% raw %}",
    "{# comment",
    "}}",
    "${HOME}",
    "__import__('os').mkdir('injected')",
    "!!python/object/apply:os.mkdir [injected]",
    '""")',
    "'''",
    '"',
    "'",
    "]",
    "[tool.poetry]",
    "<script>",
    "\\",
    "\\u0041\\N{BULLET}",
    "---",
    "- &a [*a]",
    ": #",
    "../../",
    "/",
    "~",
    "-rf",
    "--help",
    "\N{RIGHT-TO-LEFT OVERRIDE}",
    "\N{CYRILLIC SMALL LETTER A}",
    "\N{FULLWIDTH QUOTATION MARK}",
    "\N{ZERO WIDTH SPACE}",
    "\N{ZERO WIDTH NO-BREAK SPACE}",
    "\N{NO-BREAK SPACE}",
    "\N{COMBINING ACUTE ACCENT}",
    "\N{WHALE}",
]
BREAKS = [
    "\n; touch injected\n",
    '""")\nopen("injected", "w")\n("""',
    '"\nname = "x',
    "]\n[tool.poetry]\n",
    "\r\n",
    "\t",
]
CONTROLS = ["\0", "\a", "\x1b[31m", "\x7f", "\x85", "\u2028", "\udcff"]
"""The last one is what Python makes of a byte that is not UTF-8."""
RESERVED = ["con", "class", "none", "json", "sys", "pytest", "yaml", "tests", ".", "-", "~"]


def texts(pieces: list[str], characters: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Pieces put together, any text, 300 characters, nothing at all."""
    few = st.lists(st.sampled_from(pieces) | characters, min_size=1, max_size=6).map("".join)
    return st.one_of(
        few,
        st.text(characters, max_size=300),
        few.map(lambda text: (text * 300)[:300]),
        st.just(""),
    )


def answers(
    name: st.SearchStrategy[str],
    slug: st.SearchStrategy[str],
    ecr: st.SearchStrategy[str],
    description: st.SearchStrategy[str],
) -> st.SearchStrategy[dict[str, str]]:
    questions = {
        "project_name": name,
        "project_slug": slug,
        "ecr_repository": ecr,
        "description": description,
        "author": name,
    }
    return st.fixed_dictionaries({}, optional=questions)


printable = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
anything = texts([*TEXTS, *BREAKS, *CONTROLS], st.characters())
slugs = st.from_regex(r"\A[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,9}){0,2}\Z")
# Never "..": were a path not refused, cookiecutter would delete what it leads to.
folders = st.sampled_from(RESERVED) | anything.filter(lambda text: ".." not in text)
ACCEPTABLE = answers(
    texts(TEXTS, printable).filter(str.strip),
    slugs,
    slugs.map(lambda slug: f"team/{slug}"),
    texts(TEXTS + BREAKS, printable),
)
ANY = answers(anything, slugs | folders, anything, anything)


@pytest.fixture(scope="module")
def counts() -> Iterator[Counter[str]]:
    counts = Counter(dict.fromkeys(OUTCOMES, 0))
    yield counts
    print(f"\n{counts.total()} bakes:", *(f"{counts[name]} {name}" for name in OUTCOMES))


@settings(
    max_examples=int(os.environ.get("FUZZ_BAKES", "200")),
    derandomize="FUZZ_BAKES" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(answers=ACCEPTABLE | ANY)
def test_refused_or_right(counts: Counter[str], answers: dict[str, str]) -> None:
    outcome = "broken"
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, chdir(folder):
        output = Path(folder, "output")
        output.mkdir()
        try:
            refusal = bake(output, answers)
            if list(Path(folder).rglob("injected")):
                outcome = "injected"
            elif refusal is None:
                (project,) = output.iterdir()
                check(project, answers)
                outcome = "accepted"
            else:
                assert list(output.iterdir()) == []
                assert len(refusal.splitlines()) == 1, refusal
                assert refusal.strip().isprintable()
                outcome = "refused"
        finally:
            counts[outcome] += 1
    assert outcome != "injected"


def bake(output: Path, answers: dict[str, str]) -> str | None:
    """Bake in ``output``; where that is refused, return what the user reads."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile("w+") as stderr:
        saved = {number: os.dup(number) for number in (1, 2)}
        os.dup2(stdout.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
        try:
            cookiecutter(
                str(TEMPLATE.parent),
                no_input=True,
                extra_context={name: typed(answer) for name, answer in answers.items()},
                output_dir=str(output),
                default_config=True,
            )
        except FailedHookException:
            stderr.seek(0)
            return stderr.read()
        finally:
            for number, original in saved.items():
                os.dup2(original, number)
                os.close(original)
    return None


def check(project: Path, answers: dict[str, str]) -> None:
    metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    readme = (project / "README.md").read_bytes().decode()
    for question, found in {
        "description": metadata["description"],
        "author": metadata["authors"][0]["name"],
    }.items():
        assert found == answers.get(question, found)
        assert found in readme
    assert answers.get("project_name", "") in readme
    written = [file for file in project.rglob("*") if file.is_file() and ".git" not in file.parts]
    for file in written:
        parse(file.suffix, file.read_bytes())
    lint(project, [file for file in written if file.suffix == ".py"], PYTHON_LINTERS)
    lint(project, [file for file in written if file.suffix == ".sh"], SHELL_LINTERS)


@functools.cache
def parse(suffix: str, content: bytes) -> None:
    match suffix:
        case ".toml" | ".lock":
            tomllib.loads(content.decode())
        case ".json" | ".ipynb":
            json.loads(content)
        case ".yaml" | ".yml":
            list(yaml.compose_all(content, yaml.SafeLoader))  # CloudFormation has its own tags
        case ".py":
            compile(content, "file", "exec", dont_inherit=True)


def lint(project: Path, files: list[Path], linters: list[list[str]]) -> None:
    """Most files are the same in every bake: those that passed once are left out."""
    new = [file for file in files if file.read_bytes() not in PASSED]
    for command in linters if new else []:
        done = subprocess.run(
            [*command, *new], cwd=project, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
    PASSED.update(file.read_bytes() for file in new)
