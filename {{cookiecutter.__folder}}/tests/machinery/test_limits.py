"""The limits of the API are read from the service model of the installed botocore."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from launch import LaunchError
from launch.aws import limits, service_model
from launch.settings import project

JOB = "CreateProcessingJob"


OPERATIONS = [JOB, "CreatePipeline"]


def shapes(shape: Any) -> Iterator[Any]:
    """Yield a shape of the model and all below it, which launch and botocore name alike."""
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


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which what was read of the model is kept, empty at first."""
    monkeypatch.setattr(project, "OUT", tmp_path)
    service_model.input_shape.cache_clear()
    yield tmp_path / ".cache" / "api"
    service_model.input_shape.cache_clear()


def read(operation: str) -> list[service_model.Shape]:
    """Read the shapes of an operation as a new process does."""
    service_model.input_shape.cache_clear()
    return list(shapes(service_model.input_shape(operation)))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_types_and_limits_are_those_of_botocore(operation: str, kept: Path) -> None:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    service = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
    theirs = list(shapes(service.operation_model(operation).input_shape))
    for ours in (read(operation), read(operation)):  # from botocore, and from what was kept
        for own, their in zip(ours, theirs, strict=True):
            assert own.type_name == their.type_name
            for limit in ("min", "max", "pattern", "enum"):
                assert own.traits.get(limit) == their.metadata.get(limit)
            if their.type_name == "structure":
                assert list(own.members) == list(their.members)
                assert own.required_members == their.required_members
    assert len(list(kept.iterdir())) == 1


def test_another_botocore_is_read_again(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = {"type": "structure", "members": {"Name": {"shape": "Text"}}}
    for limit in (3, 44):
        described = {
            "operations": {JOB: {"input": {"shape": "Input"}}},
            "shapes": {"Input": shape, "Text": {"type": "string", "max": limit}},
        }
        file = tmp_path / "botocore" / "data" / "sagemaker" / "2017-07-24" / "service-2.json.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(json.dumps(described).encode()))
        (tmp_path / "botocore" / "__init__.py").touch()
        monkeypatch.setattr(
            service_model, "find_spec", lambda _: Spec([str(tmp_path / "botocore")])
        )
        assert [each.traits.get("max") for each in read(JOB)] == [None, limit]
    assert len(list(kept.iterdir())) == 2


class Spec(NamedTuple):
    """Where a package is."""

    submodule_search_locations: list[str]


def test_an_extract_that_cannot_be_kept_or_read_is_made_again(kept: Path) -> None:
    expected = len(read(JOB))
    (file,) = kept.iterdir()
    for content in ("", "{}", '{"input": "x", "shapes": {}}'):
        file.write_text(content)
        assert len(read(JOB)) == expected
    file.unlink()
    kept.rmdir()
    kept.write_text("a file where the folder should be")
    assert len(read(JOB)) == expected


def test_every_pattern_of_the_model_is_one_of_python() -> None:
    found = [each.traits["pattern"] for each in read(JOB) if "pattern" in each.traits]
    assert found
    for pattern in found:
        re.compile(limits._to_python(pattern))


def test_an_unknown_name_is_unknown_to_the_installed_botocore() -> None:
    cluster = {"InstanceType": "ml.zz99.huge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    (problem,) = limits.problems(JOB, {"ProcessingResources": {"ClusterConfig": cluster}})
    assert "installed botocore does not know 'ml.zz99.huge'" in problem.text
    assert "`make upgrade`" in problem.text


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
