"""The image: its content, its source, and its jobs, which give the same results as outside."""

import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import (
    JOBS,
    PACKAGE,
    TABLE,
    TEMPLATE,
    Bake,
    copy_installed,
    fails,
    link_environment,
    run,
    runs,
)
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from registry import ECR_PASSWORD, docker_registry, images_of, need_engine

pytestmark = pytest.mark.slow

BASE = f"python:{(TEMPLATE / '.python-version').read_text().strip()}-slim"
ENTRYPOINTS = sorted(file.stem for file in TEMPLATE.glob("entrypoints/*.py"))


DOCKER = """\
#!/bin/sh
for context; do :; done
cp -R "$context" "$CONTEXT"
printf '%s\\n' "$@" >"$CONTEXT.arguments"
printf '%s' "$PACKAGE_INDEX" >"$CONTEXT.index"
"""
"""A docker that copies what it would build from."""
WITNESS = """\
#!/bin/sh
count=$(($(cat "$COUNT") + 1))
echo "$count" >"$COUNT"
export PATH="$COMMANDS"
elsewhere() (cd "$PROJECT" && env -u GIT_INDEX_FILE -u GIT_OBJECT_DIRECTORY sh -ec "$1" >/dev/null)
[ "$count" -ne "$FIRST" ] || elsewhere "$EVENT"
[ "$count" -ne "$((FIRST + 1))" ] || elsewhere "$AFTERWARDS"
exec "${0##*/}" "$@"
"""
"""A command before whose call number FIRST something happens."""
SAVE = "printf 'EDITED = True\\n' >>\"$FILE\"; printf 'BASE_IMAGE=edited:1\\n' >>image.env"

THREADS = """
from pathlib import Path
from {PACKAGE} import runtime

def run(args):
    import joblib, polars, sklearn.ensemble, threadpoolctl
    polars.LazyFrame({"a": range(9)}).group_by("a").len().collect(engine="streaming")
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    counts = [*pools, polars.thread_pool_size(), joblib.effective_n_jobs(-1), runtime.cpus()]
    names = [file.read_text() for file in Path("/proc/self/task").glob("*/comm")]
    # Those of the allocator sleep; their number is not a setting.
    threads = [name for name in names if not name.startswith("jemalloc")]
    print("threads", len(threads), "by library", *counts)

runtime.main(runtime.JobParser("count threads"), run, [])
"""
"""A job that prints how many threads it has, and how many each library would use."""


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
    ignored = shutil.ignore_patterns(".git", ".tools", ".venv", "out")
    shutil.copytree(project, copy, ignore=ignored)
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


def dependencies(project: Path) -> list[Requirement]:
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    return [Requirement(dependency) for dependency in metadata["dependencies"]]


@contextmanager
def base_image(project: Path, *instructions: str) -> Iterator[None]:
    """The project's image is built from the usual one after these instructions."""
    base = f"{project.name}-base:1"
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", base, "-"],
        input="\n".join([f"FROM {BASE}", *instructions]),
        text=True,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    run(project, "scripts/setting.sh", f"BASE_IMAGE={base}")
    try:
        yield
    finally:
        run(project, "docker", "image", "rm", base)


def with_package(name: str, version: str) -> str:
    """The instruction that makes a base image hold a distribution, without a module in it."""
    site = "import sysconfig; print(sysconfig.get_path('purelib'))"
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
    return f'RUN cd "$(python -c "{site}")" && mkdir {info} && printf "{metadata}" >{info}/METADATA'


def add_command(folder: Path, name: str, script: str) -> str:
    """Add a command, and return a PATH on which it comes first."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(script)
    (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def build_context(project: Path, tmp_path: Path, **env: str) -> Path:
    """What scripts/build.sh sends to Docker."""
    context = tmp_path / "context"
    path = add_command(tmp_path / "bin", "docker", DOCKER)
    run(project, "scripts/build.sh", **{"PATH": path, "CONTEXT": str(context)} | env)
    return context


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.docker
def test_holds_the_environment_the_entrypoints_and_the_source_only(
    project: Path, tmp_path: Path
) -> None:
    added = files(image(project), tmp_path) - files(BASE, tmp_path)
    environment = {name for name in added if name.startswith("opt/venv/")}
    tracked = run(project, "git", "ls-files", "entrypoints", "src").split()
    assert added - environment == {f"app/{name}" for name in tracked}
    listed = re.findall(r"/([^/]+)-[^/]+\.dist-info/METADATA", "\n".join(environment))
    distributions = {canonicalize_name(name) for name in listed}
    required = {canonicalize_name(requirement.name) for requirement in dependencies(project)}
    assert required <= distributions
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
    commit = stamp(project)
    found = inspect(f"{project.name}:{commit}")
    assert f"SOURCE_COMMIT={commit}" in found["Config"]["Env"]
    labels = found["Config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == commit
    assert f"environment={labels['environment']}" in run(project, "scripts/tree.sh").splitlines()
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
def test_threads_follow_the_limit_of_the_container(project: Path) -> None:
    """One CPU's time on any CPU of the machine, as with one CPU alone."""
    threads = []
    for limit in ("--cpus=1", "--cpuset-cpus=0"):
        command = ("docker", "run", "--rm", limit, "--entrypoint", "python", image(project))
        log = run(project, *command, "-c", THREADS.replace("{PACKAGE}", PACKAGE))
        counts = re.findall(r"threads (\d+) by library (.+)", log)[0]
        assert set(counts[1].split()) == {"1"}
        threads.append(counts[0])
    assert threads[0] == threads[1]


