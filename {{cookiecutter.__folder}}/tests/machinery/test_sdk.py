"""A job as a ``Processor``. The SDK is not installed by default, so its classes are stubs here.

The template compares what the real SDK sends with what ``launch`` sends.
"""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import launch
from aws_faults import BUCKET, Faults
from launch import LaunchError
from launch.aws import clients
from launch.requests import request
from launch.run import Request
from launch.settings.project import SetupError
from small_pipeline import edit_table

EXTRA: dict[str, Any] = {
    "NetworkConfig": {
        "EnableNetworkIsolation": True,
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
    },
    "ExperimentConfig": {"TrialComponentDisplayName": "name"},
}


class Stub:
    """A class of the SDK that keeps its arguments."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of the SDK that launch imports."""
    modules = {
        "sagemaker": [],
        "sagemaker.core": [],
        "sagemaker.core.helper": [],
        "sagemaker.core.helper.session_helper": ["Session"],
        "sagemaker.core.network": ["NetworkConfig"],
        "sagemaker.core.processing": ["Processor"],
        "sagemaker.core.shapes": [
            *("ProcessingInput", "ProcessingOutput", "ProcessingS3Input", "ProcessingS3Output"),
        ],
    }
    for name, classes in modules.items():
        module = ModuleType(name)
        for each in classes:
            setattr(module, each, Stub)
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests that are made, with fields that no option sets."""
    made: list[Request] = []
    prepare = request.prepare

    def prepare_with_extra(parsed: Any) -> Request:
        made.append(prepare(parsed) | EXTRA)
        made[-1]["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] = "disk-key"
        made[-1]["ProcessingOutputConfig"]["KmsKeyId"] = "output-key"
        return made[-1]

    monkeypatch.setattr(request, "prepare", prepare_with_extra)
    return made


def processor(root: Path, **options: Any) -> tuple[Stub, dict[str, Any]]:
    return launch.processor("make_data", input_path=root / "raw", image="image", **options)


def keys() -> list[str]:
    found = clients.client("s3").list_objects_v2(Bucket=BUCKET)
    return [item["Key"] for item in found.get("Contents", [])]


@pytest.mark.usefixtures("sdk")
def test_a_processor_is_made_from_the_request(
    account: Faults, prepared: list[Request], small_pipeline: Path
) -> None:
    made, run = processor(
        small_pipeline, seed=3, env={"A": "b"}, instance_count=2, shard=["input_path"]
    )
    (expected,) = prepared
    session, network = made.arguments.pop("sagemaker_session"), made.arguments.pop("network_config")
    assert made.arguments == {
        "role": expected["RoleArn"],
        "image_uri": "image",
        "entrypoint": ["python", "-u", "entrypoints/make_data.py"],
        "instance_type": "ml.m5.xlarge",
        "instance_count": 2,
        "instance_preferences": None,
        "volume_size_in_gb": 30,
        "volume_kms_key": "disk-key",
        "output_kms_key": "output-key",
        "max_runtime_in_seconds": 86400,
        "env": {"A": "b"},
        "tags": expected["Tags"],
    }
    assert network.arguments == {
        "enable_network_isolation": True,
        "encrypt_inter_container_traffic": None,
        "security_group_ids": ["sg-1"],
        "subnets": ["subnet-1"],
    }
    assert session.arguments["default_bucket"] == BUCKET
    (opted_out,) = session.arguments["sagemaker_config"]["SageMaker"]["PythonSDK"].values()
    assert opted_out == {"TelemetryOptOut": True}
    assert run["job_name"] == expected["ProcessingJobName"]
    assert run["arguments"] == ["--seed=3"]
    assert run["experiment_config"] == EXTRA["ExperimentConfig"]
    (source,) = [item.arguments["s3_input"].arguments for item in run["inputs"]]
    assert source == {
        "s3_uri": expected["ProcessingInputs"][0]["S3Input"]["S3Uri"],
        "local_path": "/opt/ml/processing/input/raw",
        "s3_data_type": "S3Prefix",
        "s3_input_mode": "File",
        "s3_data_distribution_type": "ShardedByS3Key",
        "s3_compression_type": "None",
    }
    (target,) = [item.arguments["s3_output"].arguments for item in run["outputs"]]
    assert target["s3_upload_mode"] == "EndOfJob"
    assert not account.calls["CreateProcessingJob"]


@pytest.mark.usefixtures("sdk", "account")
def test_a_processor_has_what_the_table_says(small_pipeline: Path) -> None:
    types = "[{InstanceType = 'ml.m5.large'}, {InstanceType = 'ml.c5.xlarge'}]"
    text = f"[request.ProcessingResources.ClusterConfig]\nInstancePreferences = {types}\n"
    text += '[[request.Tags]]\nKey = "team"\nValue = "1"\n[request.ProcessingOutputConfig]\n'
    text += 'KmsKeyId = "key"\n[metric]'
    edit_table(small_pipeline, "[metric]", text)
    made, _ = processor(small_pipeline)
    assert (made.arguments["instance_type"], made.arguments["instance_count"]) == (None, None)
    assert made.arguments["instance_preferences"] == [
        {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
    ]
    assert made.arguments["output_kms_key"] == "key"
    assert {"Key": "team", "Value": "1"} in made.arguments["tags"]


@pytest.mark.usefixtures("sdk")
def test_what_the_sdk_does_not_send_is_rejected(account: Faults, small_pipeline: Path) -> None:
    query = ["Catalog = 'c'", "Database = 'd'", "QueryString = 'q'", "OutputFormat = 'PARQUET'"]
    definition = ["OutputS3Uri = 's3://b/x'", *query]
    text = "[[request.ProcessingInputs]]\nInputName = 'query'\n[request.ProcessingInputs."
    text += "DatasetDefinition]\nLocalPath = '/opt/ml/processing/input/query'\n"
    text += "AthenaDatasetDefinition = {" + ", ".join(definition) + "}\n[metric]"
    edit_table(small_pipeline, "[metric]", text)
    with pytest.raises(LaunchError, match="does not send DatasetDefinition"):
        processor(small_pipeline)
    assert keys() == []
    assert not account.calls["PutObject"]


@pytest.mark.usefixtures("sdk", "account")
def test_options_and_inputs_are_those_of_every_launch(small_pipeline: Path) -> None:
    edit_table(small_pipeline, "[metric]", '[inputs.make_data]\ninput_path = "raw"\n[metric]')
    _, run = launch.processor("make_data", image="image", rows={"a": [1, None]}, strict=False)
    word, flag = run["arguments"]
    assert json.loads(word.removeprefix("--rows=")) == {"a": [1, None]}
    assert flag == "--no-strict"
    (source,) = [item.arguments["s3_input"].arguments["s3_uri"] for item in run["inputs"]]
    assert [key for key in keys() if f"s3://{BUCKET}/{key}" == f"{source}a.csv"]


@pytest.mark.usefixtures("sdk", "account")
def test_inputs_are_stored_and_outputs_claimed(small_pipeline: Path) -> None:
    made, run = processor(small_pipeline)
    assert made.arguments["network_config"] is None
    address = run["inputs"][0].arguments["s3_input"].arguments["s3_uri"]
    stored = [key for key in keys() if f"s3://{BUCKET}/{key}".startswith(address)]
    assert [key.rpartition("/")[2] for key in stored] == ["a.csv", "b.csv"]
    mine = f"s3://{BUCKET}/mine"
    processor(small_pipeline, output_path=mine)
    with pytest.raises(LaunchError, match="mine"):
        processor(small_pipeline, output_path=mine)


@pytest.mark.usefixtures("sdk", "account")
@pytest.mark.parametrize(
    ("options", "message"),
    [({"backend": "docker"}, "argument backend"), ({"wait": False}, "argument wait")],
    ids=["backend", "wait"],
)
def test_options_of_a_launch_are_rejected(
    small_pipeline: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(LaunchError, match=message):
        processor(small_pipeline, **options)


def test_a_missing_sdk_is_reported(small_pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sagemaker.core.processing", None)
    with pytest.raises(SetupError, match="make install"):
        processor(small_pipeline)
