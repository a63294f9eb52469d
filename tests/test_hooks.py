"""The answers that the hooks reject, and what they create with and without git."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from conftest import COOKIECUTTER, JOBS, PACKAGE, SLUG, TEMPLATE, run, typed
from cookiecutter.exceptions import FailedHookException, OutputDirExistsException
from cookiecutter.main import cookiecutter
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_cookies.plugin import Cookies

SCRIPT = (*COOKIECUTTER, "--no-input", str(TEMPLATE.parent))

PRE_HOOK, POST_HOOK = (
    (TEMPLATE.parent / "hooks" / f"{name}_gen_project.py").read_text(encoding="utf-8")
    for name in ("pre", "post")
)
MAX_SLUG = 63 - len("-ten_letter-20260131-235959-k3x9q2")
"""https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html"""
REFUSED = [
    ("project_name", "", "empty"),
    ("project_name", "  ", "blank"),
    ("project_name", "two\nlines", "newline"),
    ("author", "", "empty"),
    ("author", "bell\a", "control character"),
    ("description", "null\0", "control character"),
    ("project_slug", "Model", "capital"),
    ("project_slug", "9models", "digit first"),
    ("project_slug", "two--hyphens", "two hyphens"),
    ("project_slug", "ends-", "hyphen last"),
    ("project_slug", "under_score", "underscore"),
    ("project_slug", "white space", "space"),
    ("project_slug", "modèle", "not ASCII"),
    ("project_slug", "\ud800", "not a character"),
    ("project_slug", "churn\tmodel", "tab"),
    ("project_slug", "x" * (MAX_SLUG + 1), "too long for a job"),
    ("project_slug", "class", "keyword"),
    ("project_slug", "json", "standard library"),
    ("project_slug", "entrypoints", "own folder"),
    ("project_slug", "out", "folder of outputs"),
    ("project_slug", JOBS[0].replace("_", "-"), "entrypoint"),
    ("project_slug", "machinery", "folder of tests"),
    ("project_slug", "small-pipeline", "module of tests"),
    ("project_slug", "test-anything", "module of tests, perhaps"),
    ("project_slug", "pytest", "dependency"),
    ("project_slug", "yaml", "import of a dependency"),
    ("project_slug", "sagemaker-core", "dependency with a hyphen"),
    ("ecr_repository", "x", "too short"),
    ("ecr_repository", "x" * 257, "too long"),
    ("ecr_repository", "Team/churn", "capital"),
    ("ecr_repository", "team//churn", "empty namespace"),
    ("ecr_repository", "/churn", "slash first"),
    ("ecr_repository", "churn-", "hyphen last"),
    ("ecr_repository", "churn\n", "newline"),
    ("ecr_repository", "team/churn:latest", "tag"),
]


def functions(hook: str) -> dict[str, Any]:
    """What a hook defines, out of its text without the answers."""
    scope: dict[str, Any] = {"__name__": "hook"}
    exec(re.sub(r"\{\{.*?\}\}", "{}", hook), scope)  # noqa: S102
    return scope


def broken_rule(question: str, answer: str, package: str) -> object:
    return functions(PRE_HOOK)["broken_rule"](question, answer, package)


def not_taken(project: Path, names: Iterable[str]) -> list[str]:
    """The names that the hook would let a package have."""
    is_taken = functions(POST_HOOK)["is_taken"]
    with chdir(project):
        return sorted(name for name in names if not is_taken(name))


@pytest.mark.parametrize(
    ("question", "answer"),
    [pytest.param(name, answer, id=f"{name}: {why}") for name, answer, why in REFUSED],
)
def test_bad_answer_is_refused(
    cookies: Cookies,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    question: str,
    answer: str,
) -> None:
    assert isinstance(cookies.bake({question: typed(answer)}).exception, FailedHookException)
    message = capfd.readouterr().err.strip()
    assert message.startswith(f"{question} ")
    assert len(message.splitlines()) == 1
    assert not list(tmp_path.glob("cookies/*/*"))

    example = message.rpartition("for example: ")[2]
    assert broken_rule(question, example, example.replace("-", "_")) is None


SLUG_PATTERN = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
ECR_PATTERN = r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*"
"""https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html"""


@settings(deadline=None)
@given(st.text("az09-_./ AZ\né٣", max_size=8))
def test_names_are_those_of_the_documented_patterns(name: str) -> None:
    slug, ecr = (re.fullmatch(pattern, name) for pattern in (SLUG_PATTERN, ECR_PATTERN))
    assert (broken_rule("project_slug", name, "package") is None) == bool(slug)
    assert (broken_rule("ecr_repository", name, "package") is None) == bool(ecr and len(name) >= 2)


@pytest.mark.parametrize("path", ["team/churn", "made/../victim", "./victim/"])
def test_a_path_as_a_slug_is_refused_and_harms_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], path: str
) -> None:
    """cookiecutter deletes the folder of a refused project, whether or not it made it."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").touch()
    with pytest.raises(FailedHookException):
        cookiecutter(
            str(TEMPLATE.parent),
            no_input=True,
            extra_context={"project_slug": path},
            output_dir=str(tmp_path),
            default_config=True,
        )
    assert len(capfd.readouterr().err.strip().splitlines()) == 1
    assert [file.name for file in tmp_path.rglob("*")] == ["victim", "file"]


