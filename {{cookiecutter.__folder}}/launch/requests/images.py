"""Finds the image of a launch in ECR."""

import re
from dataclasses import dataclass

from ..aws import clients, errors
from ..settings import project
from ..settings.project import LaunchError, SetupError
from ..storage.code import Code

_REGISTRY = re.compile(r"([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.([a-z0-9.-]+)")


@dataclass(frozen=True)
class Registry:
    """The registry of an account in a region, which ``ECR_REGISTRY`` names."""

    address: str
    account: str
    region: str


def registry() -> Registry | None:
    """Return the registry that ``ECR_REGISTRY`` names; ``None`` if it is this account's.

    Raises:
        LaunchError: It is not the address of a registry.
    """
    address = project.setting("ECR_REGISTRY")
    if not address:
        return None
    match = _REGISTRY.fullmatch(address)
    if not match or match[3] != _dns_suffix(match[2]):
        raise LaunchError(
            "ECR_REGISTRY must be an account's registry in a region, such as "
            f"123456789012.dkr.ecr.eu-west-1.amazonaws.com: {address!r}"
        )
    return Registry(address, account=match[1], region=match[2])


def in_ecr(stamp: str, code: Code | None = None) -> str:
    """Return the address of a commit's image in ECR, by digest.

    A tag could be moved to another image; a digest always names the same one.

    Args:
        stamp: The commit; see ``project.stamp``.
        code: The code that a job runs instead of that in its image; any image with the same
            environment can be used.

    Raises:
        SetupError: The tree is not a commit, or its image was not pushed.
        LaunchError: The call to ECR fails.
    """
    tag, repository = code.image_tag if code else _commit(stamp), project.require("ECR_REPOSITORY")
    with errors.as_launch_error(f"image {repository}:{tag}"):
        configured = registry()
        ecr = clients.client("ecr", region=configured.region if configured else None)
        try:
            images = ecr.describe_images(
                repositoryName=repository,
                imageIds=[{"imageTag": tag}],
                **registry_id(configured),
            )["imageDetails"]
        except ecr.exceptions.RepositoryNotFoundException as error:
            raise SetupError(no_repository(repository, configured)) from error
        except ecr.exceptions.ImageNotFoundException as error:
            raise SetupError(_no_image(f"{repository}:{tag}", code)) from error
    image = images[0]
    region = ecr.meta.region_name
    own = f"{image['registryId']}.dkr.ecr.{region}.{_dns_suffix(region)}"
    return f"{configured.address if configured else own}/{repository}@{image['imageDigest']}"


def _commit(stamp: str) -> str:
    """Return the stamp if it is a commit, and reject any other."""
    if stamp == "unknown":
        raise SetupError("no image: there is no commit yet: `git add --all && git commit`")
    if stamp.endswith("-dirty"):
        raise SetupError(
            "no image contains your uncommitted changes: run them with --code, commit them, or "
            "name an --image"
        )
    return stamp


def _no_image(name: str, code: Code | None) -> str:
    if code:
        return (
            f"ECR has no image with this environment ({name}): commit, and run `make image push` "
            "once"
        )
    return f"ECR has no image {name}: `make push` pushes it"


def registry_id(registry: Registry | None) -> dict[str, str]:
    """Return the argument with which a call to ECR uses the registry of another account."""
    return {"registryId": registry.account} if registry else {}


def no_repository(repository: str, registry: Registry | None) -> str:
    """Return what to do about a repository that does not exist."""
    if registry is None:
        return f"ECR has no repository {repository}: `make stack` creates it"
    return (
        f"{registry.address} has no repository {repository}: let its account {registry.account} "
        "create it, or correct ECR_REGISTRY or ECR_REPOSITORY"
    )


def _dns_suffix(region: str) -> str:
    """Return the domain of a region, such as ``amazonaws.com.cn``; empty if there is none."""
    import botocore.session
    from botocore.exceptions import UnknownRegionError

    session = botocore.session.get_session()
    try:
        partition = session.get_partition_for_region(region)
    except UnknownRegionError:
        return ""
    partitions = session.get_data("partitions")["partitions"]
    return next(str(item["outputs"]["dnsSuffix"]) for item in partitions if item["id"] == partition)
