"""Fixtures of rendered projects: ``bake`` renders one, and ``refuse`` expects a rejection."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from cookiecutter.environment import StrictEnvironment
from filelock import FileLock
from pytest_cookies.plugin import Cookies
from slugify import slugify
from xdist.scheduler import LoadScopeScheduling

TEMPLATE = Path(__file__).parents[1] / "{{cookiecutter.__folder}}"
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


LONGEST = (
    "test_walkthrough",
    "test_another_model",
    "test_company",
    "test_update_0_2",
    "test_roles",
    "test_dev_container",
    "test_project",
    "test_image",
    "test_launch",
    "test_environment",
    "test_pipeline",
)
"""Modules that take minutes, the longest first, so that no worker starts one of them last."""
INDEPENDENT = (
    "test_doctor",
    "test_environment",
    "test_notebook",
    "test_project",
    "test_stack",
    "test_walkthrough",
)
"""Modules whose tests share nothing that takes long to make: any worker may run one of them."""
_WORKER_BYTES = 2 << 30
"""What a worker and the commands that it runs may need."""


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker a whole module, in the order of the tests, or one test of ``INDEPENDENT``."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return nodeid if Path(module).stem in INDEPENDENT else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Scheduling(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors, as tests often wait, if there is memory for it."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min((os.cpu_count() or 1) + 1, memory // _WORKER_BYTES))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests: a worker runs its own in this order, too.

    Tests with an AWS account of their own come first: a process has one account, which each of them
    empties, and ``launching.service`` keeps its images there to the end.
    """
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[bool, int]:
    """What decides when a test runs; the smallest one is the first."""
    name = item.path.stem
    place = LONGEST.index(name) if name in LONGEST else len(LONGEST)
    return item.get_closest_marker("own_account") is None, place


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the coverage that generated projects have measured: see ``record_property``."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "coverage":
                terminalreporter.section(f"coverage in {report.nodeid}")
                terminalreporter.write_line(str(text))


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
    return [folder for folder in (project / "out").glob("*") if not folder.name.startswith(".")]


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
    for name in (
        "MAKEFLAGS",
        "MAKELEVEL",
        "MFLAGS",
        "MLFLOW_TRACKING_URI",
        "PYTHONDONTWRITEBYTECODE",
        "VIRTUAL_ENV",
    ):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True, scope="session")
def _compile_templates_once() -> Iterator[None]:
    """Compile a template once for all bakes of a process, which takes most of a bake's time."""
    compiled: dict[tuple[Any, ...], CodeType] = {}
    compile_template = StrictEnvironment.compile

    def compile_once(environment: StrictEnvironment, *source: Any) -> CodeType:
        if source not in compiled:
            compiled[source] = compile_template(environment, *source)
        return compiled[source]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StrictEnvironment, "compile", compile_once)
        yield


@pytest.fixture(autouse=True, scope="session")
def _git_identity(worker_id: str) -> None:
    """Commit as nobody else does.

    An image is named for its commit. Two workers that make the same files in the same second would
    otherwise make the same commit, and remove each other's images.
    """
    for role in ("AUTHOR", "COMMITTER"):
        os.environ[f"GIT_{role}_NAME"] = f"Tests {worker_id} {os.getpid()}"
        os.environ[f"GIT_{role}_EMAIL"] = "tests@localhost"
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
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers share. Hold a lock while writing to it."""
    folder = tmp_path_factory.getbasetemp()
    return folder if worker_id == "master" else folder.parent


@pytest.fixture(scope="session")
def installed_project(
    generated: Path, shared_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same after ``make install``, and moved elsewhere since; not to be written to.

    The first worker that needs it installs it, and all of them take links to what is there then.
    """
    first = shared_folder / "installed" / generated.name
    with FileLock(shared_folder / "installed.lock"):
        if not first.exists():
            draft = shared_folder / "install" / generated.name
            shutil.rmtree(draft, ignore_errors=True)  # of a worker that has failed
            shutil.copytree(generated, draft)
            run(draft, "make", "install")
            _fill_caches(draft)
            first.parent.mkdir()
            draft.rename(first)
    folder = tmp_path_factory.mktemp("moved here") / generated.name
    shutil.copytree(generated, folder)
    for name in (".tools", ".venv"):
        link_environment(first / name, folder / name)
    shutil.copytree(first / ".mypy_cache", folder / ".mypy_cache")
    # A project that is generated later than the environment was made would install it again.
    for marker in (*folder.glob(".tools/installed"), *folder.glob(".venv/[ir]*")):
        marker.touch()
    return folder


_LOAD_HANDLERS = f"""
from importlib import import_module
from pkgutil import walk_packages
import {PACKAGE}
for module in walk_packages({PACKAGE}.__path__, "{PACKAGE}."):
    import_module(module.name)
"""


def _fill_caches(project: Path) -> None:
    """Leave the bytecode of what tests and jobs load, and what mypy knows, for the copies."""
    run(project, ".venv/bin/python", "-m", "pytest", "--collect-only", "--quiet")
    run(project, ".venv/bin/python", "-c", _LOAD_HANDLERS)
    run(project, ".venv/bin/python", "-m", "mypy")
    run(project, ".tools/bin/poetry", "--version")


def copy_installed(project: Path, folder: Path) -> Path:
    """Copy an installed project, with links to what nobody edits."""
    environments = (".tools", ".venv")

    def ignore(visited: str, _: list[str]) -> tuple[str, ...]:
        return environments if Path(visited) == project else ()

    shutil.copytree(project, folder, ignore=ignore, symlinks=True)
    for name in environments:
        link_environment(project / name, folder / name)
    return folder


def link_environment(source: Path, target: Path) -> None:
    """Copy ``.tools`` or ``.venv``, with links instead of copies of the files of packages.

    An installer replaces such a file and does not write into it. What is written into are the files
    beside the packages and in the other folders.
    """
    shutil.copytree(source, target, symlinks=True, copy_function=_link)


def _link(source: str, target: str) -> None:
    if "site-packages" in Path(source).parts[:-2]:
        os.link(source, target)
    else:
        shutil.copy2(source, target)
