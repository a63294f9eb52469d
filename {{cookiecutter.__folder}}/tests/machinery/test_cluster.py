"""The instances of a job, in the table, in the options and in the request."""

from typing import Any

import pytest

from launch.aws import limits
from launch.requests import cluster


def request(**fields: Any) -> dict[str, Any]:
    return {"ProcessingResources": {"ClusterConfig": fields}}


def test_one_type_has_a_count() -> None:
    made = request(InstanceType="a")
    cluster.settle(made)
    assert made == request(InstanceType="a", InstanceCount=1)
    assert (cluster.instance_types(made), cluster.instance_count(made)) == (["a"], 1)


def test_one_count_for_several_types_is_that_of_each() -> None:
    made = request(InstancePreferences=[{"InstanceType": "a"}, {"InstanceType": "b"}])
    made["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = 3
    cluster.settle(made)
    assert made == request(
        InstancePreferences=[
            {"InstanceType": "a", "InstanceCount": 3},
            {"InstanceType": "b", "InstanceCount": 3},
        ]
    )
    assert (cluster.instance_types(made), cluster.instance_count(made)) == (["a", "b"], 3)


def test_options_become_fields() -> None:
    made = cluster.layer({"instance_type": "a", "max_runtime_in_seconds": 5})
    assert made == {**request(InstanceType="a"), "StoppingCondition": {"MaxRuntimeInSeconds": 5}}
    preferences = [{"InstanceType": "a"}, {"InstanceType": "b"}]
    assert cluster.layer({"instance_type": "a,b"}) == request(InstancePreferences=preferences)
    assert cluster.layer({}) == {}


def test_the_fields_of_options_are_fields_of_the_api() -> None:
    """The installed botocore knows them, and those of several types."""
    types = "ml.m5.large,ml.c5.xlarge"
    values = {"instance_count": 1, "volume_size_in_gb": 1, "max_runtime_in_seconds": 1}
    for instance_type in ("ml.m5.large", types):
        made = cluster.layer({**values, "instance_type": instance_type})
        assert not limits.problems("CreateProcessingJob", made)
    assert values.keys() | {"instance_type"} == cluster.OPTIONS.keys()


def test_the_table_sets_the_defaults_of_options() -> None:
    built_in = cluster.option_defaults({})
    assert built_in.keys() == cluster.OPTIONS.keys()
    assert built_in["instance_count"] == 1
    file = request(InstanceType="a", InstanceCount=4)
    assert cluster.option_defaults(file) == {
        **built_in,
        "instance_type": "a",
        "instance_count": 4,
    }
    preferences = [{"InstanceType": "a", "InstanceCount": 2}, {"InstanceType": "b"}]
    several = cluster.option_defaults(request(InstancePreferences=preferences))
    assert (several["instance_type"], several["instance_count"]) == ("a,b", 2)


@pytest.mark.parametrize(
    "file",
    [
        {"ProcessingResources": 1},
        {"ProcessingResources": {"ClusterConfig": "x"}},
        {"StoppingCondition": [1]},
        request(InstanceType=3, InstanceCount="2", VolumeSizeInGB=True),
        request(InstancePreferences=1),
        request(InstancePreferences=[]),
        request(InstancePreferences=["a"]),
        request(InstancePreferences=[{"InstanceType": 1, "InstanceCount": "x"}]),
    ],
)
def test_a_wrong_table_leaves_the_defaults_of_options(file: dict[str, Any]) -> None:
    assert cluster.option_defaults(file)["instance_count"] == 1
    assert isinstance(cluster.option_defaults(file)["instance_type"], str)


def test_sharded_inputs_are_those_of_the_request() -> None:
    items = [
        {"InputName": "a", "S3Input": {"S3DataDistributionType": "ShardedByS3Key"}},
        {"InputName": "b", "S3Input": {"S3DataDistributionType": "FullyReplicated"}},
        {"InputName": "c", "DatasetDefinition": {}},
    ]
    assert cluster.sharded_inputs({"ProcessingInputs": items}) == {"a"}
    assert cluster.sharded_inputs({}) == set()


def test_instances_become_options_again() -> None:
    several = request(InstancePreferences=[{"InstanceType": "a"}, {"InstanceType": "b"}])
    several["ProcessingResources"]["ClusterConfig"] |= {"InstanceCount": 4, "VolumeSizeInGB": 50}
    options = {"instance_type": "a,b", "instance_count": 4, "volume_size_in_gb": 50}
    assert cluster.to_options(several) == options
    cluster.settle(several)
    assert cluster.to_options(several) == options
    one = {**request(InstanceType="a"), "StoppingCondition": {"MaxRuntimeInSeconds": 5}}
    options = {"instance_type": "a", "instance_count": 1, "max_runtime_in_seconds": 5}
    assert cluster.to_options(one) == options
    assert cluster.to_options({}) == {}


def test_a_count_for_each_type_has_no_options() -> None:
    preferences = [
        {"InstanceType": "a", "InstanceCount": 4},
        {"InstanceType": "b", "InstanceCount": 2},
    ]
    made = request(InstancePreferences=preferences, VolumeSizeInGB=50)
    assert cluster.has_several_counts(made)
    assert cluster.to_options(made) == {"volume_size_in_gb": 50}
    assert cluster.describe(made) == "4 x a or 2 x b"


@pytest.mark.parametrize(
    ("described", "count"),
    [
        ({}, 1),
        ({"InstanceType": "a", "InstanceCount": 3}, 3),
        ({"InstanceCount": 2, "InstancePreferences": [{"InstanceType": "a"}]}, 2),
        ({"SelectedInstanceType": "a"}, 2),
        ({"SelectedInstanceType": "b"}, 5),
        ({"SelectedInstanceType": "b", "SelectedInstanceCount": 4}, 4),
        ({"SelectedInstanceType": "unknown"}, 5),
    ],
)
def test_the_number_of_hosts_is_that_of_the_selected_type(
    described: dict[str, Any], count: int
) -> None:
    preferences = [
        {"InstanceType": "a", "InstanceCount": 2},
        {"InstanceType": "b", "InstanceCount": 5},
    ]
    if described.keys() & {"SelectedInstanceType"}:
        described = {"InstancePreferences": preferences, **described}
    description = {"ProcessingResources": {"ClusterConfig": described}}
    assert cluster.host_count(description) == count
