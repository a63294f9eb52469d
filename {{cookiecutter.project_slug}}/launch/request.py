"""The CreateProcessingJob request of a launch, and the limits of the API that it has to keep.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html
"""

import difflib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from . import project, storage
from .job import Channel
from .options import Call
from .project import LaunchError

Request = dict[str, Any]


def build(call: Call, image: str) -> Request:
    """What CreateProcessingJob takes; the same in every place.

    A folder of this machine stands at the address that it would have in S3. A setting that is
    missing stands under its own name, so that there is a request without AWS as well.
    """
    job, options = call.job, call.options
    resources = {
        "InstanceType": options.instance_type,
        "InstanceCount": options.instance_count,
        "VolumeSizeInGB": options.volume_size_in_gb,
    }
    application = {"ImageUri": image, "ContainerEntrypoint": job.entrypoint}
    if call.arguments:
        application["ContainerArguments"] = call.arguments
    inputs = [channel for channel in job.inputs if channel.option in call.channels]
    outputs = [{"OutputName": item.name, "S3Output": _output(item, call)} for item in job.outputs]
    tags = {"project": project.name(), "job": job.name, "commit": project.stamp()}
    role = project.setting("SAGEMAKER_ROLE_ARN")
    request = {
        "ProcessingJobName": f"{project.name()}-{job.name.replace('_', '-')}-{call.time}",
        "ProcessingInputs": [
            {"InputName": channel.name, "S3Input": _input(channel, call)} for channel in inputs
        ],
        "ProcessingOutputConfig": {"Outputs": outputs} if outputs else None,
        "ProcessingResources": {"ClusterConfig": resources},
        "StoppingCondition": {"MaxRuntimeInSeconds": options.max_runtime_in_seconds},
        "AppSpecification": application,
        "Environment": dict(options.env),
        "RoleArn": role or "arn:aws:iam::000000000000:role/SAGEMAKER_ROLE_ARN",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    return {key: value for key, value in request.items() if value}


def check(operation: str, request: Request) -> None:
    """Hold a request against the limits in botocore's service model.

    botocore checks types, minima and missing fields; the rest it leaves to the service, which
    says no to an empty argument as well.
    """
    if "" in request.get("AppSpecification", {}).get("ContainerArguments", []):
        raise LaunchError("ContainerArguments: SageMaker takes no empty argument")
    shape = _model().operation_model(operation).input_shape
    if broken := list(_broken(request, shape, "")):
        raise LaunchError("; ".join(broken))


@cache
def _model() -> Any:
    import botocore.session

    return botocore.session.Session().get_service_model("sagemaker")


def _input(channel: Channel, call: Call) -> dict[str, str]:
    sharded = channel.option in call.options.shard
    return {
        "S3Uri": f"{_address(channel, call, 'input')}/",
        "LocalPath": channel.path,
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "ShardedByS3Key" if sharded else "FullyReplicated",
        "S3CompressionType": "None",
    }


def _output(channel: Channel, call: Call) -> dict[str, str]:
    address = _address(channel, call, call.job.name)
    return {"S3Uri": address, "LocalPath": channel.path, "S3UploadMode": "EndOfJob"}


def _address(channel: Channel, call: Call, folder: str) -> str:
    named = call.channels.get(channel.option, "")
    run = f"{project.name()}/{call.options.run_name}"
    bucket = project.setting("S3_BUCKET") or "S3_BUCKET"
    return named if storage.is_s3(named) else f"s3://{bucket}/{run}/{folder}/{channel.name}"


def _broken(value: Any, shape: Any, path: str) -> Iterator[str]:
    """In words, each limit of a ``botocore.model.Shape`` that a value breaks."""
    if shape.type_name == "structure":
        for name, member in value.items():
            yield from _broken(member, shape.members[name], f"{path}.{name}".lstrip("."))
    elif shape.type_name == "list":
        for index, member in enumerate(value):
            yield from _broken(member, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, member in value.items():
            yield from _broken(key, shape.key, f"{path}.{key}")
            yield from _broken(member, shape.value, f"{path}.{key}")
    limits = shape.metadata
    size, unit = (value, "") if isinstance(value, int) else (len(value), " items")
    unit = " characters" if isinstance(value, str) else unit
    if size < limits.get("min", size):
        yield f"{path}: {size}{unit}, SageMaker takes {limits['min']} or more"
    elif size > limits.get("max", size):
        yield f"{path}: {size}{unit}, SageMaker takes {limits['max']} or fewer"
    elif value not in limits.get("enum", [value]):
        close = " or ".join(difflib.get_close_matches(value, limits["enum"], n=2))
        yield f"{path}: SageMaker does not know {value!r}" + (f", but {close}" if close else "")
    elif "pattern" in limits and not re.fullmatch(_dialect(limits["pattern"]), value):
        yield f"{path}: {value!r} does not match {limits['pattern']}"


def _dialect(pattern: str) -> str:
    """The pattern for Python, which knows no Unicode categories."""
    return pattern.replace(r"\p{L}", r"\w").replace(r"\p{N}", r"\w").replace(r"\p{Z}", r"\s")
