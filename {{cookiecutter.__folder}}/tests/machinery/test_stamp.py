"""The stamp in launches: what is asked of git, how often, and where it is kept."""

import json
from pathlib import Path

import pytest

from committed import commit, git
from launch import LaunchError, backends
from launch.pipelines import definition, pipeline
from launch.requests import jobs
from launch.requests import request as requests
from launch.requests.options import Launch, parse
from launch.settings import project

COMMIT = "1234567890abcdef1234567890abcdef12345678"


@pytest.fixture(autouse=True)
def root(committed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("BASE_IMAGE", "SYSTEM_PACKAGES", "BASE_PACKAGES"):
        monkeypatch.delenv(name, raising=False)
    return committed


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every stamp that git was asked for."""
    found: list[str] = []
    ask = project.stamp

    def stamp() -> str:
        found.append(ask())
        return found[-1]

    monkeypatch.setattr(project, "stamp", stamp)
    return found


def edit(root: Path, name: str) -> None:
    with (root / name).open("a") as file:
        file.write("\n# Edited\n")


def make_data(root: Path, *words: str) -> Launch:
    return parse(jobs.read("make_data"), ["--input_path", str(root / "raw"), *words])


def run(launch: Launch) -> str:
    """Run a job locally, and return the stamp in its record."""
    done = backends.run(launch, requests.prepare(launch))
    assert done.status == "Completed", done.exit_message
    record = json.loads(Path(done.outputs["output_path"], "job.json").read_text())
    return str(record["commit"])


def test_a_launch_asks_once_and_the_next_one_again(root: Path, asked: list[str]) -> None:
    first = git(root, "rev-parse", "HEAD")
    assert run(make_data(root)) == first
    assert asked == [first]

    edit(root, "README.md")
    commit(root)
    assert run(make_data(root)) == first

    edit(root, "entrypoints/make_data.py")
    dirty = run(make_data(root))
    assert dirty.startswith(f"{first}-")
    assert dirty.endswith("-dirty")
    second = commit(root)
    assert run(make_data(root)) == second
    assert asked == [first, first, dirty, second]


def test_all_steps_of_a_pipeline_have_one_stamp(root: Path, asked: list[str]) -> None:
    words = ["--input_path", str(root / "raw"), "--prior_path", str(root / "raw"), "--report"]
    done = backends.run_pipeline(pipeline.parse([*words, '{"score": 1}', "--run_name", "r"]))
    assert done.status == "Completed", done.exit_message
    records = [json.loads(file.read_text()) for file in (project.OUT / "r").glob("*/*/job.json")]
    assert [record["commit"] for record in records] == asked * 2
    assert len(asked) == 1


@pytest.mark.parametrize("deployed", [True, False], ids=["deploy", "pipeline"])
def test_a_commit_that_leaves_the_image_alone_keeps_the_definition(
    root: Path, deployed: bool
) -> None:
    """So SageMaker takes the results of steps from its cache."""
    words = [f"--input_path={root / 'raw'}", f"--prior_path={root / 'raw'}", "--plan"]
    if not deployed:
        words.append("--run_name=r")

    def defined() -> str:
        return json.dumps(definition.build(pipeline.parse(words, deployed=deployed)))

    before = defined()
    for name in ("README.md", "launch.toml"):
        edit(root, name)
        assert defined() == before
        commit(root)
        assert defined() == before
    edit(root, "entrypoints/fit.py")
    commit(root)
    assert defined() != before


def test_without_a_commit_it_is_unknown(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".git").rename(tmp_path / "moved")
    assert project.stamp() == "unknown"
    git(root, "init", "--quiet")
    assert project.stamp() == "unknown"
    with monkeypatch.context() as bare:
        bare.setenv("PATH", str(tools_without_git(tmp_path)))
        assert project.stamp() == "unknown"


def tools_without_git(folder: Path) -> Path:
    (folder / "tools").mkdir()
    for name in ("bash", "dirname"):
        (folder / "tools" / name).symlink_to(f"/usr/bin/{name}")
    return folder / "tools"


def test_what_git_does_not_read_is_an_error_with_its_words(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(LaunchError, match=r"safe\.directory"):
        make_data(root)


def test_a_clone_without_the_commit_is_an_error(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(root, "README.md")
    commit(root)
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{root}", "shallow")
    monkeypatch.setattr(project, "ROOT", tmp_path / "shallow")
    with pytest.raises(LaunchError, match="git fetch --unshallow"):
        project.stamp()


@pytest.mark.parametrize(
    ("stamp", "short"),
    [
        (COMMIT, "1234567890ab"),
        (f"{COMMIT}-fedcba987654-dirty", "1234567890ab-fedcba-dirty"),
        ("unknown", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_short_stamp_says_what_it_is(stamp: str | None, short: str) -> None:
    assert project.short_stamp(stamp) == short
