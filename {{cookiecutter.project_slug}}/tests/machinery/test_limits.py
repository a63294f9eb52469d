"""The limits of the API are read from the service model of the installed botocore."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from launch import LaunchError, limits

JOB = "CreateProcessingJob"


def shapes(shape: Any) -> Iterator[Any]:
    """Yield a shape of the model and all below it."""
    yield shape
    members: list[Any] = []
    match shape.type_name:
        case "structure":
            members = list(shape.members.values())
        case "list":
            members = [shape.member]
        case "map":
            members = [shape.key, shape.value]
    for member in members:
        yield from shapes(member)


def test_every_pattern_of_the_model_is_one_of_python() -> None:
    patterns = [
        each.metadata["pattern"]
        for each in shapes(limits._model().operation_model(JOB).input_shape)
        if "pattern" in each.metadata
    ]
    assert patterns
    for pattern in patterns:
        re.compile(limits._to_python(pattern))


@pytest.mark.parametrize(
    ("request_part", "path", "text"),
    [
        ({"Tags": [{"Key": "k", "Value": "v" * 257}]}, ("Tags", 0, "Value"), "257 characters"),
        ({"Tagss": []}, ("Tagss",), "did you mean Tags?"),
        ({"Environment": {"A": None}}, ("Environment", "A"), "text in quotes"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": True}}, None, "whole number"),
        ({"Environment": ["A"]}, ("Environment",), "table"),
    ],
)
def test_a_problem_has_a_path(
    request_part: dict[str, Any], path: tuple[str | int, ...] | None, text: str
) -> None:
    (problem,) = limits.problems(JOB, request_part)
    assert text in problem.text
    assert path is None or problem.path == path
    with pytest.raises(LaunchError) as error:
        limits.check(JOB, request_part)
    assert limits.path_text(problem.path) in str(error.value)


def test_a_part_of_a_request_may_lack_fields() -> None:
    part = {"ProcessingJobName": "name", "NetworkConfig": {"VpcConfig": {"Subnets": ["s"]}}}
    limits.check(JOB, part)
    missing = {(limits.path_text(path), text) for path, text in limits.missing(JOB, part)}
    assert ("NetworkConfig.VpcConfig", "SecurityGroupIds is missing") in missing
    assert ("", "RoleArn is missing") in missing
