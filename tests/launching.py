"""Fixtures for tests of launch: a project with small jobs, its image, and the service.

The jobs are here and know nothing of the example: ``probe`` does what a test wants to see, and
``gather``, ``search`` and ``fit`` are a pipeline.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import emulator
import pytest
import registry
from conftest import PACKAGE, SLUG, run

DATA = "data/rows"
"""A folder of three files in the project."""
FILES = ["1.txt", "2.txt", "3.txt"]

PROBE = '''\
"""Do what the tests want to see."""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from PACKAGE import runtime


def build_parser() -> runtime.JobParser:
    parser = runtime.JobParser(__doc__)
    parser.add_argument("--input_path", type=runtime.existing_dir, default=f"{runtime.INPUT}/some")
    parser.add_argument(
        "--more_path", type=runtime.existing_dir, default=Path(runtime.INPUT, "more")
    )
    parser.add_argument("--output_path", type=Path, default=f"{runtime.OUTPUT}/seen")
    parser.add_argument("--do", choices=["report", "fail", "collide", "sleep", "hang", "grow"])
    parser.add_argument("--names", nargs="*", default=[])
    parser.add_argument("--strict", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--api_key", default="none")
    parser.add_argument("--share", type=runtime.fraction, default=0.5, help="as it may be")
    return parser


def run(args: argparse.Namespace) -> None:
    host = runtime.this_host()
    if args.do == "fail" and host.index == host.count - 1:
        raise runtime.JobError("the last host failed")
    if args.do == "hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.execvp("sleep", ["sleep", "600"])
    if args.do == "grow" and host.index == 0:
        print(len(b"x" * (1 << 30)))
    if args.do in ("fail", "sleep", "hang", "grow"):
        print("asleep", flush=True)
        time.sleep(600)
    files = sorted(str(file.relative_to(args.input_path)) for file in args.input_path.rglob("*.*"))
    seen = vars(args) | {"files": files, "env": dict(os.environ), "argv": sys.argv[1:]}
    seen["hosts"] = [host.name, host.index, host.count]
    name = "seen.json" if args.do == "collide" else f"{host.name}.json"
    (args.output_path / "below").mkdir()
    (args.output_path / "below" / name).write_text(json.dumps(seen, default=str))


if __name__ == "__main__":
    runtime.main(build_parser(), run)
'''

GATHER = '''\
"""Copy the rows."""

import argparse
from pathlib import Path

from PACKAGE import runtime


def build_parser() -> runtime.JobParser:
    parser = runtime.JobParser(__doc__)
    parser.add_argument("--input_path", type=runtime.existing_dir, default=f"{runtime.INPUT}/rows")
    parser.add_argument("--output_path", type=Path, default=f"{runtime.OUTPUT}/parts")
    parser.add_argument("--rate", type=runtime.fraction, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def run(args: argparse.Namespace) -> None:
    for file in args.input_path.iterdir():
        (args.output_path / file.name).write_bytes(file.read_bytes())


if __name__ == "__main__":
    runtime.main(build_parser(), run)
'''

SEARCH = '''\
"""Write a file for each turn."""

import argparse
from pathlib import Path

from PACKAGE import runtime


def build_parser() -> runtime.JobParser:
    parser = runtime.JobParser(__doc__)
    parser.add_argument(
        "--input_path", type=runtime.finished_output, default=f"{runtime.INPUT}/parts"
    )
    parser.add_argument("--output_path", type=Path, default=f"{runtime.OUTPUT}/found")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def run(args: argparse.Namespace) -> None:
    files = list(args.input_path.glob("*.txt"))
    if args.folds > len(files):
        raise runtime.JobError(f"{args.folds} folds of {len(files)} files")
    for turn in range(args.turns):
        (args.output_path / f"{turn}.txt").write_text(str(turn))


if __name__ == "__main__":
    runtime.main(build_parser(), run)
'''

FIT = '''\
"""Write a score."""

import argparse
import json
from pathlib import Path

from PACKAGE import runtime


def build_parser() -> runtime.JobParser:
    parser = runtime.JobParser(__doc__)
    parser.add_argument(
        "--input_path", type=runtime.finished_output, default=f"{runtime.INPUT}/parts"
    )
    parser.add_argument(
        "--found_path", type=runtime.finished_output, default=f"{runtime.INPUT}/found"
    )
    parser.add_argument("--output_path", type=Path, default=f"{runtime.OUTPUT}/result")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def run(args: argparse.Namespace) -> None:
    files, turns = (
        len(list(path.glob("*.txt"))) for path in (args.input_path, args.found_path)
    )
    score = files / turns
    (args.output_path / "numbers.json").write_text(json.dumps({"score": score}))


if __name__ == "__main__":
    runtime.main(build_parser(), run)
'''

SMALL_JOBS = {"probe": PROBE, "gather": GATHER, "search": SEARCH, "fit": FIT}

SMALL_TABLE = f"""\
[pipeline]
jobs = ["gather", "search", "fit"]

[inputs.gather]
input_path = "{DATA}"

