"""Every command in the documentation, typed in the order in which a reader finds it.

A fresh repository and an empty account at first: what a document does not say, nobody does.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import account
import emulator
import pytest
import registry
from conftest import JOBS, SLUG, TABLE, TEMPLATE, copy_template, run
from launching import shorten_waits
from reader import Reader, blocks, code, machine

pytestmark = [pytest.mark.own_account, pytest.mark.slow]

ROOT = TEMPLATE.parent
README = ROOT / "README.md"
PROJECT_README = TEMPLATE / "README.md"
GET_STARTED = ROOT / "docs" / "get_started.md"
LAUNCH = ROOT / "docs" / "launch.md"
ANOTHER_MODEL = ROOT / "docs" / "another_model.md"
"""Typed by ``test_another_model.py``."""
COMPANY = ROOT / "docs" / "company.md"
"""Typed by ``test_company.py``."""
BASE = "\nWORKDIR /app\n"
METRIC = TABLE["metric"]
BUCKET = f"{SLUG}-{registry.ACCOUNT}-{account.REGION}"
"""What ``make stack`` makes."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template in a version and in the next, which has another Dockerfile."""
    folder = copy_template(tmp_path_factory.mktemp("template"))
    shorten_waits(folder / TEMPLATE.name)
    run(folder, "git", "tag", "VERSION")
    dockerfile = folder / TEMPLATE.name / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace(BASE, f"\nENV NEWER=1{BASE}"))
    run(folder, "git", "commit", "--quiet", "--all", "--message", "Next")
    run(folder, "git", "tag", "NEXT_VERSION")
    run(folder, "git", "checkout", "--quiet", "VERSION")
    return folder


@pytest.fixture
def service(
    shared_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[emulator.Emulator]:
    """An account with nothing in it."""
    registry.need_engine()
    folder = tmp_path_factory.mktemp("service")
    with (
        registry.docker_registry(folder, layers=shared_folder / "layers" / SLUG) as images,
        emulator.emulator(images, folder) as service,
    ):
        yield service


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of somebody who has an environment of Python, and the AWS CLI."""
    home = tmp_path_factory.mktemp("home")
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    (home / "venv" / "bin" / "aws").symlink_to(Path(sys.executable).with_name("aws"))
    return home


def stamp(project: Path) -> str:
    return run(project, "scripts/stamp.sh").strip()


def objects(service: emulator.Emulator) -> dict[str, bytes]:
    s3 = service.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def numbers(content: bytes) -> Any:
    """What decides, out of a file that has it."""
    value = json.loads(content)
    for key in METRIC["name"].split("."):
        value = value[key]
    return value


def has_one_result_everywhere(project: Path, service: emulator.Emulator) -> None:
    """On this machine, in the image and on SageMaker, the pipeline came to the same."""
    file = f"{METRIC['job']}/{METRIC['output']}/{METRIC['file']}"
    local = [path.read_bytes() for path in project.glob(f"out/*/{file}")]
    found = objects(service)
    remote = [body for key, body in found.items() if key.endswith(f"/{file}")]
    assert len(local) >= 2  # `make run` and `make run-image`
    assert remote
    assert len({numbers(content) for content in [*local, *remote]}) == 1
    records = [json.loads(body) for key, body in found.items() if key.endswith("/job.json")]
    assert {record["job"] for record in records} == set(JOBS)
    assert {record["commit"] for record in records} == {stamp(project)}


@pytest.mark.docker
def test_both_readmes(
    service: emulator.Emulator, home: Path, template: Path, tmp_path: Path
) -> None:
    environment = machine(home, service.environment())
    demo, generate, _ = blocks(README)  # the last is for a repository that cruft made: see below
    assert METRIC["name"] in Reader(template, environment, template).type(demo)
    Reader(tmp_path, environment, template).type(generate)

    clone = tmp_path / "clone" / SLUG
    run(tmp_path, "git", "clone", "--quiet", str(tmp_path / SLUG), str(clone))
    reader = Reader(clone, environment, template)
    with registry.images_of(clone):
        for block in blocks(clone / "README.md"):
            said = reader.type(block)
            assert not ("make doctor" in block and "broken" in said), said
        has_one_result_everywhere(clone, service)
    assert run(clone, "git", "status", "--porcelain") == ""


@pytest.mark.docker
def test_from_an_empty_account_to_a_newer_template(
    service: emulator.Emulator, home: Path, template: Path, tmp_path: Path
) -> None:
    reader = Reader(tmp_path, machine(home, service.environment()), template)
    said = {block: reader.type(block) for block in blocks(GET_STARTED)}
    project = reader.folder
    with registry.images_of(project):
        assert project == tmp_path / SLUG
        assert not [block for block in said if "make doctor" in block and "broken" in said[block]]
        has_one_result_everywhere(project, service)

        update(reader)
        service.requests.clear()
        (again,) = [block for block in blocks(GET_STARTED) if "make push" in block]
        reader.type(again)
        requests = service.requests["CreateProcessingJob"]
        wanted = {"repositoryName": SLUG, "imageIds": [{"imageTag": stamp(project)}]}
        (pushed,) = service.client("ecr").describe_images(**wanted)["imageDetails"]
        addresses = [request["AppSpecification"]["ImageUri"] for request in requests]
        assert len(addresses) == len(JOBS)
        assert all(address.endswith(f"@{pushed['imageDigest']}") for address in addresses)

        for language, block in code(LAUNCH):
            if language == "":
                reader.type(block)
            elif language == "python" and "processor" not in block:  # which needs the SDK
                run(project, ".venv/bin/python", "-c", block)


def update(reader: Reader) -> None:
    """Follow the README to the next version."""
    project = reader.folder
    before = (project / "aws.env").read_text()
    *_, block = blocks(README)
    reader.type(block)
    assert "NEWER" in (project / "Dockerfile").read_text()
    assert (project / "aws.env").read_text() == before
    run(project, "git", "commit", "--quiet", "--all", "--message", "Take the next version")


def test_no_document_is_left_out() -> None:
    documents = {README, PROJECT_README, *(ROOT / "docs").glob("*.md")}
    update = ROOT / "docs" / "update_0_2.md"  # see tests/example/test_update_0_2.py
    typed = {README, PROJECT_README, GET_STARTED, LAUNCH, ANOTHER_MODEL, COMPANY, update}
    assert {document for document in documents if blocks(document)} <= typed
