"""Checks the fields that ``launch.toml`` adds to requests, before anything is uploaded or paid.

Problems are reported by their path in the file, such as ``request.NetworkConfig.VpcConfig``.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from {{ cookiecutter.__package_name }} import runtime

from ..aws import limits
from ..aws.limits import Path, Problem
from ..run import Request
from ..settings import config, names
from ..settings.merge import NAMES
from ..settings.project import LaunchError
from . import jobs
from .jobs import Channel, Job

_OPERATION = "CreateProcessingJob"
_TAGS = ("project", "job", "commit", "run", "code")
"""The tags that launches set."""

_ROOT = "/opt/ml/processing"
_CLUSTER: Path = ("ProcessingResources", "ClusterConfig")
_READ_ONLY = "only DescribeProcessingJob returns this field: remove it"
_DETERMINED: Mapping[Path, str] = {
    ("ProcessingJobName",): "the launch sets this field: remove it",
    ("AppSpecification", "ImageUri"): "the launch sets this field: set it with --image",
    (
        "AppSpecification",
        "ContainerEntrypoint",
    ): "it is the job's file in entrypoints/: remove it",
    (
        "AppSpecification",
        "ContainerArguments",
    ): "the options of the command line set them",
    (*_CLUSTER, "SelectedInstanceType"): _READ_ONLY,
    (*_CLUSTER, "SelectedInstanceCount"): _READ_ONLY,
}
"""Fields that cannot be set in the file, and what to do instead."""


def check(job: Job) -> None:
    """Check the tables of ``launch.toml`` that are merged into the request of a job.

    Raises:
        LaunchError: A field is unknown, has a wrong type, breaks a limit, or is set elsewhere.
    """
    for name in config.jobs_with_requests():
        if name not in jobs.names():
            advice = names.advice(name, jobs.names())
            raise LaunchError(
                f"{config.FILE}: job.{name}: there is no entrypoints/{name}.py{advice}"
            )
    for place, table in config.request_tables(job.name).items():
        _reject([(f"{place}.{limits.path_text(path)}", text) for path, text in _check(table, job)])


def check_complete(request: Request, job: Job) -> None:
    """Check the merged request for missing fields and for fields that exclude each other.

    Raises:
        LaunchError: A table of ``launch.toml`` is incomplete.
    """
    incomplete = [*limits.missing(_OPERATION, request), *_incomplete_items(request, job)]
    _reject([(_place(path, request, job), text) for path, text in incomplete])


def without_unused_channels(
    layer: Mapping[str, Any], job: Job, used: Iterable[str]
) -> dict[str, Any]:
    """Return a layer without the items of optional inputs that this launch does not have."""
    unused = {channel.name for channel in job.inputs} - set(used)
    kept = [item for item in layer.get("ProcessingInputs", []) if item["InputName"] not in unused]
    return {**layer, "ProcessingInputs": kept}


def _reject(problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        texts = [f"{place}: {text}" for place, text in problems]
        raise LaunchError(f"{config.FILE}: {'; '.join(texts)}")


def _check(table: Mapping[str, Any], job: Job) -> list[Problem]:
    """Return the problems of one table; later checks rely on the types that earlier ones check."""
    return (
        list(_secrets(table))
        or limits.problems(_OPERATION, table)
        or [*_determined(table, job), *_unnamed(table), *_reserved_tags(table), *_cluster(table)]
    )


def _secrets(table: Mapping[str, Any]) -> Iterator[Problem]:
    """Reject secrets, which do not belong in a committed file.

    Values that a secret's name can also have (an ARN, a number or a switch) are accepted.
    """
    environment = table.get("Environment")
    for key, value in environment.items() if isinstance(environment, dict) else ():
        harmless = str(value).startswith("arn:") or str(value).lower() in ("true", "false")
        if runtime.is_secret(key) and not harmless and not str(value).isdecimal():
            yield Problem(
                ("Environment", key),
                f"this file is committed, and the name is that of a secret: write --env {key}=…, "
                "or let the job read it from AWS Secrets Manager by its ARN",
            )


def _determined(table: Mapping[str, Any], job: Job) -> Iterator[Problem]:
    for path, advice in _DETERMINED.items():
        if _get(table, path) is not None:
            yield Problem(path, advice)
    for index, channel, item in _own_items(table, "ProcessingInputs", "InputName", job.inputs):
        place: Path = ("ProcessingInputs", index)
        address = f"set it with --{channel.option}, or below [inputs.{job.name}]"
        yield from _own_fields(item, (*place, "S3Input"), channel, job, address)
        if "DatasetDefinition" in item:
            text = f"--{channel.option} reads from S3: choose another InputName"
            yield Problem((*place, "DatasetDefinition"), text)
        if "S3DataType" in item.get("S3Input", {}):
            text = f"the launch sets this field: --{channel.option} takes a folder: remove it"
            yield Problem((*place, "S3Input", "S3DataType"), text)
    outputs = table.get("ProcessingOutputConfig", {})
    for index, channel, item in _own_items(outputs, "Outputs", "OutputName", job.outputs):
        place = ("ProcessingOutputConfig", "Outputs", index, "S3Output")
        yield from _own_fields(item, place, channel, job, f"set it with --{channel.option}")


def _own_items(
    table: Mapping[str, Any], field: str, key: str, channels: Sequence[Channel]
) -> Iterator[tuple[int, Channel, Mapping[str, Any]]]:
    """Yield the items that have the name of one of the job's own channels."""
    by_name = {channel.name: channel for channel in channels}
    for index, item in enumerate(table.get(field, [])):
        if channel := by_name.get(item.get(key, "")):
            yield index, channel, item


