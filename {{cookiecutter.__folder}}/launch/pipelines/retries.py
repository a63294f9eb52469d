"""When SageMaker starts the job of a pipeline's step again, as ``RetryPolicies`` of the step.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html lists the exceptions and
the limits, which are not in any service model.

A job that is started again writes to the addresses of the first one, where nobody else writes. The
first job has left nothing there or a part of its files. The second one writes them again under the
same keys, its record last, and readers compare what they find with that record.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..settings import config, names
from ..settings.project import LaunchError

Policy = dict[str, Any]
"""A retry policy, with the fields of a pipeline's definition."""

_DEFAULTS: Sequence[Policy] = (
    # The call that creates the job failed, so no job has run.
    {
        "ExceptionType": ["Step.SERVICE_FAULT", "Step.THROTTLING"],
        "IntervalSeconds": 10,
        "BackoffRate": 2.0,
        "MaxAttempts": 6,
    },
    # There were no instances of this type. The last attempt is made about an hour after the first.
    {
        "ExceptionType": ["SageMaker.CAPACITY_ERROR"],
        "IntervalSeconds": 60,
        "BackoffRate": 2.0,
        "MaxAttempts": 6,
    },
    # The job may have run, and cost money, for hours before an instance failed.
    {
        "ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"],
        "IntervalSeconds": 60,
        "BackoffRate": 2.0,
        "MaxAttempts": 2,
    },
)

_EXCEPTIONS = (
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
)
_LIMITS = {"IntervalSeconds": 43_200, "MaxAttempts": 20, "ExpireAfterMin": 14_400}
"""The largest integer that a field takes; the smallest is 0."""
_FIELDS = ("ExceptionType", "IntervalSeconds", "BackoffRate", "MaxAttempts", "ExpireAfterMin")


def policies() -> list[Policy]:
    """Return the policies of every step: those of ``launch.toml``, or else the defaults.

    The defaults do not retry ``SageMaker.RESOURCE_LIMIT``: a quota that is too small does not grow
    while a pipeline waits.

    Raises:
        LaunchError: ``launch.toml`` cannot be read, or a policy is not one that SageMaker accepts.
    """
    configured = config.retries()
    if configured is None:
        return copy.deepcopy(list(_DEFAULTS))
    places: dict[str, str] = {}
    for index, policy in enumerate(configured):
        _check(policy, f"pipeline.retries[{index}]", places)
    return [dict(policy) for policy in configured]


def _check(policy: Mapping[str, Any], place: str, places: dict[str, str]) -> None:
    """Check a policy.

    Args:
        policy: The policy.
        place: Where it is in ``launch.toml``.
        places: The place of each exception in other policies; those of this policy are added.
    """
    for field, value in policy.items():
        if field not in _FIELDS:
            advice = names.advice(field, _FIELDS)
            raise LaunchError(f"{config.FILE}: there is no {place}.{field}{advice}")
        if problem := _problem(field, value):
            raise LaunchError(f"{config.FILE}: {place}.{field}: {value!r} {problem}")
    if "ExceptionType" not in policy:
        listed = ", ".join(_EXCEPTIONS)
        raise LaunchError(f"{config.FILE}: {place} needs ExceptionType, a list of {listed}")
    _check_exceptions(policy["ExceptionType"], place, places)
    if {"MaxAttempts", "ExpireAfterMin"} <= policy.keys():
        raise LaunchError(
            f"{config.FILE}: {place} has both MaxAttempts and ExpireAfterMin, of which SageMaker "
            "accepts one: remove the other"
        )


def _problem(field: str, value: Any) -> str:
    """Return the problem with the value of a field; empty if it is valid."""
    if field == "ExceptionType":
        is_list = isinstance(value, list) and bool(value)
        return "" if is_list else f"is not a list such as {list(_EXCEPTIONS[:2])}"
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if field in _LIMITS:
        largest = _LIMITS[field]
        is_right = is_integer and 0 <= value <= largest
        return "" if is_right else f"is not a whole number from 0 to {largest}"
    is_right = (is_integer or isinstance(value, float)) and 0 <= value < math.inf
    return "" if is_right else "is not a number from 0 on"


def _check_exceptions(listed: Sequence[Any], place: str, places: dict[str, str]) -> None:
    where = f"{config.FILE}: {place}.ExceptionType"
    for name in listed:
        if name not in _EXCEPTIONS:
            advice = names.advice(str(name), _EXCEPTIONS)
            raise LaunchError(f"{where}: there is no {name!r}{advice}")
        if name in places:
            raise LaunchError(f"{where}: {name} is in {places[name]}, too: list it once")
        places[name] = place