[metric]
job = "fit"
output = "result"
file = "numbers.json"
name = "score"
minimum = 0.5
"""
"""``launch.toml`` for the small jobs."""

SCORE = 0.75
"""What they come to."""

Launch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def project(
    generated: Path, installed_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A repository with the small jobs, committed, in the environment of the installed one."""
    folder = Path(shutil.copytree(generated, tmp_path_factory.mktemp("launch") / generated.name))
    for name, code in SMALL_JOBS.items():
        (folder / "entrypoints" / f"{name}.py").write_text(code.replace("PACKAGE", PACKAGE))
    (folder / DATA).mkdir(parents=True)
    for name in FILES:
        (folder / DATA / name).write_text(f"{name}\n")
    with (folder / "Dockerfile").open("a") as file:
        # Images of other workers have other environments, and remove no tag of this one.
        file.write(f"# {folder.parent}\n")
    shorten_waits(folder)
    (folder / ".venv").symlink_to(installed_project / ".venv")
    with (folder / ".gitignore").open("a") as ignored:
        ignored.write(".venv\n")  # the other entry is for a folder, and this is a link
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["commit", "--quiet", "-m", "Small jobs"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def shorten_waits(project: Path) -> None:
    """Let the launches of a project look at SageMaker ten times as often, and commit that.

    The service of these tests has no delays. The tests of a generated project replace the clock,
    and say how long a launch really waits.
    """
    file = project / "launch" / "backends" / "sagemaker.py"
    code, count = re.subn(
        r"(?m)^(\w*(?:CALL|POLL|QUIET)_SECONDS) = ([\d.]+)$",
        lambda found: f"{found[1]} = {float(found[2]) / 10}",
        file.read_text(encoding="utf-8"),
    )
    assert count > 1
    file.write_text(code, encoding="utf-8")
    run(project, "git", "commit", "--quiet", "--message", "Shorten the waits", str(file))


@pytest.fixture(scope="module")
def small_pipeline(project: Path) -> Iterator[None]:
    """The pipeline of the small jobs instead of that of the example, uncommitted.

    The image does not hold the table, so the image of the commit is that of the files here.
    """
    table = project / "launch.toml"
    before = table.read_text()
    table.write_text(SMALL_TABLE)
    yield
    table.write_text(before)


@pytest.fixture
def launch(project: Path, no_aws: dict[str, str]) -> Iterator[Launch]:
    """Run ``python -m launch`` in the project; nothing may be left of it."""
    before = left(project)
    python = project / ".venv" / "bin" / "python"

    def launch(*words: str, env: Mapping[str, str] | None = None) -> Any:
        return subprocess.run(
            [python, "-m", "launch", *words],
            cwd=project,
            env=env or no_aws,
            capture_output=True,
            text=True,
            check=False,
        )

    yield launch
    files, things = list(project.rglob(".launch-*")), sorted(left(project) - before)
    shutil.rmtree(project / "out", ignore_errors=True)
    assert not files + things


@pytest.fixture
def no_aws(project: Path) -> dict[str, str]:
    """An environment in which a call of AWS fails at once."""
    dropped = ("AWS_", "PYTHONDONTWRITEBYTECODE")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return ours | {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": str(project / "src"),
    }


def left(project: Path) -> set[str]:
    """What the launches of a project have in Docker: containers and networks, by their labels."""
    if not shutil.which("docker"):
        return set()
    lists = (["ps", "--all", "--format", "{{.Names}}"], ["network", "ls", "--format", "{{.Name}}"])
    names: set[str] = set()
    for words in lists:
        words[-1] += "\t{{.Labels}}"
        done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
        names |= {line.split("\t")[0] for line in done.stdout.splitlines() if f"{project}/" in line}
    return names


@pytest.fixture(scope="session")
def image(project: Path) -> Iterator[str]:
    """The project's image, gone at the end."""
    registry.need_engine()
    with registry.images_of(project):
        build = ["scripts/build.sh"]
        built = subprocess.run(build, cwd=project, stdout=subprocess.PIPE, text=True, check=True)
        yield built.stdout.split()[-1]


@pytest.fixture(scope="session")
def service(
    image: str, project: Path, shared_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[emulator.Emulator]:
    """The service, with the project's image pushed to it."""
    assert image
    folder = tmp_path_factory.mktemp("service")
    with service_with_image(project, folder, shared_folder / "layers" / SLUG) as service:
        yield service


@contextmanager
def service_with_image(
    project: Path, folder: Path, layers: Path | None = None
) -> Iterator[emulator.Emulator]:
    """Run the service in a folder, with a bucket and the image of a project."""
    with (
        registry.docker_registry(folder, layers=layers) as images,
        emulator.emulator(images, folder) as service,
    ):
        where = {"LocationConstraint": "eu-west-1"}
        service.client("s3").create_bucket(Bucket=emulator.BUCKET, CreateBucketConfiguration=where)
        run(project, "scripts/push.sh", **service.environment())
        yield service


@pytest.fixture
def aws(service: emulator.Emulator, no_aws: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment that leads to the service, whose bucket is empty at first."""
    for memory in (service.requests, service.executions, service.cache):
        memory.clear()
    yield (
        no_aws
        | service.environment()
        | {
            "PYTHONPATH": no_aws["PYTHONPATH"],
            "S3_BUCKET": emulator.BUCKET,
            "SAGEMAKER_ROLE_ARN": f"arn:aws:iam::{registry.ACCOUNT}:role/jobs",
        }
    )
    s3 = service.client("s3")
    for key in service.objects():
        s3.delete_object(Bucket=emulator.BUCKET, Key=key)
