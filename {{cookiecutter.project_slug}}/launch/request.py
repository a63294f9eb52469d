"""From a launch to the CreateProcessingJob request, with everything checked that can be.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from {{ cookiecutter.__package_name }} import runtime

from . import folders, images, limits, project, s3
from .addresses import contains, is_s3
from .jobs import Channel
from .options import Launch
from .project import LaunchError
from .run import Request

_DIGEST = "DIGEST"
"""Stands for the digest of a local input that was not read."""


def prepare(launch: Launch, image: str = "") -> Request:
    """Check a launch and return its request; nothing is started or uploaded.

    The cheapest checks come first: limits of the API, then this machine, then AWS.

    Args:
        launch: A parsed command line.
        image: The address of this commit's image in ECR, if it is known already.

    Raises:
        LaunchError: Something is wrong or missing.
    """
    options = launch.options
    on_sagemaker = options.backend == "sagemaker"
    if on_sagemaker:
        project.require("S3_BUCKET")
        project.require("SAGEMAKER_ROLE_ARN")
    elif not options.wait:
        raise LaunchError("argument --no-wait: only a job on SageMaker goes on without its launch")
    request = build(launch, options.image or project.image())
    limits.check("CreateProcessingJob", request)
    _check_shards(launch)
    _check_overlaps(launch)
    _check_inputs(launch)
    _check_outputs(launch)
    if on_sagemaker and not options.image:
        request["AppSpecification"]["ImageUri"] = image or images.in_ecr()
        limits.check("CreateProcessingJob", request)
    if on_sagemaker or options.plan:
        _set_digests(request, launch)
    return request


def build(launch: Launch, image: str) -> Request:
    """Return the request of a launch, the same for every backend.

    A missing setting, and the digest of a local input, are represented by their names, so that
    there is a request without AWS, too.
    """
    options = launch.options
    application = {"ImageUri": image, "ContainerEntrypoint": launch.job.entrypoint}
    if launch.arguments:
        application["ContainerArguments"] = list(launch.arguments)
    tags = {"project": project.name(), "job": launch.job.name, "commit": project.stamp()}
    role = project.setting("SAGEMAKER_ROLE_ARN")
    outputs = [_output(channel, launch) for channel in launch.job.outputs]
    request = {
        "ProcessingJobName": launch.name,
        "ProcessingInputs": [_input(channel, launch) for channel in _named_inputs(launch)],
        "ProcessingOutputConfig": {"Outputs": outputs} if outputs else None,
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceType": options.instance_type,
                "InstanceCount": options.instance_count,
                "VolumeSizeInGB": options.volume_size_in_gb,
            }
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": options.max_runtime_in_seconds},
        "AppSpecification": application,
        "Environment": dict(options.env),
        "RoleArn": role or "arn:aws:iam::000000000000:role/SAGEMAKER_ROLE_ARN",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    return {key: value for key, value in request.items() if value}


def _named_inputs(launch: Launch) -> Iterator[Channel]:
    return (channel for channel in launch.job.inputs if channel.option in launch.inputs)


def _input(channel: Channel, launch: Launch) -> dict[str, Any]:
    address = launch.inputs[channel.option]
    sharded = channel.option in launch.options.shard
    return {
        "InputName": channel.name,
        "S3Input": {
            "S3Uri": f"{address}/" if is_s3(address) else s3.input_address(_DIGEST),
            "LocalPath": channel.path,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "ShardedByS3Key" if sharded else "FullyReplicated",
            "S3CompressionType": "None",
        },
    }


def _output(channel: Channel, launch: Launch) -> dict[str, Any]:
    address = launch.outputs[channel.option]
    if not is_s3(address):
        address = s3.run_address(launch.options.run_name, launch.job.name, channel.name)
    return {
        "OutputName": channel.name,
        "S3Output": {"S3Uri": address, "LocalPath": channel.path, "S3UploadMode": "EndOfJob"},
    }


def _set_digests(request: Request, launch: Launch) -> None:
    """Name each local input by the digest of its content."""
    options = {channel.name: channel.option for channel in launch.job.inputs}
    for item in request.get("ProcessingInputs", []):
        if snapshot := launch.snapshots.get(options[item["InputName"]]):
            item["S3Input"]["S3Uri"] = s3.input_address(snapshot.digest)


def _check_shards(launch: Launch) -> None:
    finished = {channel.option for channel in launch.job.inputs if channel.finished}
    for option in launch.options.shard:
        if option in finished:
            raise LaunchError(
                f"argument --shard: --{option} is the output of another job and must be complete "
                "on every host"
            )


def _check_overlaps(launch: Launch) -> None:
    """Reject an output that contains another channel, or lies in one: they would mix."""
    channels = {**launch.inputs, **launch.outputs}
    for option, address in launch.outputs.items():
        for other, place in channels.items():
            if other != option and contains(address, place):
                raise LaunchError(f"argument --{option}: {address} contains --{other}")
            if other != option and contains(place, address):
                raise LaunchError(f"argument --{option}: {address} lies in --{other}")


def _check_inputs(launch: Launch) -> None:
    """Check that inputs exist, and that the output of another job is complete by its record."""
    local_first = sorted(
        _named_inputs(launch), key=lambda channel: is_s3(launch.inputs[channel.option])
    )
    for channel in local_first:
        if channel.option not in launch.upstream:
            with _naming(channel.option):
                _check_input(channel, launch.inputs[channel.option])


def _check_input(channel: Channel, address: str) -> None:
    if is_s3(address):
        sizes = {item.name: item.size for item in s3.listing(address)}
    else:
        sizes = {file.name: file.size for file in folders.scan(Path(address))}
    if not sizes:
        raise LaunchError(f"{address} holds no files")
    if channel.finished:
        _check_record(address, sizes)


def _check_record(address: str, sizes: Mapping[str, int]) -> None:
    names = runtime.record_names(sizes)
    records = {name: _read(address, name) for name in names}
    others = {name: size for name, size in sizes.items() if name not in names}
    try:
        runtime.check_listing(records, others)
    except runtime.JobError as error:
        raise LaunchError(f"{address} is not a complete output: {error}") from error


def _read(address: str, name: str) -> bytes:
    if is_s3(address):
        return s3.read(address, name)
    with folders.readable(Path(address)):
        return Path(address, name).read_bytes()


def _check_outputs(launch: Launch) -> None:
    """Check that outputs are new; the backend claims them before the job starts."""
    for option, address in launch.outputs.items():
        with _naming(option):
            _check_output(launch, address)


def _check_output(launch: Launch, address: str) -> None:
    if is_s3(address):
        s3.check_new(address)
    elif launch.options.backend == "sagemaker":
        raise LaunchError(f"{address} is a local folder: SageMaker writes to s3:// only")
    else:
        folders.check_new(Path(address))


@contextmanager
def _naming(option: str) -> Iterator[None]:
    """Name the option that is rejected, as argparse does."""
    try:
        yield
    except LaunchError as error:
        raise type(error)(f"argument --{option}: {error}") from error