@pytest.mark.docker
def test_jobs_give_the_same_as_outside(
    project: Path, installed_project: Path, tmp_path: Path
) -> None:
    outside = copy_installed(installed_project, tmp_path / "outside")
    run(outside, "make", "run")

    run(project, "make", "run-image")

    (expected,), (found,) = runs(outside), runs(project)
    metric = TABLE.get("metric", {})
    compared = 0
    for job in JOBS:
        for output in (expected / job).iterdir():
            same = content(found / job / output.name)
            results = content(output)
            assert same.keys() == results.keys()
            record = json.loads(same.pop("job.json"))
            assert record["commit"] == stamp(project)
            for name in same:
                # Later jobs may write what depends on the version of Python.
                decides = (job, output.name, name) == tuple(
                    metric.get(key) for key in ("job", "output", "file")
                )
                if job == JOBS[0] or decides:
                    assert same[name] == results[name], (job, name)
                    compared += 1
    assert compared
    assert {path.stat().st_uid for path in (project / "out").rglob("*")} == {os.geteuid()}


@pytest.mark.docker
def test_failing_job_ends_the_run_and_leaves_nothing_of_roots(
    changed: Path, installed_project: Path
) -> None:
    entrypoint = changed / "entrypoints" / f"{JOBS[0]}.py"
    main = 'if __name__ == "__main__":\n'
    code = entrypoint.read_text()
    assert main in code
    entrypoint.write_text(code.replace(main, f'{main}    raise SystemExit("broken")\n'))
    link_environment(installed_project / ".tools", changed / ".tools")
    fails(changed, "make", "run-image")
    left = list((changed / "out").rglob("*"))
    assert "job.json" not in {path.name for path in left}
    assert {path.stat().st_uid for path in left} <= {os.geteuid()}


@pytest.mark.docker
def test_edit_of_the_source_leaves_the_environment_alone(project: Path, changed: Path) -> None:
    module = next(changed.glob("src/*/[a-z]*.py"))
    module.write_text(module.read_text() + "EDITED = True\n")
    run(changed, "scripts/build.sh")
    *before, _entrypoints, source = layers(image(project))
    *after, _entrypoints, edited = layers(image(changed))
    assert before == after
    assert source != edited
    assert image(changed).endswith("-dirty")


