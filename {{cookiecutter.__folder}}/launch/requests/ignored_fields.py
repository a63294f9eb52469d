"""Lists the fields of ``launch.toml`` that have no effect on the backends of this machine."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..settings import config
from .jobs import Job

_CLUSTER = ("ProcessingResources", "ClusterConfig")
_LOCAL: Sequence[tuple[str, ...]] = [
    ("Environment",),
    ("StoppingCondition",),
    (*_CLUSTER, "InstanceCount"),
    (*_CLUSTER, "InstancePreferences", "*", "InstanceCount"),
    ("ProcessingInputs", "*", "InputName"),
    ("ProcessingInputs", "*", "S3Input", "S3DataDistributionType"),
]
_FIELDS: Mapping[str, Sequence[tuple[str, ...]]] = {
    "local": _LOCAL,
    # A type with GPUs gives those of this machine to the containers.
    "docker": [*_LOCAL, (*_CLUSTER, "InstanceType"), (*_CLUSTER, "InstancePreferences")],
}
"""The fields of a request that a backend emulates; ``*`` is each item of a list."""


def ignored(job: Job, backend: str) -> list[str]:
    """Return the paths in ``launch.toml`` that a backend ignores for a job; SageMaker ignores none.

    Raises:
        LaunchError: ``launch.toml`` cannot be read.
    """
    if backend not in _FIELDS:
        return []
    own = {channel.name for channel in job.inputs}
    return [
        path
        for place, table in config.request_tables(job.name).items()
        for path in _ignored(table, (), place, _FIELDS[backend], own)
    ]


def _ignored(
    value: Any,
    path: tuple[str, ...],
    shown: str,
    emulated: Sequence[tuple[str, ...]],
    own: set[str],
) -> Iterator[str]:
    """Yield the outermost tables and fields that contain no emulated field.

    Args:
        value: A part of a table that ``field_checks.check`` has accepted.
        path: Where it is, with ``*`` for each item of a list.
        shown: Where it is in ``launch.toml``.
        emulated: The paths of the fields that the backend emulates.
        own: The names of the job's own inputs; other ones do not exist on this machine.
    """
    if path in emulated:
        return
    further = path == ("ProcessingInputs", "*") and value["InputName"] not in own
    if further or not any(each[: len(path)] == path for each in emulated):
        yield shown
        return
    items = (
        [("*", f"{shown}[{index}]", item) for index, item in enumerate(value)]
        if isinstance(value, list)
        else [(key, f"{shown}.{key}", item) for key, item in value.items()]
    )
    for key, place, item in items:
        yield from _ignored(item, (*path, key), place, emulated, own)