def test_a_refusal_ends_the_command_with_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [*SCRIPT, "--output-dir", tmp_path, "project_slug=Model"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("project_slug 'Model' ")
    assert not list(tmp_path.iterdir())


def test_every_name_of_the_project_is_refused(generated: Path) -> None:
    names = {path.name for path in generated.iterdir() if path.is_dir()}
    for room in (generated / "entrypoints", generated / "tests"):
        names |= {path.stem for path in room.rglob("*")}
    assert len(names) > len(JOBS)
    assert not_taken(generated, {name for name in names if not name.startswith(".")}) == []


def test_a_slug_leaves_room_for_the_name_of_a_job() -> None:
    assert broken_rule("project_slug", "x" * MAX_SLUG, "package") is None
    assert broken_rule("project_slug", "x" * (MAX_SLUG + 1), "package") is not None


def test_every_locked_distribution_is_refused(generated: Path) -> None:
    lock = tomllib.loads((generated / "poetry.lock").read_text())
    names = {re.sub("[-.]", "_", package["name"].lower()) for package in lock["package"]}
    assert names
    assert not_taken(generated, names) == []


@pytest.mark.slow
def test_every_installed_import_is_refused(installed_project: Path) -> None:
    code = "import importlib.metadata as m; print(*m.packages_distributions())"
    names = run(installed_project, ".venv/bin/python", "-c", code).split()
    slug_like = {name for name in names if re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name)}
    assert not_taken(installed_project, slug_like - {PACKAGE}) == []


BakeIn = Callable[..., tuple[Path, str]]


