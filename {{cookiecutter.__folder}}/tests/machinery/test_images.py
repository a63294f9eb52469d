"""The image of a launch on SageMaker: this commit's, by digest."""

import json
from typing import Any

import pytest

from aws_faults import REGION, Faults, push_image
from launch import LaunchError
from launch.aws import clients
from launch.requests import images
from launch.settings.project import SetupError

ACCOUNT = "123456789012"
STAMP = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "team/model"


pytestmark = pytest.mark.usefixtures("faults")


@pytest.fixture(autouse=True)
def repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECR_REPOSITORY", REPOSITORY)


def push(tag: str) -> str:
    """Push an image, after the repository was created; return its digest."""
    return push_image(REPOSITORY, tag)


def create_repository() -> None:
    clients.client("ecr").create_repository(repositoryName=REPOSITORY)


@pytest.mark.parametrize(
    ("region", "domain"),
    [(REGION, "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn")],
)
def test_an_image_is_named_by_digest_with_one_call(
    faults: Faults, region: str, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", region)
    create_repository()
    push("f" * 40)
    digest = push(STAMP)
    faults.clear()
    registry = f"{ACCOUNT}.dkr.ecr.{region}.{domain}"
    assert images.in_ecr(STAMP) == f"{registry}/{REPOSITORY}@{digest}"
    assert faults.calls.total() == 1


def test_an_image_that_was_not_pushed_is_reported() -> None:
    with pytest.raises(SetupError, match=rf"no repository {REPOSITORY}.*make stack"):
        images.in_ecr(STAMP)
    create_repository()
    push("f" * 40)
    with pytest.raises(SetupError, match=rf"no image {REPOSITORY}:{STAMP}.*make push"):
        images.in_ecr(STAMP)


@pytest.mark.parametrize(
    ("stamp", "advice"),
    [(f"{STAMP}-dirty", "commit them, or name an --image"), ("unknown", "git commit")],
)
def test_a_tree_that_is_no_commit_has_no_image(faults: Faults, stamp: str, advice: str) -> None:
    with pytest.raises(SetupError, match=advice):
        images.in_ecr(stamp)
    assert not faults.calls


def test_what_ecr_denies_is_said(faults: Faults) -> None:
    faults.fail("DescribeImages", "AccessDeniedException")
    with pytest.raises(LaunchError, match=f"{REPOSITORY}:{STAMP}: DescribeImages: AccessDenied"):
        images.in_ecr(STAMP)


OTHER = "210987654321"


def test_the_registry_of_another_account_and_region_is_asked(
    faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = f"{OTHER}.dkr.ecr.eu-central-1.amazonaws.com"
    monkeypatch.setenv("ECR_REGISTRY", registry)
    asked: list[Any] = []
    faults.intercept("DescribeImages", asked.append)
    with pytest.raises(SetupError, match=rf"{registry} has no repository.*{OTHER} create it"):
        images.in_ecr(STAMP)
    assert "ecr.eu-central-1.amazonaws.com" in asked[0].url
    assert json.loads(asked[0].body)["registryId"] == OTHER


def test_an_image_in_a_named_registry_has_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com"
    with monkeypatch.context() as there:
        there.setenv("AWS_REGION", "eu-central-1")
        create_repository()
        digest = push(STAMP)
    with pytest.raises(SetupError, match="no repository"):
        images.in_ecr(STAMP)
    monkeypatch.setenv("ECR_REGISTRY", registry)
    assert images.in_ecr(STAMP) == f"{registry}/{REPOSITORY}@{digest}"


@pytest.mark.parametrize(
    "value",
    [
        "walruses",
        f"https://{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/team",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.co",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com.cn",
        f"{ACCOUNT}.dkr.ecr.moon-1.amazonaws.com",
        "12345.dkr.ecr.eu-west-1.amazonaws.com",
        "127.0.0.1:5000",
    ],
)
def test_what_is_no_registry_is_rejected_with_an_example(
    value: str, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECR_REGISTRY", value)
    with pytest.raises(LaunchError, match=r"such as \d{12}\.dkr\.ecr\.") as caught:
        images.in_ecr(STAMP)
    assert value in str(caught.value)
    assert not faults.calls


def test_a_registry_in_china_has_its_own_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECR_REGISTRY", f"{OTHER}.dkr.ecr.cn-north-1.amazonaws.com.cn")
    found = images.registry()
    assert found
    assert (found.account, found.region) == (OTHER, "cn-north-1")
