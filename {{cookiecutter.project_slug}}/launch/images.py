"""Finds the image of this commit in ECR."""

from . import aws, project
from .project import SetupError


def in_ecr() -> str:
    """Return the address of this commit's image in ECR, by digest.

    A tag could be moved to another image; a digest always names the same one.

    Raises:
        SetupError: The tree is not a commit, or its image was not pushed.
        LaunchError: ECR cannot be asked.
    """
    stamp, repository = project.stamp(), project.require("ECR_REPOSITORY")
    if stamp == "unknown":
        raise SetupError("no image: there is no commit yet: `git add --all && git commit`")
    if stamp.endswith("-dirty"):
        raise SetupError(
            "no image contains your uncommitted changes: commit them, or name an --image"
        )
    with aws.errors(f"image {repository}:{stamp}"):
        ecr = aws.client("ecr")
        try:
            images = ecr.describe_images(
                repositoryName=repository,
                imageIds=[{"imageTag": stamp}],
            )["imageDetails"]
        except ecr.exceptions.RepositoryNotFoundException as error:
            message = f"ECR has no repository {repository}: `make stack` creates it"
            raise SetupError(message) from error
        except ecr.exceptions.ImageNotFoundException as error:
            message = f"ECR has no image {repository}:{stamp}: `make push` pushes it"
            raise SetupError(message) from error
    image = images[0]
    domain = f"{ecr.meta.region_name}.{_dns_suffix(ecr.meta.partition)}"
    registry = f"{image['registryId']}.dkr.ecr.{domain}"
    return f"{registry}/{repository}@{image['imageDigest']}"


def _dns_suffix(partition: str) -> str:
    """Return the domain of a partition, such as ``amazonaws.com.cn`` of ``aws-cn``."""
    import botocore.session

    partitions = botocore.session.get_session().get_data("partitions")["partitions"]
    return next(str(item["outputs"]["dnsSuffix"]) for item in partitions if item["id"] == partition)
