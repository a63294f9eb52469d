"""Every command of the documents, typed: from an empty account to a newer template."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import account
import emulator
import pytest
import registry
from conftest import SLUG, TEMPLATE, copy_template, run

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROOT = TEMPLATE.parent
GET_STARTED = ROOT / "docs" / "get_started.md"
LAUNCH = ROOT / "docs" / "launch.md"
README = ROOT / "README.md"
BASE = "\nWORKDIR /app\n"
TYPED: set[str] = set()
"""The blocks that were."""


def blocks(document: Path, language: str = "") -> list[str]:
    """The code in a document; what readers are to type in a shell names no language."""
    text = document.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [block for name, block in found if name == language]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template in a version and in the next, which has another Dockerfile."""
    folder = copy_template(tmp_path_factory.mktemp("template"))
    run(folder, "git", "tag", "VERSION")
    dockerfile = folder / TEMPLATE.name / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace(BASE, f"\nENV NEWER=1{BASE}"))
    run(folder, "git", "commit", "--quiet", "--all", "--message", "Next")
    run(folder, "git", "tag", "NEXT_VERSION")
    run(folder, "git", "checkout", "--quiet", "VERSION")
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[emulator.Emulator]:
    """An account with nothing in it."""
    registry.need_engine()
    folder = tmp_path_factory.mktemp("service")
    with (
        registry.docker_registry(folder) as images,
        emulator.emulator(images, folder) as service,
    ):
        yield service


@pytest.fixture(scope="module")
def machine(service: emulator.Emulator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody who has Python, git, make, Docker, the AWS CLI and an account."""
    home = tmp_path_factory.mktemp("home")
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    (home / "venv" / "bin" / "aws").symlink_to(Path(sys.executable).with_name("aws"))
    dropped = ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "GITHUB_REPOSITORY")
    environment = {k: v for k, v in service.environment().items() if k not in dropped}
    path = f"{home}/venv/bin{os.pathsep}{os.environ['PATH']}"
    return environment | {"PATH": path, "DOCKER_CONFIG": str(home / "docker")}


class Reader:
    """Somebody who types what a document says, and presses return where something is asked."""

    def __init__(self, folder: Path, environment: dict[str, str], template: Path) -> None:
        self.folder = folder
        self._environment = environment
        self._template = template

    def type(self, block: str) -> str:
        TYPED.add(block)
        text = block.replace("path/or/address/of/this/repository", str(self._template))
        where = self.folder / ".where"
        done = subprocess.run(
            ["bash", "-ec", f"{text}\npwd >'{where}'"],
            cwd=self.folder,
            env=self._environment,
            input="\n" * 9,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        self.folder = Path(where.read_text().strip())
        where.unlink()
        return done.stdout


def objects(service: emulator.Emulator, bucket: str) -> dict[str, bytes]:
    s3 = service.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def test_from_an_empty_account_to_a_newer_template(
    service: emulator.Emulator, machine: dict[str, str], template: Path, tmp_path: Path
) -> None:
    reader = Reader(tmp_path, machine, template)
    said = {block: reader.type(block) for block in blocks(GET_STARTED)}
    project = reader.folder
    with registry.images_of(project):
        assert project == tmp_path / SLUG
        assert not [block for block in said if "make doctor" in block and "broken" in said[block]]
        found = objects(service, f"{SLUG}-{registry.ACCOUNT}-{account.REGION}")
        commit = run(project, "git", "rev-parse", "HEAD").strip()
        records = [json.loads(body) for key, body in found.items() if key.endswith("/job.json")]
        assert len(records) == 4  # one job alone, and the pipeline's
        assert {record["commit"] for record in records} == {commit}
        (metrics,) = [body for key, body in found.items() if key.endswith("metrics.json")]
        local = [path.read_bytes() for path in project.glob("out/*/model/metrics.json")]
        assert len(local) == 2  # of `make run` and `make run-image`
        assert {metrics} == set(local)

        update(reader)
        service.requests.clear()
        (again,) = [block for block in blocks(GET_STARTED) if "make push" in block]
        reader.type(again)
        (request,) = service.requests["CreateProcessingJob"]
        commit = run(project, "git", "rev-parse", "HEAD").strip()
        wanted = {"repositoryName": SLUG, "imageIds": [{"imageTag": commit}]}
        (pushed,) = service.client("ecr").describe_images(**wanted)["imageDetails"]
        assert request["AppSpecification"]["ImageUri"].endswith(f"@{pushed['imageDigest']}")

        for block in [*blocks(LAUNCH), *blocks(project / "README.md")]:
            if block not in TYPED:
                reader.type(block)
        for program in blocks(LAUNCH, "python"):
            if "processor" not in program:  # which needs the SDK
                run(project, ".venv/bin/python", "-c", program)


def update(reader: Reader) -> None:
    """Follow the README to the next version."""
    project = reader.folder
    before = (project / "aws.env").read_text()
    (block,) = [block for block in blocks(README) if "cruft update" in block]
    reader.type(block)
    assert "NEWER" in (project / "Dockerfile").read_text()
    assert (project / "aws.env").read_text() == before
    run(project, "git", "commit", "--quiet", "--all", "--message", "Take the next version")


def test_the_first_commands_of_the_readme(
    machine: dict[str, str], template: Path, tmp_path: Path
) -> None:
    for block in blocks(README):
        if "cookiecutter" in block:
            Reader(tmp_path, machine, template).type(block)
            assert (tmp_path / SLUG / "README.md").exists()
        if "make demo" in block:
            assert "accuracy" in Reader(template, machine, template).type(block)


def test_no_command_was_left_out() -> None:
    documents = [README, TEMPLATE / "README.md", *(ROOT / "docs").glob("*.md")]
    written = {block for document in documents for block in blocks(document)}
    assert {block for block in written if "── " not in block} <= TYPED