def _own_fields(
    item: Mapping[str, Any], place: Path, channel: Channel, job: Job, address: str
) -> Iterator[Problem]:
    folder = f"entrypoints/{job.name}.py sets it: the default of --{channel.option}"
    for name, advice in (("S3Uri", address), ("LocalPath", folder)):
        if name in item.get(str(place[-1]), {}):
            yield Problem((*place, name), f"the launch sets this field: {advice}")


def _unnamed(table: Mapping[str, Any]) -> Iterator[Problem]:
    """Reject items of named lists that have no name, or the name of another one."""
    outputs = table.get("ProcessingOutputConfig", {})
    for field, key in NAMES.items():
        path = ("ProcessingOutputConfig", field) if field == "Outputs" else (field,)
        items = (outputs if field == "Outputs" else table).get(field, [])
        counts = Counter(item.get(key) for item in items)
        for index, item in enumerate(items):
            if key not in item:
                yield Problem((*path, index), f"{key} is missing")
            elif counts[item[key]] > 1:
                yield Problem(
                    (*path, index, key), f"{item[key]!r} is there {counts[item[key]]} times"
                )


def _reserved_tags(table: Mapping[str, Any]) -> Iterator[Problem]:
    for index, tag in enumerate(table.get("Tags", [])):
        key = tag.get("Key", "")
        if key in _TAGS:
            yield Problem(
                ("Tags", index, "Key"), f"the launch sets the tag {key!r}: choose another key"
            )
        elif key.lower().startswith("aws:"):
            yield Problem(("Tags", index, "Key"), "AWS reserves keys that begin with aws:")


def _cluster(table: Mapping[str, Any]) -> Iterator[Problem]:
    """Reject a cluster whose instances are set twice or incompletely."""
    cluster = _get(table, _CLUSTER) or {}
    if "InstancePreferences" not in cluster:
        return
    preferences, path = cluster["InstancePreferences"], (*_CLUSTER, "InstancePreferences")
    if "InstanceType" in cluster:
        yield Problem(path, "this excludes InstanceType beside it: remove one of them")
    for index, each in enumerate(preferences):
        if "InstanceType" not in each:
            yield Problem((*path, index), "InstanceType is missing")
    types = Counter(each.get("InstanceType") for each in preferences)
    for twice in (name for name, count in types.items() if name and count > 1):
        yield Problem(path, f"{twice} is there {types[twice]} times")
    counted = sum("InstanceCount" in each for each in preferences)
    if counted and "InstanceCount" in cluster:
        yield Problem(path, "an InstanceCount in it excludes the one beside it: remove one of them")
    elif 0 < counted < len(preferences):
        yield Problem(path, "give each of them an InstanceCount, or none")


