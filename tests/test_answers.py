"""Any answers at all: a bake is refused and leaves nothing, or it gives a repository that works.

``make fuzz`` tries more of them.
"""

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
from conftest import TEMPLATE, typed
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

INJECTIONS = [
    "$(touch injected)",
    "`touch injected`",
    "; touch injected\n",
    "{{ 7*7 }}",
    "{% for x in () %}",
    "{# comment",
    "}}",
    "${HOME}",
    "__import__('os').mkdir('injected')",
    '""")\nopen("injected", "w")\n("""',
    "'''",
    '"\nname = "x',
    "]\n[tool.poetry]\n",
    "\\",
    "\\u0041\\N{BULLET}",
    "---\n- &a [*a]",
    ": #",
    "../../",
    "/",
    "~",
    "con",
    "\N{RIGHT-TO-LEFT OVERRIDE}",
    "\N{CYRILLIC SMALL LETTER A}",
    "\N{ZERO WIDTH SPACE}",
    "\r\n",
    "\0",
    "\x1b[31m",
    "\x85",
    "\u2028",
    "\ud800",
    "\N{PENGUIN}",
]
anything = st.one_of(
    st.lists(st.sampled_from(INJECTIONS) | st.text(max_size=4), max_size=6).map("".join),
    st.text(max_size=300),
)
slugs = st.from_regex(r"\A[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,9}){0,3}\Z")
# Never "..": were a path not refused, cookiecutter would delete what it leads to.
no_paths = anything.filter(lambda text: ".." not in text)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "project_name": anything,
        "project_slug": slugs | slugs | no_paths,
        "ecr_repository": slugs.map(lambda slug: f"team/{slug}") | anything,
        "description": anything,
        "author": anything,
    },
)


@settings(
    max_examples=int(os.environ.get("FUZZ_BAKES", "200")),
    derandomize="FUZZ_BAKES" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(answers=ANSWERS)
def test_refused_or_right(answers: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        output.mkdir()
        refusal = bake(output, answers)
        assert not list(Path(folder).rglob("injected"))
        if refusal is not None:
            event("refused")
            assert list(output.iterdir()) == []
            assert len(refusal.strip().splitlines()) == 1, refusal
        else:
            event("accepted")
            (project,) = output.iterdir()
            check(project, answers)


def bake(output: Path, answers: dict[str, str]) -> str | None:
    """Bake in ``output``; where that is refused, return what the user reads."""
    with tempfile.TemporaryFile("w+") as stderr:
        saved = os.dup(2)
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
        except (OSError, ValueError) as error:
            # A folder of this name cannot be made at all: cookiecutter says so before any hook.
            return type(error).__name__
        except Exception as error:
            return str(error)
        finally:
            os.dup2(saved, 2)
            os.close(saved)
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
    for file in [*project.rglob("*.json"), *project.rglob("*.ipynb")]:
        json.loads(file.read_text(encoding="utf-8"))
    for command in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "entrypoints", "tests"],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
