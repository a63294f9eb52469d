"""The image: what is in it, what it was built from, and that its jobs do what they do outside."""

import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA, PACKAGE, TEMPLATE, Bake, run
from registry import images_of, need_engine

pytestmark = pytest.mark.slow

BASE = "python:3.13-slim"
ENTRYPOINTS = sorted(file.stem for file in TEMPLATE.glob("entrypoints/*.py"))


@pytest.fixture(scope="module")
def project(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose image is built, below a folder with a space, with a file that git ignores."""
    need_engine()
    folder = tmp_path_factory.mktemp("a space") / generated.name
    shutil.copytree(generated, folder)
    package = next((folder / "src").iterdir())
    (package / ".env").write_text("TOKEN=s3cr3t\n")
    with images_of(folder):
        run(folder, "make", "image", PIP_INDEX_URL=index_with_password())
        yield folder


@pytest.fixture
def changed(project: Path, tmp_path: Path) -> Iterator[Path]:
    """The same files in a commit of their own, to be changed."""
    copy = tmp_path / project.name
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns(".git", "out"))
    for command in ("init", "add --all", "commit --message=Copy"):
        run(copy, "git", *command.split())
    with images_of(copy):
        yield copy


def index_with_password() -> str:
    """The package index that pip uses here, with a user and a password where it has none."""
    python = str(TEMPLATE.parent / ".tools" / "bin" / "python")
    settings = run(Path(), python, "-m", "pip", "install", "--help", COLUMNS="1000")
    index = re.search(r"\(default (https?://)([^)]+)\)", settings)
    assert index is not None
    return f"{index[1]}{'' if '@' in index[2] else 'someone:s3cr3t@'}{index[2]}"


def stamp(project: Path) -> str:
    return run(project, "scripts/stamp.sh").strip()


def image(project: Path) -> str:
    return f"{project.name}:{stamp(project)}"


def inspect(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(Path(), "docker", "image", "inspect", name))[0]
    return found


def layers(name: str) -> list[str]:
    found: list[str] = inspect(name)["RootFS"]["Layers"]
    return found


def files(name: str, tmp_path: Path) -> set[str]:
    """The files and links of an image."""
    archive = tmp_path / "image.tar"
    container = run(Path(), "docker", "create", name, "true").strip()
    run(Path(), "docker", "export", "--output", str(archive), container)
    run(Path(), "docker", "rm", container)
    with tarfile.open(archive) as members:
        return {member.name for member in members if not member.isdir()}


def folder_of_somebody(project: Path) -> Path:
    """The folder of the outputs; it is not root's, even if the tests run as root."""
    folder = project / "out"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 1234, 1234)
    return folder


