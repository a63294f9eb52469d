"""Builds the CreateProcessingJob request of a launch, and checks everything that it can.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateProcessingJob.html
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from {{ cookiecutter.__package_name }} import runtime

from ..aws import limits
from ..run import Request
from ..settings import config, project
from ..settings.addresses import contains, is_s3
from ..settings.merge import merge
from ..settings.project import LaunchError
from ..storage import code, folders, s3
from . import access, cluster, field_checks, images
from .jobs import Channel
from .options import Launch

_DIGEST = "DIGEST"
"""Stands for the digest of a local input that was not read."""


def prepare(launch: Launch, image: str = "") -> Request:
    """Check a launch and return its request; nothing is started or uploaded.

    The cheapest checks come first: limits of the API, then this machine, then AWS.

    Args:
        launch: A parsed command line.
        image: The address of the image in ECR, if it is known already.

    Raises:
        LaunchError: Something is wrong or missing.
    """
    options = launch.options
    on_sagemaker = options.backend == "sagemaker"
    if on_sagemaker:
        project.require("S3_BUCKET")
        project.require("SAGEMAKER_ROLE_ARN")
    elif not options.wait:
        raise LaunchError("argument --no-wait: only a job on SageMaker runs without its launch")
    field_checks.check(launch.job)
    request = build(launch, options.image or _local_image(launch))
    limits.check("CreateProcessingJob", request)
    field_checks.check_complete(request, launch.job)
    _check_instance_types(request)
    _check_shards(launch, request)
    _check_overlaps(launch)
    objects = _check_inputs(launch)
    _check_outputs(launch)
    _set_objects(request, objects)
    if on_sagemaker and not options.image:
        request["AppSpecification"]["ImageUri"] = image or images.in_ecr(launch.stamp, launch.code)
        limits.check("CreateProcessingJob", request)
    if on_sagemaker or options.plan:
        _set_digests(request, launch)
    if on_sagemaker:
        access.check(launch, request)
    return request


def build(launch: Launch, image: str) -> Request:
    """Return the request of a launch, the same for every backend.

    The defaults are merged with ``launch.toml``, which ``field_checks.check`` has accepted, and
    then with the options that were typed. A missing setting, and the digest of a local input, are
    represented by their names, so that a request can be built without AWS.
    """
    used = [channel.name for channel in _named_inputs(launch)]
    file = field_checks.without_unused_channels(config.request(launch.job.name), launch.job, used)
    request = merge(_defaults(launch, image), file, _command_line(launch))
    cluster.settle(request)
    if not request["ProcessingOutputConfig"].get("Outputs"):
        del request["ProcessingOutputConfig"]
    if launch.code:
        _check_code(request, launch)
        launch.code.add_to(request, s3.input_address(launch.code.snapshot.digest))
    return {key: value for key, value in request.items() if value}


def _local_image(launch: Launch) -> str:
    """Return the name that ``make image`` gives to the image of a launch."""
    return project.image(launch.code.image_tag if launch.code else launch.stamp)


def _check_code(request: Request, launch: Launch) -> None:
    file = launch.job.entrypoint[-1]
    if launch.code and file not in launch.code.snapshot.sha256:
        raise LaunchError(f"argument --code: git ignores {file}: correct .gitignore")
    if any(item["InputName"] == code.INPUT for item in request["ProcessingInputs"]):
        raise LaunchError(
            f"argument --code: another input is named {code.INPUT!r}: rename it in "
            f"entrypoints/{launch.job.name}.py or {config.FILE}"
        )


def _defaults(launch: Launch, image: str) -> Request:
    """Return the fields that the launch determines, and the defaults of all others."""
    application = {"ImageUri": image, "ContainerEntrypoint": launch.job.entrypoint}
    if launch.arguments:
        application["ContainerArguments"] = list(launch.arguments)
    tags = {
        "project": project.name(),
        "job": launch.job.name,
        "commit": launch.stamp,
        "run": launch.options.run_name,
    }
    if launch.code:
        tags["code"] = launch.code.snapshot.digest
    role = project.setting("SAGEMAKER_ROLE_ARN")
    return {
        "ProcessingJobName": launch.name,
        "ProcessingInputs": [_input(channel, launch) for channel in _named_inputs(launch)],
        "ProcessingOutputConfig": {
            "Outputs": [_output(channel, launch) for channel in launch.job.outputs]
        },
        **cluster.DEFAULTS,
        "AppSpecification": application,
        "Environment": {},
        "RoleArn": role or "arn:aws:iam::000000000000:role/SAGEMAKER_ROLE_ARN",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def _command_line(launch: Launch) -> Request:
    """Return the fields that options of the launch set, if they were typed."""
    options = launch.options
    typed = {name: getattr(options, name) for name in cluster.OPTIONS if launch.is_typed(name)}
    if "instance_type" in typed:  # launch.toml may have other counts for other types
        typed["instance_count"] = options.instance_count
    sharded = [channel for channel in launch.job.inputs if channel.option in options.shard]
    return {
        **cluster.layer(typed),
        "Environment": dict(options.env),
        "ProcessingInputs": [
            {
                "InputName": channel.name,
                "S3Input": {"S3DataDistributionType": "ShardedByS3Key"},
            }
            for channel in sharded
            if channel.option in launch.inputs
        ],
    }


def _named_inputs(launch: Launch) -> Iterator[Channel]:
    return (channel for channel in launch.job.inputs if channel.option in launch.inputs)


def _input(channel: Channel, launch: Launch) -> dict[str, Any]:
    address = launch.inputs[channel.option]
    return {
        "InputName": channel.name,
        "S3Input": {
            "S3Uri": f"{address}/" if is_s3(address) else s3.input_address(_DIGEST),
            "LocalPath": channel.path,
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
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


def _set_objects(request: Request, names: Sequence[str]) -> None:
    """Name inputs that are one object in S3 by its key, which has no final slash.

    SageMaker takes it for a prefix like any other; ``s3.object_at`` has checked that no other key
    begins with it.
    """
    for item in request.get("ProcessingInputs", []):
        if item["InputName"] in names:
            item["S3Input"]["S3Uri"] = item["S3Input"]["S3Uri"].rstrip("/")


def _set_digests(request: Request, launch: Launch) -> None:
    """Name each local input by the digest of its content."""
    options = {channel.name: channel.option for channel in launch.job.inputs}
    for item in request.get("ProcessingInputs", []):
        if snapshot := launch.snapshots.get(options.get(item["InputName"], "")):
            item["S3Input"]["S3Uri"] = s3.input_address(snapshot.digest)


def _check_instance_types(request: Request) -> None:
    types = cluster.instance_types(request)
    if twice := sorted({name for name in types if types.count(name) > 1}):
        raise LaunchError(f"argument --instance_type: it names {', '.join(twice)} twice")


def _check_shards(launch: Launch, request: Request) -> None:
    sharded = cluster.sharded_inputs(request)
    for channel in launch.job.inputs:
        if channel.name not in sharded:
            continue
        typed = channel.option in launch.options.shard
        place = (
            "argument --shard"
            if typed
            else f"{config.FILE}: S3DataDistributionType of {channel.name}"
        )
        if channel.finished or channel.option in launch.upstream:
            raise LaunchError(
                f"{place}: --{channel.option} is the output of another job and must be complete "
                "on every host"
            )
        if channel.single:
            raise LaunchError(
                f"{place}: --{channel.option} takes one file, which every host needs; only "
                "the files of a folder can be distributed"
            )


def _check_overlaps(launch: Launch) -> None:
    """Reject an output that contains, or is in, another channel: their files would mix."""
    channels = {**launch.inputs, **launch.outputs}
    files = {channel.option for channel in launch.job.inputs if channel.single}
    unnamed = launch.outputs.keys() - launch.named_outputs.keys()
    for option, address in launch.outputs.items():
        for file in files & launch.inputs.keys():
            if is_s3(address) and address.startswith(launch.inputs[file]):
                raise LaunchError(
                    f"argument --{option}: {address} begins with the address of --{file}, so "
                    "that SageMaker would read both: name another address"
                )
        for other, place in channels.items():
            if option in unnamed and other in launch.inputs and contains(place, address):
                raise LaunchError(f"{launch.place(other)}: {place} contains --{option}: {address}")
            if other != option and contains(address, place):
                raise LaunchError(f"argument --{option}: {address} contains --{other}")
            if other != option and contains(place, address):
                raise LaunchError(f"argument --{option}: {address} lies in --{other}")


def _check_inputs(launch: Launch) -> list[str]:
    """Check that inputs exist, and that the output of another job is complete by its record.

    Returns:
        The names of the inputs that are one object in S3.
    """
    objects = []
    local_first = sorted(
        _named_inputs(launch), key=lambda channel: is_s3(launch.inputs[channel.option])
    )
    for channel in local_first:
        address = launch.inputs[channel.option]
        with _naming(launch, channel.option):
            if channel.option in launch.upstream:
                _check_upstream(channel, launch.upstream[channel.option])
            elif channel.single and is_s3(address):
                if _is_object(address):
                    objects.append(channel.name)
            elif channel.single:
                _check_file(address)
            else:
                _check_folder(channel, address)
    return objects


def _check_upstream(channel: Channel, job: str) -> None:
    if channel.single:
        raise LaunchError(
            f"{job} writes a record (job.json) beside its files, and this option takes one file: "
            "let its type be runtime.finished_output"
        )


def _is_object(address: str) -> bool:
    """Return whether an address in S3 is the key of one file, and not a folder that contains it."""
    items = s3.listing(address)
    if not items:
        if s3.object_at(address):
            return True
        raise LaunchError(f"{address} does not exist: correct the address")
    if len(items) > 1 or "/" in items[0].name:
        names = ", ".join(item.name for item in items[:2])
        raise LaunchError(
            f"{address} is a folder that holds {names}, but one file is required: "
            f"name {address}/{items[0].name}, for example"
        )
    return False


def _check_file(address: str) -> None:
    try:
        runtime.existing_file(address)
    except argparse.ArgumentTypeError as error:
        raise LaunchError(str(error)) from error
    folders.scan(Path(address))


def _check_folder(channel: Channel, address: str) -> None:
    if is_s3(address):
        sizes = {item.name: item.size for item in s3.listing(address)}
        is_file = not sizes and s3.object_at(address) is not None
    else:
        sizes = {file.name: file.size for file in folders.scan(Path(address))}
        is_file = Path(address).is_file()
    if is_file:
        raise LaunchError(
            f"{address} is a file, but a folder is required: name {address.rpartition('/')[0]}"
        )
    if not sizes:
        raise LaunchError(f"{address} holds no files: name a folder that does")
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
    """Check that outputs are new; the backend claims them before the job starts.

    In S3, only chosen addresses can be taken.
    """
    for option, address in launch.outputs.items():
        with _naming(launch, option):
            if not is_s3(address) or option in launch.chosen_outputs:
                _check_output(launch, address)


def _check_output(launch: Launch, address: str) -> None:
    if is_s3(address):
        s3.check_new(address)
    elif launch.options.backend == "sagemaker":
        raise LaunchError(f"{address} is a local folder: SageMaker writes to s3:// only")
    else:
        folders.check_new(Path(address))


@contextmanager
def _naming(launch: Launch, option: str) -> Iterator[None]:
    """Return the rejected option as argparse does, or its place in ``launch.toml``."""
    try:
        yield
    except LaunchError as error:
        raise type(error)(f"{launch.place(option)}: {error}") from error