@pytest.fixture
def bake_in(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> BakeIn:
    """Generate the default project in a folder and an environment; return what is printed too."""

    def bake_in(folder: Path, *options: str, **env: str) -> tuple[Path, str]:
        with monkeypatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            capfd.readouterr()
            template, flags = str(TEMPLATE.parent), dict.fromkeys(options, True)
            cookiecutter(
                template, no_input=True, output_dir=str(folder), default_config=True, **flags
            )
        return folder / SLUG, capfd.readouterr().out

    return bake_in


def is_complete(project: Path, generated: Path) -> bool:
    return {path.name for path in project.iterdir()} - {".git"} == {
        path.name for path in generated.iterdir()
    } - {".git"}


def test_first_commit_stamp_and_next_commands(bake_in: BakeIn, tmp_path: Path) -> None:
    project, output = bake_in(tmp_path)
    stamp = run(project, "scripts/stamp.sh").strip()
    assert re.search(rf"commit stamp\s+{stamp}\n", output)
    assert re.search(rf"ECR repository\s+{SLUG}\n", output)
    assert f"ECR_REPOSITORY={SLUG}\n" in (project / "aws.env").read_text()
    assert run(project, "git", "rev-list", "--count", "HEAD").strip() == "1"
    assert run(project, "git", "status", "--porcelain") == ""

    first, *rest = [line.strip() for line in output.splitlines() if line.startswith("  ")]
    assert first == f"cd {project.name}"
    assert len(rest) == 2
    for command in rest:
        run(project, *command.split(), "--dry-run")


def test_what_a_user_ignores_everywhere_is_committed(
    bake_in: BakeIn, tmp_path: Path, generated: Path
) -> None:
    (tmp_path / "git").mkdir()
    (tmp_path / "git" / "ignore").write_text("*.csv\n*.lock\n.github\nsrc\n")
    project, _ = bake_in(tmp_path / "empty", XDG_CONFIG_HOME=str(tmp_path))
    assert run(project, "git", "ls-files") == run(generated, "git", "ls-files")


def test_without_git(bake_in: BakeIn, tmp_path: Path, generated: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python3").symlink_to(sys.executable)
    project, output = bake_in(tmp_path / "empty", PATH=str(tools))
    assert is_complete(project, generated)
    assert not (project / ".git").exists()
    assert "git is not installed" in output


def test_without_an_identity(bake_in: BakeIn, tmp_path: Path, generated: Path) -> None:
    nobody = {
        f"GIT_{role}_{what}": "" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    project, output = bake_in(
        tmp_path / "empty", HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), **nobody
    )
    assert is_complete(project, generated)
    assert "git commit failed" in output
    todo = re.search("fix the error, then run: (.*)", output)
    assert todo
    run(project, "sh", "-c", todo[1])
    assert run(project, "git", "status", "--porcelain") == ""


def test_inside_another_work_tree(bake_in: BakeIn, tmp_path: Path, generated: Path) -> None:
    run(tmp_path, "git", "init", "--quiet")
    project, output = bake_in(tmp_path)
    assert is_complete(project, generated)
    assert not (project / ".git").exists()
    assert "another git repository" in output
    assert run(tmp_path, "git", "ls-files") == ""


def test_a_caller_with_git_variables_keeps_its_repository(bake_in: BakeIn, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run(other, "git", "init", "--quiet")
    git = {"GIT_DIR": str(other / ".git"), "GIT_WORK_TREE": str(other)}
    project, _ = bake_in(tmp_path / "empty", **git, GIT_INDEX_FILE=str(other / ".git/index"))
    assert run(other, "git", "ls-files") == ""
    assert run(project, "git", "rev-list", "--count", "HEAD").strip() == "1"


def test_an_existing_folder_is_left_alone(bake_in: BakeIn, tmp_path: Path) -> None:
    project, _ = bake_in(tmp_path)
    (project / "mine.txt").write_text("mine")
    with pytest.raises(OutputDirExistsException):
        bake_in(tmp_path)
    assert (project / "mine.txt").read_text() == "mine"


def repository(folder: Path) -> Path:
    run(folder, "git", "init", "--quiet")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--allow-empty", "--message", "Own files")
    return folder


def test_generating_into_an_own_repository_replaces_what_it_has_a_copy_of(
    bake_in: BakeIn, tmp_path: Path
) -> None:
    own = tmp_path / SLUG
    own.mkdir()
    (own / "README.md").write_text("own")
    (own / "own.txt").write_text("own")
    repository(own)
    (own / ".git" / "info" / "exclude").write_text(".venv\n")
    (own / ".venv").mkdir()
    (own / ".venv" / "file").touch()
    head = run(own, "git", "rev-parse", "HEAD")

    _, output = bake_in(tmp_path, "overwrite_if_exists")
    assert "already a git repository" in output
    assert run(own, "git", "rev-parse", "HEAD") == head
    assert run(own, "git", "show", "HEAD:README.md") == "own"
    assert (own / "README.md").read_text() != "own"
    assert (own / "own.txt").read_text() == "own"
    assert (own / ".venv" / "file").exists()


def test_settings_of_the_repository_stay(bake_in: BakeIn, tmp_path: Path) -> None:
    project, _ = bake_in(tmp_path)
    settings = (project / "aws.env").read_text().replace("REGION=", "REGION=eu-west-1")
    (project / "aws.env").write_text(settings)
    run(project, "git", "commit", "--quiet", "--all", "--message", "Name the region")
    _, output = bake_in(tmp_path, "overwrite_if_exists")
    assert (project / "aws.env").read_text() == settings
    assert run(project, "git", "status", "--porcelain") == ""
    assert run(project, "git", "rev-parse", "HEAD").strip() not in output


def edited(project: Path) -> None:
    (project / "launch.toml").write_text("# edited\n")


def added(project: Path) -> None:
    (project / "src" / "own.py").write_text("own = 1\n")


def without_git(project: Path) -> None:
    shutil.rmtree(project / ".git")


def ignored_by_another(project: Path) -> None:
    without_git(project)
    (project.parent / ".gitignore").write_text("*\n")
    repository(project.parent)


@pytest.mark.parametrize("change", [edited, added, without_git, ignored_by_another])
def test_files_without_a_copy_are_not_replaced(
    bake_in: BakeIn,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
) -> None:
    project, _ = bake_in(tmp_path)
    (project / "README.md").write_text("own")
    run(project, "git", "commit", "--quiet", "--all", "--message", "Edit")
    change(project)

    def files() -> dict[Path, bytes]:
        return {
            path: path.read_bytes()
            for path in project.rglob("*")
            if path.is_file() and ".git" not in path.parts
        }

    before = files()
    capfd.readouterr()
    with pytest.raises(FailedHookException):
        bake_in(tmp_path, "overwrite_if_exists")
    message = capfd.readouterr().err.strip()
    assert len(message.splitlines()) == 1
    assert message.startswith(str(project))
    assert files() == before
