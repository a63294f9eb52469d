"""Rendered projects, as fixtures: ``bake`` makes one, ``refuse`` one that must not come about."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_cookies.plugin import Cookies
from slugify import slugify

TEMPLATE = Path(__file__).parents[1] / "{{cookiecutter.project_slug}}"
SLUG = slugify(json.loads((TEMPLATE.parent / "cookiecutter.json").read_text())["project_name"])
"""The default project's name."""
PACKAGE = SLUG.replace("-", "_")
TABLE = tomllib.loads((TEMPLATE / "launch.toml").read_text(encoding="utf-8"))
JOBS: list[str] = TABLE["pipeline"]["jobs"]
"""The example's, in the order in which they run."""
COOKIECUTTER = (sys.executable, "-m", "cookiecutter", "--default-config")

collect_ignore = ["another_model"]  # files of a generated repository
pytest.register_assert_rewrite("launching", "jobs")

Bake = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests with an AWS account of their own last: there is one, and a new one is empty."""
    items.sort(key=lambda item: item.get_closest_marker("own_account") is not None)


def typed(answer: str) -> str:
    """What makes cookiecutter see an answer as it is: it takes one from outside for a template."""
    return f'{{{{ "{json.dumps(answer, ensure_ascii=False)[1:-1]}" }}}}'


def run(folder: Path, *command: str, **env: str) -> str:
    """Run a command that must succeed, as on a user's machine, and return what it prints."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout


def fails(folder: Path, *command: str, **env: str) -> str:
    """Run a command that must fail, and return what it prints as errors."""
    done = subprocess.run(
        command, cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert done.returncode not in (0, 127), done
    return done.stderr


def runs(project: Path) -> list[Path]:
    """The folders of the runs in a project."""
    return [folder for folder in (project / "out").iterdir() if not folder.name.startswith(".")]


def copy_template(folder: Path) -> Path:
    """The template's files as they are, committed to a repository of their own, on ``main``."""
    root = TEMPLATE.parent
    listed = run(root, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(lambda name: (root / name).exists(), listed.rstrip("\0").split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, folder / name)
    for command in ("init --quiet --initial-branch=main", "add --all", "commit --quiet -m Copy"):
        run(folder, "git", *command.split())
    return folder


@pytest.fixture(autouse=True, scope="session")
def _environment_of_a_user() -> None:
    """Forget what `make test` and its environment set, which nobody has who types a command."""
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MLFLOW_TRACKING_URI", "VIRTUAL_ENV"):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True, scope="session")
def _git_identity() -> None:
    for role in ("AUTHOR", "COMMITTER"):
        os.environ.setdefault(f"GIT_{role}_NAME", "Tests")
        os.environ.setdefault(f"GIT_{role}_EMAIL", "tests@localhost")
    # No commit of a test has to survive a power cut, and waiting for the disk takes most of a bake.
    os.environ.update(
        GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="core.fsync", GIT_CONFIG_VALUE_0="none"
    )


@pytest.fixture
def bake(cookies: Cookies) -> Bake:
    """Generate a project with these answers, the others at their defaults."""

    def bake(**answers: str) -> Path:
        result = cookies.bake({name: typed(answer) for name, answer in answers.items()})
        assert result.exception is None, result.exception
        return Path(result.project_path)

    return bake


@pytest.fixture(scope="session")
def generated(cookies_session: Cookies) -> Path:
    """The project of the default answers, as generated; not to be written to."""
    result = cookies_session.bake()
    assert result.exception is None, result.exception
    return Path(result.project_path)


@pytest.fixture(scope="session")
def installed_project(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after ``make install``, and moved elsewhere since; not to be written to."""
    first = tmp_path_factory.mktemp("first") / generated.name
    shutil.copytree(generated, first)
    run(first, "make", "install")
    return Path(shutil.move(first, tmp_path_factory.mktemp("moved here")))
