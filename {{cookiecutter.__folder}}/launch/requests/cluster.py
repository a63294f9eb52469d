"""The instances of a job, as its request describes them."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..run import Request
from ..settings.merge import merge

DEFAULTS: Request = {
    "ProcessingResources": {
        "ClusterConfig": {
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 1,
            "VolumeSizeInGB": 30,
        }
    },
    "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
}
"""The defaults of a job, unless ``launch.toml`` or the command line sets them."""

_CLUSTER = ("ProcessingResources", "ClusterConfig")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "instance_type": (*_CLUSTER, "InstanceType"),
    "instance_count": (*_CLUSTER, "InstanceCount"),
    "volume_size_in_gb": (*_CLUSTER, "VolumeSizeInGB"),
    "max_runtime_in_seconds": ("StoppingCondition", "MaxRuntimeInSeconds"),
}
"""The fields of a request that options of the launch set."""


def option_defaults(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the options of ``OPTIONS`` have if they are not typed.

    Args:
        file: The fields of ``launch.toml`` for the job: see ``config.request``. They need not
            be             valid: a value of a wrong type, which ``field_checks.check`` reports,
            counts as missing.
    """
    made = merge(DEFAULTS, file)
    defaults = {option: _get(DEFAULTS, path) for option, path in OPTIONS.items()}
    for option, path in OPTIONS.items():
        value = _get(made, path)
        if type(value) is type(defaults[option]):
            defaults[option] = value
    preferences = _get(made, (*_CLUSTER, "InstancePreferences"))
    with suppress(AttributeError, IndexError, KeyError, TypeError):
        defaults["instance_type"] = ",".join(each["InstanceType"] for each in preferences)
        defaults["instance_count"] = int(preferences[0]["InstanceCount"])
    return defaults


def layer(values: Mapping[str, Any]) -> Request:
    """Return options as fields of a request; ``instance_type`` may be several, with commas."""
    request: Request = {}
    for option, value in values.items():
        *tables, field = OPTIONS[option]
        table = request
        for name in tables:
            table = table.setdefault(name, {})
        types = str(value).split(",")
        if option == "instance_type" and len(types) > 1:
            field, value = "InstancePreferences", [{"InstanceType": name} for name in types]
        table[field] = value
    return request


def settle(request: Request) -> None:
    """Write the number of instances beside each instance type, the one form that others read."""
    cluster = request["ProcessingResources"]["ClusterConfig"]
    count = cluster.pop("InstanceCount", 1)
    for each in cluster.get("InstancePreferences", [cluster]):
        each.setdefault("InstanceCount", count)


def instance_types(request: Mapping[str, Any]) -> list[str]:
    """Return the instance types of a request, in order of preference."""
    return [str(each["InstanceType"]) for each in _instances(request)]


def instance_count(request: Mapping[str, Any]) -> int:
    """Return the number of instances of a request; of several types, that of the first."""
    return int(_instances(request)[0]["InstanceCount"])


def host_count(description: Mapping[str, Any]) -> int:
    """Return the number of instances of a job by its description.

    Until SageMaker has selected one of several types, it is the largest that the job may get.
    """
    found = _get(description, _CLUSTER) or {}
    offered = offers(description)
    selected_type = str(found.get("SelectedInstanceType"))
    selected = found.get("SelectedInstanceCount") or offered.get(selected_type)
    return int(selected or max(offered.values(), default=1))


def offers(request: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of instances of each type, in order of preference.

    Unlike the other functions, this one also accepts incomplete descriptions from SageMaker.
    """
    cluster = _get(request, _CLUSTER) or {}
    return {
        str(each["InstanceType"]): int(each.get("InstanceCount", cluster.get("InstanceCount", 1)))
        for each in cluster.get("InstancePreferences") or [cluster]
        if "InstanceType" in each
    }


def to_options(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of ``OPTIONS`` that result in a request or in a job's description.

    Types with different numbers of instances have no options, and are left out with their numbers.
    """
    values = {option: _get(request, path) for option, path in OPTIONS.items()}
    offered = offers(request)
    if offered:
        values["instance_type"] = ",".join(offered)
        values["instance_count"] = max(offered.values())
    if has_several_counts(request):
        values["instance_type"] = values["instance_count"] = None
    return {option: value for option, value in values.items() if value is not None}


def has_several_counts(request: Mapping[str, Any]) -> bool:
    """Return whether the number of instances depends on their type."""
    return len(set(offers(request).values())) > 1


def describe(request: Mapping[str, Any]) -> str:
    """Return the instances of a request as text: ``4 x ml.m5.large or 2 x ml.c5.xlarge``."""
    return " or ".join(f"{count} x {name}" for name, count in offers(request).items())


def sharded_inputs(request: Mapping[str, Any]) -> set[str]:
    """Return the names of the inputs whose files are distributed over the instances."""
    return {
        item["InputName"]
        for item in request.get("ProcessingInputs", [])
        if item.get("S3Input", {}).get("S3DataDistributionType") == "ShardedByS3Key"
    }


def _instances(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    cluster = _get(request, _CLUSTER)
    preferences: list[dict[str, Any]] = cluster.get("InstancePreferences", [cluster])
    return preferences


def _get(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