class _Item(NamedTuple):
    """An input or output of a request."""

    path: Path
    name: str
    content: Mapping[str, Any]
    kinds: tuple[str, str]
    """The fields of which it has one."""
    own: Sequence[str]
    """The names of the job's own inputs, or of its own outputs."""

    @property
    def is_own(self) -> bool:
        return self.name in self.own

    @property
    def folders(self) -> Mapping[Path, PurePosixPath]:
        """Its folder in the container, by the path of the field that names it."""
        return {
            (*self.path, kind, "LocalPath"): PurePosixPath(self.content[kind]["LocalPath"])
            for kind in self.kinds
            if "LocalPath" in self.content.get(kind, {})
        }


def _items(request: Request, job: Job) -> Iterator[_Item]:
    own = [channel.name for channel in job.inputs]
    for index, item in enumerate(request.get("ProcessingInputs", [])):
        path: Path = ("ProcessingInputs", index)
        yield _Item(path, item["InputName"], item, ("S3Input", "DatasetDefinition"), own)
    outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    for index, item in enumerate(outputs):
        path = ("ProcessingOutputConfig", "Outputs", index)
        kinds = ("S3Output", "FeatureStoreOutput")
        yield _Item(path, item["OutputName"], item, kinds, job.output_names)


def _incomplete_items(request: Request, job: Job) -> Iterator[Problem]:
    """Check inputs and outputs that are not channels of the job."""
    items = list(_items(request, job))
    for item in (item for item in items if not item.is_own):
        yield from _check_further(item, job)
        for other in (other for other in items if other is not item):
            yield from _check_apart(item, other)


def _check_further(item: _Item, job: Job) -> Iterator[Problem]:
    first, second = item.kinds
    unknown = (
        f"{job.name} has no channel {item.name!r}, only {', '.join(item.own) or '(none)'}: any "
        "other one needs"
    )
    if first in item.content and second in item.content:
        yield Problem(item.path, f"{first} and {second} exclude each other: remove one of them")
    elif first not in item.content and second not in item.content:
        yield Problem(item.path, f"{unknown} {first} or {second}")
    for kind in item.kinds:
        needs_folder = kind != "FeatureStoreOutput" and not item.content.get("AppManaged")
        if kind in item.content and needs_folder and "LocalPath" not in item.content[kind]:
            yield Problem((*item.path, kind), f"{unknown} LocalPath")
    for path, folder in item.folders.items():
        if not folder.is_relative_to(_ROOT):
            yield Problem(path, f"this must be a folder below {_ROOT}")


def _check_apart(item: _Item, other: _Item) -> Iterator[Problem]:
    """Reject a folder that contains, or is in, the folder of another input or output."""
    for path, folder in item.folders.items():
        for its_folder in other.folders.values():
            if folder.is_relative_to(its_folder) or its_folder.is_relative_to(folder):
                yield Problem(path, f"{folder} and {its_folder}, of {other.name}, are not apart")


def _place(path: Path, request: Request, job: Job) -> str:
    """Return the path in ``launch.toml`` of a part of a request, in the highest table with it."""
    for place, table in reversed(list(config.request_tables(job.name).items())):
        if (found := _find(path, request, table)) is not None:
            return ".".join(filter(None, [place, limits.path_text(found)]))
    return limits.path_text(path)


def _find(path: Path, request: Any, table: Any) -> Path | None:
    """Return the path in a table of a part of the request; items are found by their names."""
    found: list[str | int] = []
    for part in path:
        request = request[part]
        if isinstance(part, int):
            name = next(key for key in NAMES.values() if key in request)
            indexes = [index for index, each in enumerate(table) if each[name] == request[name]]
            if not indexes:
                return None
            part = indexes[0]
        elif part not in table:
            return None
        table = table[part]
        found.append(part)
    return tuple(found)


def _get(table: Any, path: Path) -> Any:
    for part in path:
        table = table.get(part) if isinstance(table, Mapping) else None
    return table
