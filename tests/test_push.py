"""Pushes to a registry that requires a password, with the API of ECR, and their errors."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import run
from registry import (
    ACCOUNT,
    ECR,
    MANIFEST,
    Server,
    aws_environment,
    docker_client,
    docker_registry,
    ecr_client,
    get,
    images_of,
    moto_server,
    need_engine,
)

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@dataclass(frozen=True)
class Aws:
    """A registry and the API that knows of it, both empty."""

    registry: Server
    moto: Server
    environment: dict[str, str]

    def ecr(self) -> Any:
        return ecr_client(self.moto.address, "eu-west-1")

    def repositories(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ecr().describe_repositories()["repositories"]
        return found

    def get(self, path: str) -> tuple[str, bytes]:
        """Media type and contents of something in the registry."""
        return get(self.registry.address, path)

    def digest(self, project: Path, tag: str) -> str:
        """The digest of the image with this tag; empty if there is none."""
        ecr = self.ecr()
        try:
            (image,) = ecr.describe_images(
                repositoryName=project.name, imageIds=[{"imageTag": tag}]
            )["imageDetails"]
        except ecr.exceptions.ImageNotFoundException:
            return ""
        return str(image["imageDigest"])


@pytest.fixture
def unbuilt(generated: Path, tmp_path: Path) -> Iterator[Path]:
    """A project below a folder with a space."""
    need_engine()
    folder = tmp_path / "a space" / generated.name
    shutil.copytree(generated, folder)
    with images_of(folder):
        yield folder


@pytest.fixture
def project(unbuilt: Path) -> Path:
    """The same with a small image in the place of its own: a push does not ask what is in it."""
    put_image(unbuilt, size=1000)
    return unbuilt


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    for name in ("registry", "moto", "docker"):
        (tmp_path / name).mkdir()
    with docker_registry(tmp_path / "registry") as images, moto_server(tmp_path / "moto") as moto:
        yield Aws(images, moto, aws_environment(moto) | docker_client(tmp_path, images, moto))


def docker(*arguments: str) -> str:
    return run(Path(), "docker", *arguments).strip()


def without(env: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in names}


def stamp(project: Path) -> str:
    return run(project, "scripts/stamp.sh").strip()


def environment(project: Path) -> str:
    """The tag in ECR of the first image with this environment."""
    (found,) = re.findall("(?m)^environment=(.*)", run(project, "scripts/tree.sh"))
    return f"environment-{found}"


def commit(project: Path, name: str) -> None:
    """Add and commit a file."""
    (project / name).touch()
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "--message", name)


def put_image(project: Path, size: int) -> None:
    """Build an image of two layers of ``size`` bytes that no compression makes smaller."""
    context = project.parent / "context"
    context.mkdir(exist_ok=True)
    for layer in ("one", "two"):
        (context / layer).write_bytes(os.urandom(size))
    revision = stamp(project)
    label = f"org.opencontainers.image.revision={revision}"
    recipe = f"FROM scratch\nCOPY one /\nCOPY two /\nLABEL {label}\n"
    (context / "Dockerfile").write_text(recipe)
    run(context, "docker", "build", "--quiet", "--tag", f"{project.name}:{revision}", ".")


def script(project: Path, name: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [project / "scripts" / f"{name}.sh"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def fails(project: Path, name: str, env: dict[str, str]) -> str:
    """Run a script that must fail without an address by digest, and return what it says."""
    done = script(project, name, env)
    assert done.returncode != 0
    assert "@sha256:" not in done.stdout
    return done.stderr


def test_first_push_makes_the_repository_and_prints_the_digest(unbuilt: Path, aws: Aws) -> None:
    project = unbuilt
    run(project, "make", "image")
    done = script(project, "push", aws.environment)
    assert done.returncode == 0, done.stderr
    address = done.stdout.splitlines()[-1]
    media_type, manifest = aws.get(f"{project.name}/manifests/{stamp(project)}")
    digest = hashlib.sha256(manifest).hexdigest()
    assert address == f"{ECR}/{project.name}@sha256:{digest}"
    assert media_type == MANIFEST
    assert "docker" in json.loads(manifest)["config"]["mediaType"]

    (repository,) = aws.repositories()
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["imageScanningConfiguration"]["scanOnPush"] is True
    policy = aws.ecr().get_lifecycle_policy(repositoryName=project.name)
    (rule,) = json.loads(policy["lifecyclePolicyText"])["rules"]
    assert (rule["selection"]["tagStatus"], rule["action"]["type"]) == ("untagged", "expire")


def test_what_was_pushed_can_be_pulled_by_that_address(project: Path, aws: Aws) -> None:
    address = script(project, "push", aws.environment).stdout.splitlines()[-1]
    pushed = docker("image", "inspect", "--format", "{{.Id}}", f"{project.name}:{stamp(project)}")
    docker("image", "rm", "--force", pushed)
    run(project, "docker", "pull", "--quiet", address, **aws.environment)
    inspect = ("docker", "image", "inspect", "--format", "{{.Id}}")
    assert run(project, *inspect, address, **aws.environment).strip() == pushed


def test_second_push_says_so_and_prints_the_same(project: Path, aws: Aws) -> None:
    first = script(project, "push", aws.environment)
    aws.registry.stop()  # nothing is sent
    second = script(project, "push", aws.environment)
    assert second.returncode == 0, second.stderr
    assert "already" in second.stderr
    assert second.stdout == first.stdout


def test_an_image_that_was_pushed_from_elsewhere_is_taken(project: Path, aws: Aws) -> None:
    first = script(project, "push", aws.environment)
    docker("image", "rm", "--force", f"{project.name}:{stamp(project)}")
    second = script(project, "push", aws.environment)
    assert (second.returncode, second.stdout) == (0, first.stdout), second.stderr
    put_image(project, size=1000)  # of the same stamp, but another one
    commit(project, "notes.txt")
    third = script(project, "push", aws.environment)
    assert (third.returncode, third.stdout) == (0, first.stdout), third.stderr


def test_the_first_image_of_an_environment_has_its_tag(project: Path, aws: Aws) -> None:
    tag = environment(project)
    first = script(project, "push", aws.environment).stdout.strip().rpartition("@")[2]
    assert aws.digest(project, tag) == first

    commit(project, "entrypoints/added.py")
    put_image(project, size=1000)
    second = script(project, "push", aws.environment).stdout.strip().rpartition("@")[2]
    assert second != first
    assert environment(project) == tag
    assert aws.digest(project, tag) == first

    (project / "poetry.lock").write_text("# Another\n")
    run(project, "git", "commit", "--quiet", "--all", "--message", "Another environment")
    put_image(project, size=1000)
    third = script(project, "push", aws.environment).stdout.strip().rpartition("@")[2]
    assert (aws.digest(project, tag), aws.digest(project, environment(project))) == (first, third)


def test_the_tag_of_the_environment_is_put_where_it_is_missing(project: Path, aws: Aws) -> None:
    pushed = script(project, "push", aws.environment).stdout
    tag = {"imageTag": environment(project)}
    aws.ecr().batch_delete_image(repositoryName=project.name, imageIds=[tag])
    assert script(project, "push", aws.environment).stdout == pushed
    assert aws.digest(project, tag["imageTag"]) == pushed.strip().rpartition("@")[2]


def test_repository_that_is_there_stays_as_it_is(project: Path, aws: Aws) -> None:
    aws.ecr().create_repository(repositoryName=project.name, imageTagMutability="MUTABLE")
    done = script(project, "push", aws.environment)
    assert done.returncode == 0, done.stderr
    (repository,) = aws.repositories()
    assert repository["imageTagMutability"] == "MUTABLE"
    with pytest.raises(ClientError, match="LifecyclePolicyNotFound"):
        aws.ecr().get_lifecycle_policy(repositoryName=project.name)


def test_dirty_tree_is_not_pushed(project: Path, aws: Aws) -> None:
    (project / "entrypoints" / "untracked").touch()
    assert "git status" in fails(project, "push", aws.environment)
    assert aws.repositories() == []


def test_a_variable_that_changes_the_image_is_not_pushed(project: Path, aws: Aws) -> None:
    assert "BASE_IMAGE" in fails(project, "push", aws.environment | {"BASE_IMAGE": "own:1"})
    assert aws.repositories() == []


def test_commit_without_an_image_is_not_pushed(project: Path, aws: Aws) -> None:
    commit(project, "entrypoints/not_built.py")
    assert "make image" in fails(project, "push", aws.environment)
    assert json.loads(aws.get("_catalog")[1]) == {"repositories": []}


def test_without_the_name_of_a_repository_nothing_is_pushed(project: Path, aws: Aws) -> None:
    run(project, "scripts/setting.sh", "ECR_REPOSITORY=")
    for name in ("build", "tag", "push"):
        assert "ECR_REPOSITORY" in fails(project, name, aws.environment)
    assert aws.repositories() == []


def test_wrong_password_pushes_nothing(project: Path, aws: Aws, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with docker_registry(tmp_path / "other", password="other") as images:  # noqa: S106
        env = aws.environment | docker_client(tmp_path / "other", images, aws.moto)
        assert "401" in fails(project, "push", env)
    assert not (tmp_path / "other" / "docker").exists()


def test_registry_that_stops_half_way_is_a_failure(unbuilt: Path, aws: Aws) -> None:
    put_image(unbuilt, size=100_000_000)
    push = subprocess.Popen(
        [unbuilt / "scripts" / "push.sh"],
        env=aws.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with push:
        assert push.stderr is not None
        assert push.stdout is not None
        said = next(line for line in push.stderr if "Preparing" in line)
        aws.registry.stop()
        said += push.stderr.read()
        assert push.wait() != 0, said
        assert "@sha256:" not in push.stdout.read()
    assert re.search("refused|EOF|reset", said)


def test_without_credentials_the_cli_says_so(project: Path, aws: Aws) -> None:
    env = without(aws.environment, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    assert "Unable to locate credentials" in fails(project, "push", env)
    assert aws.repositories() == []


def test_api_that_does_not_answer_is_a_failure(project: Path, aws: Aws) -> None:
    aws.moto.stop()
    assert "Could not connect" in fails(project, "push", aws.environment)
    assert json.loads(aws.get("_catalog")[1]) == {"repositories": []}


@pytest.mark.parametrize(("missing", "name"), [("aws", "AWS CLI"), ("docker", "Docker")])
def test_without_a_tool_the_script_names_it(
    missing: str, name: str, project: Path, aws: Aws, tmp_path: Path
) -> None:
    path = tmp_path / "path"
    path.mkdir()
    others = (
        "bash",
        "cat",
        "cp",
        "cut",
        "dirname",
        "git",
        "grep",
        "mkdir",
        "mktemp",
        "realpath",
        "rm",
        "sed",
    )
    for command in {"aws", "docker", *others} - {missing}:
        found = shutil.which(command, path=aws.environment["PATH"])
        assert found
        (path / command).symlink_to(found)
    words = fails(project, "push", aws.environment | {"PATH": str(path)})
    assert f"{name} is not installed" in words


def test_without_a_region_nothing_is_guessed(project: Path, aws: Aws) -> None:
    assert "AWS_REGION" in fails(project, "push", without(aws.environment, "AWS_REGION"))
    assert aws.repositories() == []


@pytest.mark.parametrize(
    ("variables", "in_file", "region"),
    [
        (
            {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"},
            "eu-west-3",
            "eu-west-1",
        ),
        ({"AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-3", "eu-west-3"),
        ({"AWS_DEFAULT_REGION": "eu-west-2"}, "", "eu-west-2"),
        ({}, "", "eu-north-1"),
    ],
    ids=["AWS_REGION", "aws.env", "AWS_DEFAULT_REGION", "AWS configuration"],
)
def test_address_is_the_accounts_in_the_region_of_the_launch(
    variables: dict[str, str],
    in_file: str,
    region: str,
    unbuilt: Path,
    installed_project: Path,
    aws: Aws,
) -> None:
    project = unbuilt
    settings = project / "aws.env"
    settings.write_text(settings.read_text().replace("AWS_REGION=", f"AWS_REGION={in_file}"))
    env = without(aws_environment(aws.moto), "AWS_REGION")
    config = project.parent / "config"
    config.write_text("[default]\nregion = eu-north-1\n")
    env |= variables | {"AWS_CONFIG_FILE": str(config)}
    python = str(installed_project / ".venv" / "bin" / "python")
    words = (python, "-c", "from launch.aws import clients; print(clients.session().region_name)")
    launched = subprocess.run(words, cwd=project, env=env, stdout=subprocess.PIPE, check=True)
    assert launched.stdout.decode().strip() == region

    put_image(project, size=1000)
    done = script(project, "tag", env)
    wanted = f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com/{project.name}:{stamp(project)}"
    assert done.stdout.strip() == wanted, done.stderr
    docker("image", "inspect", wanted)
