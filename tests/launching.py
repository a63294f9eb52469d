"""What the tests of launch stand on: a project with a job more, its image, and the service."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import emulator
import pytest
import registry
from conftest import PACKAGE, SLUG

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
'''.replace("PACKAGE", PACKAGE)

Launch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def project(
    generated: Path, installed_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A repository with a job more, committed, in the environment of the installed one."""
    folder = Path(shutil.copytree(generated, tmp_path_factory.mktemp("launch") / generated.name))
    (folder / "entrypoints" / "probe.py").write_text(PROBE)
    (folder / ".venv").symlink_to(installed_project / ".venv")
    with (folder / ".gitignore").open("a") as ignored:
        ignored.write(".venv\n")  # the other entry is for a folder, and this is a link
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "probe"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def launch(project: Path, no_aws: dict[str, str]) -> Iterator[Launch]:
    """Run ``python -m launch`` in the project; nothing may be left of it."""
    before = _left()
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
    left = list(project.rglob(".launch-*")) + sorted(_left() - before)
    shutil.rmtree(project / "out", ignore_errors=True)
    assert not left


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


def _left() -> set[str]:
    """What launch may leave in Docker: its containers and networks."""
    if not shutil.which("docker"):
        return set()
    lists = (["ps", "--all", "--format", "{{.Names}}"], ["network", "ls", "--format", "{{.Name}}"])
    names: set[str] = set()
    for words in lists:
        done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
        names |= {name for name in done.stdout.split() if name.startswith(f"{SLUG}-")}
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
    image: str, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[emulator.Emulator]:
    """The service, with the project's image pushed to it."""
    assert image
    folder = tmp_path_factory.mktemp("service")
    with (
        registry.docker_registry(folder) as images,
        emulator.emulator(images, folder) as service,
    ):
        where = {"LocationConstraint": "eu-west-1"}
        service.client("s3").create_bucket(Bucket=emulator.BUCKET, CreateBucketConfiguration=where)
        environment = service.environment() | {"DOCKER_CONFIG": str(folder / "docker")}
        push = ["scripts/push.sh"]
        subprocess.run(push, cwd=project, env=environment, check=True, capture_output=True)
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