def test_a_tree_with_changes_is_built_as_git_sees_it(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    package = next((project / "src").iterdir())
    deleted, edited, *_ = sorted(package.glob("[a-z]*.py"))
    deleted.unlink()
    edited.write_text("EDITED = True\n")
    (package / "new.py").write_text("NEW = True\n")
    (package / "ignored.py").write_text("IGNORED = True\n")
    (package / "tracked.txt").write_text("Tracked\n")
    run(project, "git", "add", str(package / "tracked.txt"))
    (project / ".git" / "info" / "exclude").write_text("ignored.py\ntracked.txt\n")
    index = run(project, "git", "ls-files", "--stage")

    context = build_context(project, tmp_path)

    found = content(context / package.relative_to(project))
    assert {"new.py", "tracked.txt", edited.name} <= found.keys()
    assert found[edited.name] == b"EDITED = True\n"
    assert not found.keys() & {"ignored.py", deleted.name}
    assert run(project, "git", "ls-files", "--stage") == index


def test_a_build_gets_what_dockerignore_lets_in_and_writes_nothing(
    bake: Bake, tmp_path: Path
) -> None:
    project = bake()
    for folder in (project, project / "data"):
        (folder / "large.bin").write_bytes(os.urandom(1_000_000))
    (next((project / "src").iterdir()) / "new.py").write_text("NEW = True\n")
    objects = content(project / ".git" / "objects")

    context = build_context(project, tmp_path)

    assert content(project / ".git" / "objects") == objects
    ignored = (project / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    # Docker reads the first two here; the others are what the build depends on, and not sent.
    let_in |= {".dockerignore", "Dockerfile", ".gitattributes", ".python-version", "image.env"}
    let_in |= {f"scripts/{name}.sh" for name in ("base_image", "build", "setting")}
    assert {path for path in let_in if not (context / path).exists()} == set()
    others = [
        name
        for name in content(context)
        if name not in let_in and name.partition("/")[0] not in let_in
    ]
    assert others == []


@pytest.mark.parametrize(
    ("event", "afterwards"),
    [
        (SAVE, ":"),
        (SAVE, "git stash --quiet"),
        (f"{SAVE}; git commit --quiet --all --message Saved", ":"),
    ],
    ids=["saved", "saved and reverted", "committed"],
)
def test_what_is_saved_during_a_build_enters_no_clean_image(
    bake: Bake, tmp_path: Path, event: str, afterwards: str
) -> None:
    """Whichever command of the build it comes before."""
    project = bake()
    start = run(project, "git", "rev-parse", "HEAD").strip()
    edited = next(project.glob("src/*/[a-z]*.py")).relative_to(project).as_posix()
    for name in ("cp", "dirname", "find", "git"):  # one after the other
        path = add_command(tmp_path / "witnesses", name, WITNESS)
    commands = add_command(tmp_path / "bin", "docker", DOCKER)
    counter = tmp_path / "count"
    moments = stamped_clean = 0
    while True:
        moments += 1
        counter.write_text("0\n")
        context = build_context(
            project,
            tmp_path,
            PATH=path.replace(os.pathsep, f"{os.pathsep}{tmp_path / 'bin'}{os.pathsep}", 1),
            COMMANDS=commands,
            PROJECT=str(project),
            COUNT=str(counter),
            FIRST=str(moments),
            FILE=edited,
            EVENT=event,
            AFTERWARDS=afterwards,
        )
        if int(counter.read_text()) < moments:
            break
        arguments = context.with_suffix(".arguments").read_text().splitlines()
        (built,) = (word.partition("=")[2] for word in arguments if "SOURCE_COMMIT=" in word)
        if not built.endswith("-dirty"):
            stamped_clean += 1
            committed = subprocess.check_output(["git", "show", f"{built}:{edited}"], cwd=project)
            assert (context / edited).read_bytes() == committed, moments
            saved = "edited:1" in run(project, "git", "show", f"{built}:image.env")
            assert ("BASE_IMAGE=edited:1" in arguments) is saved, moments
        shutil.rmtree(context)
        run(project, "git", "reset", "--quiet", "--hard", start)
    assert moments > 20
    assert stamped_clean


@pytest.mark.parametrize("file", [".config/pip/pip.conf", ".pip/pip.conf", "company.conf"])
def test_the_build_asks_the_index_wherever_pip_is_configured(
    bake: Bake, installed_project: Path, tmp_path: Path, file: str
) -> None:
    project = bake()
    link_environment(installed_project / ".tools", project / ".tools")
    settings = tmp_path / "home" / file
    settings.parent.mkdir(parents=True)
    settings.write_text("[install]\nindex_url: https://index.invalid/simple\n")
    env = {"PIP_CONFIG_FILE": str(settings)} if file == "company.conf" else {}
    unset = {"PIP_INDEX_URL": "", "XDG_CONFIG_HOME": ""}
    context = build_context(project, tmp_path, HOME=str(tmp_path / "home"), **env | unset)
    assert context.with_suffix(".index").read_text() == "https://index.invalid/simple"


@pytest.mark.docker
def test_an_edit_that_keeps_the_size_of_a_file_is_built(changed: Path) -> None:
    file = next((changed / "src").iterdir()) / "edited.txt"
    for text in ("before\n", "after!\n"):
        file.write_text(text)
        run(changed, "scripts/build.sh")
        command = ("docker", "run", "--rm", "--entrypoint", "cat", image(changed))
        assert run(changed, *command, str(file.relative_to(changed))) == text


@pytest.mark.docker
def test_another_commit_of_the_same_files_makes_no_layer(project: Path, changed: Path) -> None:
    run(changed, "scripts/build.sh")
    assert image(project) != image(changed)
    assert layers(image(project)) == layers(image(changed))


@pytest.mark.docker
def test_base_image_is_the_users_choice(changed: Path) -> None:
    with base_image(changed, "ENV ACCELERATOR=there"):
        run(changed, "make", "image")
        assert "ACCELERATOR=there" in inspect(image(changed))["Config"]["Env"]


@pytest.mark.docker
def test_debian_packages_are_a_layer_that_is_the_same_each_time(
    changed: Path, tmp_path: Path
) -> None:
    run(changed, "scripts/setting.sh", "SYSTEM_PACKAGES=libgomp1")
    label = f"org.opencontainers.image.revision={stamp(changed)}"
    for name in ("first", "second"):
        run(changed, "scripts/build.sh", "--target=base", "--no-cache", f"--label={label}")
        run(changed, "docker", "tag", image(changed), f"{changed.name}:{name}")
    assert layers(f"{changed.name}:first") == layers(f"{changed.name}:second")
    assert len(layers(image(changed))) == len(layers(BASE)) + 1

    added = files(image(changed), tmp_path) - files(BASE, tmp_path)
    assert {Path(name).name for name in added} >= {"libgomp.so.1"}
    left = ("apt/", "tmp/", "var/cache/", "var/lib/apt/lists/", "var/log/")
    assert [name for name in added if name.startswith(left)] == []


@pytest.mark.docker
def test_packages_of_the_base_image_are_used(changed: Path, tmp_path: Path) -> None:
    name = dependencies(changed)[0].name
    lock = tomllib.loads((changed / "poetry.lock").read_text())["package"]
    (locked,) = {package["version"] for package in lock if package["name"] == name}
    with base_image(changed, with_package(name, f"{locked}+base")):
        run(changed, "scripts/setting.sh", f"BASE_PACKAGES={name} nothing-has-this-name-*")
        run(changed, "make", "image")
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    python = ("docker", "run", "--rm", "--entrypoint", "python", image(changed), "-c", code)
    assert run(changed, *python) == f"{locked}+base\n"
    added = files(image(changed), tmp_path) - files(BASE, tmp_path)
    info = f"{name.replace('-', '_')}-{locked}.dist-info"
    assert not [file for file in added if f"opt/venv/{info}" in file or f"/{info}/" in file]


@pytest.mark.docker
def test_a_package_that_the_base_image_lacks_stops_the_build(changed: Path) -> None:
    run(changed, "scripts/setting.sh", "BASE_PACKAGES=no-such-package")
    words = fails(changed, "scripts/build.sh")
    assert "BASE_PACKAGES names no-such-package" in words


@pytest.mark.docker
def test_a_package_of_the_base_image_that_does_not_fit_stops_the_build(changed: Path) -> None:
    requirement = dependencies(changed)[0]
    with base_image(changed, with_package(requirement.name, "0.0.1")):
        run(changed, "scripts/setting.sh", f"BASE_PACKAGES={requirement.name}")
        words = fails(changed, "scripts/build.sh")
    assert str(requirement) in words
    assert "version 0.0.1" in words


@pytest.mark.docker
def test_a_python_that_the_project_does_not_allow_stops_the_build(changed: Path) -> None:
    settings = changed / "pyproject.toml"
    narrowed = re.sub(
        "(?m)^requires-python = .*", 'requires-python = ">=3.99"', settings.read_text()
    )
    settings.write_text(narrowed)
    words = fails(changed, "scripts/build.sh")
    assert 'requires-python = ">=3.99"' in words
    assert ".python-version" in words


@pytest.mark.docker
def test_build_asks_the_index_that_pip_is_configured_to(
    changed: Path, installed_project: Path, tmp_path: Path
) -> None:
    link_environment(installed_project / ".tools", changed / ".tools")
    settings = tmp_path / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text("[global]\nindex-url = http://someone:s3cr3t@127.0.0.1:9/mirror\n")
    words = fails(changed, "scripts/build.sh", "--no-cache", HOME=str(tmp_path))
    assert "/mirror/uv/" in words
    assert "s3cr3t" not in words


@pytest.mark.docker
def test_the_build_is_quiet_where_nothing_is_wrong(changed: Path, tmp_path: Path) -> None:
    """Without ~/.netrc, and where the build is given no index at all: `docker build .`, say."""
    (tmp_path / ".docker").symlink_to(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    said = run(changed, "scripts/build.sh", "--no-cache", "--progress=plain", HOME=str(tmp_path))
    plain = ("docker", "buildx", "build", f"--build-arg=BASE_IMAGE={BASE}", "--no-cache")
    label = f"--label=org.opencontainers.image.revision={stamp(changed)}"
    said += run(changed, *plain, label, "--target=environment", "--progress=plain", ".")
    printed = re.findall(r"(?m)^#\d+ \d+\.\d+ (.*)", said)
    uv = r"(Using Python|Resolved|Downloading|Downloaded|Prepared|Installed) .*| \+ .*"
    assert printed
    assert [line for line in printed if not re.fullmatch(rf"\s*({uv}|Poetry .*)", line)] == []
    assert "No such file" not in said


@pytest.mark.docker
def test_stale_lock_stops_the_build_with_poetrys_words(changed: Path) -> None:
    settings = changed / "pyproject.toml"
    text = settings.read_text()
    first = tomllib.loads(text)["project"]["dependencies"][0]
    settings.write_text(text.replace(f'"{first}"', f'"{Requirement(first).name}"'))
    assert "poetry lock" in fails(changed, "scripts/build.sh")


@pytest.mark.docker
def test_wrong_hash_stops_the_build(changed: Path) -> None:
    lock = changed / "poetry.lock"
    text = lock.read_text()
    start = text.index(f'name = "{dependencies(changed)[0].name}"')
    end = text.index("[[package]]", start)
    wrong = re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", text[start:end])
    lock.write_text(text[:start] + wrong + text[end:])
    assert "hash" in fails(changed, "scripts/build.sh").lower()


@pytest.mark.docker
def test_wrong_hash_of_a_tool_stops_the_build(changed: Path) -> None:
    lock = changed / "tools" / "uv.txt"
    lock.write_text(re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", lock.read_text()))
    assert "hash" in fails(changed, "scripts/build.sh").lower()


@pytest.mark.docker
def test_pin_writes_the_digest_of_the_base_image(changed: Path, tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    config = {"DOCKER_CONFIG": str(tmp_path / "docker")}
    with docker_registry(tmp_path / "registry") as images:
        base = f"{images.address}/team/base:1"
        run(
            changed,
            "docker",
            "login",
            "--username=AWS",
            f"--password={ECR_PASSWORD}",
            images.address,
            **config,
        )
        run(changed, "docker", "tag", BASE, base)
        pushed = run(changed, "docker", "push", base, **config)
        run(changed, "docker", "image", "rm", base)
        run(changed, "scripts/setting.sh", f"BASE_IMAGE={base}")
        (digest,) = re.findall(r"digest: (\S+)", pushed)
        for _ in "first", "again":
            assert run(changed, "make", "pin", **config) == f"{base}@{digest}\n"
            assert run(changed, "scripts/base_image.sh") == f"{base}@{digest}\n"
    assert f"\nBASE_IMAGE={base}@{digest}\n" in (changed / "image.env").read_text()


def test_a_pinned_base_image_follows_the_version_of_python(bake: Bake, tmp_path: Path) -> None:
    project = bake()
    digest = f"sha256:{'5' * 64}"
    path = add_command(
        tmp_path / "bin", "docker", f'#!/bin/sh\ntest "$4" = "$TAG" && echo "Digest: {digest}"\n'
    )
    assert run(project, "scripts/base_image.sh") == f"{BASE}\n"
    run(project, "make", "pin", PATH=path, TAG=BASE)
    assert run(project, "scripts/base_image.sh") == f"{BASE}@{digest}\n"
    (project / ".python-version").write_text("3.12\n")
    assert "make pin" in fails(project, "scripts/base_image.sh")
    run(project, "make", "pin", PATH=path, TAG="python:3.12-slim")
    assert run(project, "scripts/base_image.sh") == f"python:3.12-slim@{digest}\n"


@pytest.mark.parametrize("digest", ["", f"@sha256:{'5' * 64}"])
def test_a_base_image_without_a_tag_is_not_pinned(bake: Bake, tmp_path: Path, digest: str) -> None:
    """It would become the image that happens to be ``latest``."""
    project = bake()
    path = add_command(tmp_path / "bin", "docker", '#!/bin/sh\necho "Digest: sha256:6"\n')
    run(project, "scripts/setting.sh", f"BASE_IMAGE=registry:5000/team/base{digest}")
    before = (project / "image.env").read_text()
    assert "registry:5000/team/base:TAG" in fails(project, "scripts/pin.sh", PATH=path)
    assert (project / "image.env").read_text() == before


def test_a_setting_that_is_a_link_stops_the_build(bake: Bake, tmp_path: Path) -> None:
    """Git knows where it points to and not what is there."""
    project = bake()
    (project / "image.env").rename(tmp_path / "shared.env")
    (project / "image.env").symlink_to(tmp_path / "shared.env")
    path = add_command(tmp_path / "bin", "docker", DOCKER)
    assert "image.env must be a file" in fails(project, "scripts/build.sh", PATH=path)


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