def fails(project: Path, *command: str, **env: str) -> str:
    done = subprocess.run(
        command, cwd=project, env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert done.returncode not in (0, 127), done
    return done.stderr


@pytest.mark.docker
def test_holds_the_environment_the_entrypoints_and_the_source_only(
    project: Path, tmp_path: Path
) -> None:
    added = files(image(project), tmp_path) - files(BASE, tmp_path)
    environment = {name for name in added if name.startswith("opt/venv/")}
    tracked = run(project, "git", "ls-files", "entrypoints", "src").split()
    assert added - environment == {f"app/{name}" for name in tracked}
    distributions = set(re.findall(r"/([^/]+)-[^/]+\.dist-info/METADATA", "\n".join(environment)))
    assert {"polars", "scikit_learn", "tqdm"} <= distributions
    assert not distributions & {"boto3", "pip", "poetry", "pytest", "uv"}


@pytest.mark.docker
def test_history_and_settings_hold_no_secret(project: Path) -> None:
    name = image(project)
    history = run(project, "docker", "history", "--no-trunc", name)
    assert "s3cr3t" not in history + json.dumps(inspect(name))
    search = "grep --recursive --files-with-matches s3cr3t /app /etc /opt /root /run /tmp || true"
    assert run(project, "docker", "run", "--rm", "--entrypoint", "sh", name, "-c", search) == ""


@pytest.mark.docker
def test_says_which_commit_it_was_built_from(project: Path) -> None:
    commit = run(project, "git", "rev-parse", "HEAD").strip()
    found = inspect(f"{project.name}:{commit}")
    assert f"SOURCE_COMMIT={commit}" in found["Config"]["Env"]
    assert found["Config"]["Labels"]["org.opencontainers.image.revision"] == commit
    assert (found["Os"], found["Architecture"]) == ("linux", "amd64")
    assert found["Config"]["User"] in ("", "root")


@pytest.mark.docker
@pytest.mark.parametrize("entrypoint", ENTRYPOINTS)
def test_entrypoint_runs_by_the_same_name_as_outside(project: Path, entrypoint: str) -> None:
    command = ("docker", "run", "--rm", image(project), f"entrypoints/{entrypoint}.py", "--help")
    assert f"usage: {entrypoint}.py" in run(project, *command)


@pytest.mark.docker
def test_libraries_are_there_as_bytecode(project: Path) -> None:
    """No library that a job imports has to be compiled: nothing is written beside it."""
    modules = [file.stem for file in project.glob("src/*/*.py") if file.stem != "__init__"]
    code = f"import {', '.join(f'{PACKAGE}.{module}' for module in sorted(modules))}"
    script = f"touch /start && python -c '{code}' && find /opt/venv -newer /start -name '*.pyc'"
    command = ("docker", "run", "--rm", "--entrypoint", "sh", image(project), "-c", script)
    assert run(project, *command) == ""


@pytest.mark.docker
def test_jobs_give_the_same_as_outside(
    project: Path, installed_project: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(installed_project, outside, symlinks=True)
    run(outside, "make", "run")
    inside = folder_of_somebody(project)

    run(project, "make", "run-image")

    (expected,), (found,) = (outside / "out").iterdir(), inside.iterdir()
    results = [*expected.glob("dataset/**/*.parquet"), *expected.glob("model/metrics.json")]
    assert len(results) > 2
    for result in results:
        same = found / result.relative_to(expected)
        assert same.read_bytes() == result.read_bytes(), same
    record = json.loads((found / "model" / "job.json").read_text())
    assert record["commit"] == stamp(project)
    assert {path.stat().st_uid for path in inside.rglob("*")} == {inside.stat().st_uid}


@pytest.mark.docker
def test_failing_job_ends_the_run_and_leaves_nothing_of_roots(changed: Path) -> None:
    for table in (changed / DATA).iterdir():
        table.write_text("no,such,columns\n")
    run(changed, "scripts/build.sh")
    out = folder_of_somebody(changed)
    fails(changed, "scripts/run.sh")
    assert not list(out.rglob("*.json"))
    assert {path.stat().st_uid for path in out.rglob("*")} == {out.stat().st_uid}


@pytest.mark.docker
def test_edit_of_the_source_leaves_the_environment_alone(project: Path, changed: Path) -> None:
    module = next(changed.glob("src/*/model.py"))
    module.write_text(module.read_text() + "EDITED = True\n")
    run(changed, "scripts/build.sh")
    *before, _entrypoints, source = layers(image(project))
    *after, _entrypoints, edited = layers(image(changed))
    assert before == after
    assert source != edited
    assert image(changed).endswith("-dirty")


@pytest.mark.docker
def test_a_tree_with_changes_is_built_as_git_sees_it(changed: Path) -> None:
    package = next((changed / "src").iterdir())
    (package / "new.py").write_text("NEW = True\n")
    (package / "ignored.py").write_text("IGNORED = True\n")
    (package / "model.py").unlink()
    (changed / ".git" / "info" / "exclude").write_text("ignored.py\n")
    index = run(changed, "git", "ls-files", "--stage")
    run(changed, "scripts/build.sh")
    listing = ("docker", "run", "--rm", "--entrypoint", "ls", image(changed))
    found = set(run(changed, *listing, f"src/{package.name}").split())
    assert "new.py" in found
    assert not found & {"ignored.py", "model.py"}
    assert run(changed, "git", "ls-files", "--stage") == index


@pytest.mark.docker
def test_another_commit_of_the_same_files_makes_no_layer(project: Path, changed: Path) -> None:
    run(changed, "scripts/build.sh")
    assert image(project) != image(changed)
    assert layers(image(project)) == layers(image(changed))


@pytest.mark.docker
def test_base_image_is_the_users_choice(changed: Path) -> None:
    base = f"{changed.name}-base:1"
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", base, "-"],
        input=f"FROM {BASE}\nENV ACCELERATOR=there\n",
        text=True,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    try:
        run(changed, "scripts/build.sh", "--build-arg", f"BASE_IMAGE={base}")
        assert "ACCELERATOR=there" in inspect(image(changed))["Config"]["Env"]
    finally:
        run(changed, "docker", "image", "rm", base)


@pytest.mark.docker
def test_build_asks_the_index_that_pip_is_configured_to(changed: Path, tmp_path: Path) -> None:
    settings = tmp_path / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text("[global]\nindex-url = http://someone:s3cr3t@127.0.0.1:9/mirror\n")
    words = fails(changed, "scripts/build.sh", "--no-cache", HOME=str(tmp_path))
    assert "/mirror/uv/" in words
    assert "s3cr3t" not in words


@pytest.mark.docker
def test_stale_lock_stops_the_build_with_poetrys_words(changed: Path) -> None:
    settings = changed / "pyproject.toml"
    settings.write_text(settings.read_text().replace('"polars>=2.1,<3"', '"polars>=2.0,<3"'))
    assert "poetry lock" in fails(changed, "scripts/build.sh")


@pytest.mark.docker
def test_wrong_hash_stops_the_build(changed: Path) -> None:
    lock = changed / "poetry.lock"
    text = lock.read_text()
    start = text.index('name = "tqdm"')
    end = text.index("[[package]]", start)
    wrong = re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", text[start:end])
    lock.write_text(text[:start] + wrong + text[end:])
    assert "hash" in fails(changed, "scripts/build.sh").lower()


def test_stamp_is_the_commit_until_a_file_differs(bake: Bake) -> None:
    project = bake()
    commit = run(project, "git", "rev-parse", "HEAD").strip()
    assert stamp(project) == commit
    (project / "out").mkdir()
    (project / "out" / "ignored").touch()
    assert stamp(project) == commit
    (project / "README.md").touch()
    assert stamp(project) == commit
    (project / "untracked").touch()
    assert stamp(project) == f"{commit}-dirty"
    run(project, "git", "config", "status.showUntrackedFiles", "no")
    assert stamp(project) == f"{commit}-dirty"


@pytest.mark.parametrize("change", ["edit", "delete", "stage"])
def test_stamp_is_dirty_after(change: str, bake: Bake) -> None:
    project = bake()
    file = project / "README.md"
    if change == "delete":
        file.unlink()
    else:
        file.write_text("Other\n")
    if change == "stage":
        run(project, "git", "add", "--all")
    assert stamp(project).endswith("-dirty")


def test_stamp_of_a_detached_head_from_another_folder(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    first = run(project, "git", "rev-parse", "HEAD")
    run(project, "git", "commit", "--quiet", "--allow-empty", "--message", "Second")
    run(project, "git", "checkout", "--quiet", "--detach", "HEAD~1")
    assert run(tmp_path, str(project / "scripts" / "stamp.sh")) == first


@pytest.mark.parametrize("git", ["empty", "none"])
def test_without_a_commit_the_stamp_says_what_to_do(git: str, bake: Bake) -> None:
    project = bake()
    shutil.rmtree(project / ".git")
    if git == "empty":
        run(project, "git", "init", "--quiet")
    for script in ("stamp", "build", "tag", "push"):
        assert "git commit" in fails(project, f"scripts/{script}.sh")


def test_without_docker_the_build_says_so(bake: Bake, tmp_path: Path) -> None:
    for command in ("bash", "dirname", "git", "sed"):
        found = shutil.which(command)
        assert found
        (tmp_path / command).symlink_to(found)
    assert "Docker" in fails(bake(), "scripts/build.sh", PATH=str(tmp_path))


@pytest.mark.docker
def test_without_an_engine_the_build_says_so(project: Path) -> None:
    words = fails(project, "scripts/build.sh", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert "Cannot connect to the Docker daemon" in words


def test_scripts_are_sound(generated: Path) -> None:
    if not shutil.which("shellcheck"):
        assert not os.environ.get("CI"), "CI needs shellcheck"
        pytest.skip("shellcheck is not installed, so the scripts are not checked")
    scripts = sorted(str(script) for script in generated.glob("scripts/*.sh"))
    run(generated, "shellcheck", *scripts, str(Path(__file__).parents[1] / ".ci" / "engine"))
