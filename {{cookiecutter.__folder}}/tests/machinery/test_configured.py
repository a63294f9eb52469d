"""What ``launch.toml`` may add to a request, and how the rest is rejected."""

import datetime
import re
from pathlib import Path
from typing import Any

import pytest

from launch import LaunchError
from launch.pipelines import pipeline
from launch.requests import ignored_fields, jobs, request
from launch.requests.options import parse
from launch.settings import config, project
from probe import WITHOUT_OUTPUTS
from repositories import REPOSITORY

VPC = """
[request.NetworkConfig.VpcConfig]
SecurityGroupIds = ["sg-1"]
Subnets = ["subnet-1"]
"""
KEY = '[request.ProcessingOutputConfig]\nKmsKeyId = "arn:aws:kms:eu-west-1:123456789012:key/1"\n'
DATASET = """
[[request.ProcessingInputs]]
InputName = "query"
[request.ProcessingInputs.DatasetDefinition]
LocalPath = "/opt/ml/processing/input/query"
[request.ProcessingInputs.DatasetDefinition.AthenaDatasetDefinition]
Catalog = "AwsDataCatalog"
Database = "lake"
QueryString = "SELECT 1"
OutputS3Uri = "s3://lake/results/"
OutputFormat = "PARQUET"
"""


@pytest.fixture
def table(small_project: Path) -> Path:
    (small_project / "entrypoints" / "quiet.py").write_text(WITHOUT_OUTPUTS)
    return small_project / "launch.toml"


def prepare(table: Path, *words: str, job: str = "probe") -> dict[str, Any]:
    data = str(table.parent / "data")
    return request.prepare(parse(jobs.read(job), ["--input_path", data, *words]))


def rejection(table: Path, text: str, *words: str, job: str = "probe") -> str:
    table.write_text(text)
    with pytest.raises(LaunchError) as caught:
        prepare(table, *words, job=job)
    message = str(caught.value)
    assert message.startswith("launch.toml: ")
    return message.removeprefix("launch.toml: ")


def cluster_of(made: dict[str, Any]) -> dict[str, Any]:
    cluster: dict[str, Any] = made["ProcessingResources"]["ClusterConfig"]
    return cluster


def tags(made: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in made["Tags"]}


def test_the_tables_of_all_jobs_and_of_one_are_merged_into_the_request(table: Path) -> None:
    text = VPC + KEY
    text += '[request.Environment]\nSTAGE = "test"\nLEVEL = "low"\n'
    text += '[[request.Tags]]\nKey = "team"\nValue = "all"\n'
    text += '[[request.Tags]]\nKey = "cost-centre"\nValue = "1"\n'
    text += '[[job.probe.Tags]]\nKey = "team"\nValue = "one"\n'
    text += '[job.probe.ProcessingResources.ClusterConfig]\nInstanceType = "ml.c5.xlarge"\n'
    text += 'InstanceCount = 2\nVolumeKmsKeyId = "disk"\n[job.probe.Environment]\nLEVEL = "high"\n'
    text += "[job.quiet.StoppingCondition]\nMaxRuntimeInSeconds = 5\n"
    table.write_text(text)
    made = prepare(table)
    vpc = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
    assert made["NetworkConfig"] == {"VpcConfig": vpc}
    assert made["ProcessingOutputConfig"]["KmsKeyId"].endswith("key/1")
    assert [item["OutputName"] for item in made["ProcessingOutputConfig"]["Outputs"]] == ["seen"]
    assert made["Environment"] == {"STAGE": "test", "LEVEL": "high"}
    assert tags(made) | {"commit": "", "run": ""} == {
        **{"project": "small", "job": "probe", "commit": "", "run": ""},
        **{"team": "one", "cost-centre": "1"},
    }
    assert cluster_of(made) == {
        "InstanceType": "ml.c5.xlarge",
        "InstanceCount": 2,
        "VolumeSizeInGB": 30,
        "VolumeKmsKeyId": "disk",
    }
    assert made["StoppingCondition"]["MaxRuntimeInSeconds"] == 86400


def test_the_command_line_has_precedence_if_it_was_typed(table: Path) -> None:
    table.write_text(
        "[request.ProcessingResources.ClusterConfig]\n"
        'InstanceType = "ml.c5.xlarge"\nInstanceCount = 2\nVolumeSizeInGB = 50\n'
        "[request.StoppingCondition]\nMaxRuntimeInSeconds = 60\n"
        '[request.Environment]\nA = "file"\nB = "file"\n'
    )
    assert cluster_of(prepare(table))["InstanceType"] == "ml.c5.xlarge"
    words = ["--instance_type", "ml.m5.xlarge", "--instance_count=1", "--volume_size_in_gb", "30"]
    made = prepare(table, *words, "--max_runtime_in_seconds", "86400", "--env", "B=typed")
    assert cluster_of(made) == {
        "InstanceType": "ml.m5.xlarge",
        "InstanceCount": 1,
        "VolumeSizeInGB": 30,
    }
    assert made["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert made["Environment"] == {"A": "file", "B": "typed"}
    only_type = cluster_of(prepare(table, "--instance_type", "ml.m5.large"))
    assert (only_type["InstanceType"], only_type["InstanceCount"]) == ("ml.m5.large", 2)


PREFERENCES = """
[[request.ProcessingResources.ClusterConfig.InstancePreferences]]
InstanceType = "ml.m5.xlarge"
InstanceCount = 3
[[request.ProcessingResources.ClusterConfig.InstancePreferences]]
InstanceType = "ml.c5.xlarge"
InstanceCount = 4
"""


def preferences(made: dict[str, Any]) -> list[tuple[str, int]]:
    assert not {"InstanceType", "InstanceCount"} & cluster_of(made).keys()
    items = cluster_of(made)["InstancePreferences"]
    return [(item["InstanceType"], item["InstanceCount"]) for item in items]


def test_instance_types_have_an_order_of_preference(table: Path) -> None:
    words = ["--instance_type", "ml.m5.large,ml.c5.xlarge"]
    table.write_text("")
    assert preferences(prepare(table, *words)) == [("ml.m5.large", 1), ("ml.c5.xlarge", 1)]
    counted = prepare(table, *words, "--instance_count", "2")
    assert preferences(counted) == [("ml.m5.large", 2), ("ml.c5.xlarge", 2)]
    table.write_text(PREFERENCES)
    assert preferences(prepare(table)) == [("ml.m5.xlarge", 3), ("ml.c5.xlarge", 4)]
    counted = prepare(table, "--instance_count", "2")
    assert preferences(counted) == [("ml.m5.xlarge", 2), ("ml.c5.xlarge", 2)]
    one = cluster_of(prepare(table, "--instance_type", "ml.m5.large"))
    assert one == {"InstanceType": "ml.m5.large", "InstanceCount": 3, "VolumeSizeInGB": 30}


def test_a_job_can_have_another_role(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGEMAKER_ROLE_ARN", "arn:aws:iam::123456789012:role/jobs")
    table.write_text('[job.probe]\nRoleArn = "arn:aws:iam::123456789012:role/probe"')
    assert prepare(table)["RoleArn"].endswith(":role/probe")
    assert prepare(table, job="quiet")["RoleArn"].endswith(":role/jobs")


def test_a_key_leaves_a_job_without_outputs_valid(table: Path) -> None:
    table.write_text(KEY)
    assert "ProcessingOutputConfig" not in prepare(table, job="quiet")


def test_channels_of_the_job_can_be_changed_but_not_moved(table: Path) -> None:
    table.write_text(
        '[[request.ProcessingInputs]]\nInputName = "some"\nS3Input.S3InputMode = "Pipe"\n'
        'S3Input.S3CompressionType = "Gzip"\n'
        '[[request.ProcessingInputs]]\nInputName = "lookup"\nS3Input.S3InputMode = "Pipe"\n'
        '[[job.probe.ProcessingOutputConfig.Outputs]]\nOutputName = "seen"\n'
        'S3Output.S3UploadMode = "Continuous"\n'
    )
    made = prepare(table)
    (item,) = made["ProcessingInputs"]  # not the optional one, which this launch does not have
    assert item["S3Input"]["LocalPath"] == "/opt/ml/processing/input/some"
    assert (item["S3Input"]["S3InputMode"], item["S3Input"]["S3CompressionType"]) == (
        "Pipe",
        "Gzip",
    )
    (output,) = made["ProcessingOutputConfig"]["Outputs"]
    assert output["S3Output"]["S3UploadMode"] == "Continuous"
    assert output["S3Output"]["S3Uri"]


def test_further_inputs_are_added(table: Path) -> None:
    further = '[[request.ProcessingInputs]]\nInputName = "further"\n[request.ProcessingInputs.'
    further += 'S3Input]\nS3Uri = "s3://lake/x/"\nS3DataType = "S3Prefix"\n'
    further += 'LocalPath = "/opt/ml/processing/input/further"\n'
    table.write_text(DATASET + further)
    made = prepare(table, "--plan")
    assert [item["InputName"] for item in made["ProcessingInputs"]] == ["some", "query", "further"]
    assert made["ProcessingInputs"][0]["S3Input"]["S3Uri"].count("/inputs/") == 1


def test_the_table_can_distribute_the_files_of_an_input(table: Path) -> None:
    sharded = 'S3Input.S3DataDistributionType = "ShardedByS3Key"\n'
    table.write_text(f'[[job.probe.ProcessingInputs]]\nInputName = "some"\n{sharded}')
    (item,) = prepare(table)["ProcessingInputs"]
    assert item["S3Input"]["S3DataDistributionType"] == "ShardedByS3Key"
    lookup = f'[[job.probe.ProcessingInputs]]\nInputName = "lookup"\n{sharded}'
    words = ("--lookup_path", str(table.parent / "data" / "1.csv"))
    assert "--lookup_path takes one file" in rejection(table, lookup, *words)


CLUSTER = "request.ProcessingResources.ClusterConfig"
WRONG = [
    # unknown names
    (
        "[request.NetworkConfig.VpcConfg]",
        "request.NetworkConfig.VpcConfg: there is no such field; did you mean VpcConfig?",
    ),
    (
        "[job.probe.Enviroment]",
        "job.probe.Enviroment: there is no such field; did you mean Environment?",
    ),
    ("[request]\nX = 1", "request.X: there is no such field; choose from "),
    ("[job.prob.Environment]", "job.prob: there is no entrypoints/prob.py; did you mean probe?"),
    ("job = 1", "job must be a table: [job]"),
    ("job.probe = 1", "job.probe must be a table: [job.probe]"),
    ("request = 1", "request must be a table: [request]"),
    ("[[request]]", "request must be a table: [request]"),
    (
        '[[request.Tags]]\nKee = "a"',
        "request.Tags[0].Kee: there is no such field; did you mean Key",
    ),
    # wrong types
    ("[request]\nNetworkConfig = 1", "request.NetworkConfig: this must be a table"),
    ("[[request.NetworkConfig]]", "request.NetworkConfig: this must be a table"),
    ('[request.Tags]\nteam = "a"', "request.Tags: this must be a list of tables"),
    ('[request]\nTags = ["a"]', "request.Tags[0]: this must be a table"),
    ("[request.Environment]\nA = 1", "request.Environment.A: this must be text in quotes"),
    ("[request.Environment]\nA = 2026-01-02", "request.Environment.A: this must be text"),
    ("[request.Environment]\nA = [[1]]", "request.Environment.A: this must be text"),
    ("[request.Environment.A.B]", "request.Environment.A: this must be text"),
    (f"[{CLUSTER}]\nInstanceCount = '2'", f"{CLUSTER}.InstanceCount: this must be a whole number"),
    (f"[{CLUSTER}]\nInstanceCount = true", f"{CLUSTER}.InstanceCount: this must be a whole number"),
    (f"[{CLUSTER}]\nInstanceCount = nan", f"{CLUSTER}.InstanceCount: this must be a whole number"),
    (f"[{CLUSTER}]\nInstanceCount = 2.0", f"{CLUSTER}.InstanceCount: this must be a whole number"),
    (
        "[request.NetworkConfig]\nEnableNetworkIsolation = 1",
        "request.NetworkConfig.EnableNetworkIsolation: this must be true or false",
    ),
    (
        '[request.NetworkConfig.VpcConfig]\nSubnets = "subnet-1"',
        "request.NetworkConfig.VpcConfig.Subnets: this must be a list",
    ),
    # limits
    (f"[{CLUSTER}]\nInstanceCount = 101", f"{CLUSTER}.InstanceCount: 101, SageMaker accepts 100"),
    (f"[{CLUSTER}]\nInstanceCount = -1", f"{CLUSTER}.InstanceCount: -1, SageMaker accepts 1"),
    (f"[{CLUSTER}]\nInstanceCount = 1{'0' * 400}", "… (401 digits), SageMaker accepts 100 or"),
    (
        f"[{CLUSTER}]\nInstanceType = 'ml.m5.xlarg'",
        f"{CLUSTER}.InstanceType: the installed botocore does not know 'ml.m5.xlarg'; did you mean "
        "ml.m5.xlarge",
    ),
    (
        "[request.NetworkConfig.VpcConfig]\nSecurityGroupIds = ['sg_1']",
        "request.NetworkConfig.VpcConfig.SecurityGroupIds[0]: 'sg_1' does not match",
    ),
    ("[request.Environment]\nA-B = 'x'", "request.Environment.A-B: 'A-B' does not match"),
    # what is missing
    (
        "[request.NetworkConfig.VpcConfig]\nSubnets = ['subnet-1']",
        "request.NetworkConfig.VpcConfig: SecurityGroupIds is missing",
    ),
    (
        "[job.probe.NetworkConfig.VpcConfig]\nSubnets = ['subnet-1']",
        "job.probe.NetworkConfig.VpcConfig: SecurityGroupIds is missing",
    ),
    ("[[request.Tags]]\nKey = 'a'", "request.Tags[0]: Value is missing"),
    ("[[request.Tags]]\nValue = 'a'", "request.Tags[0]: Key is missing"),
    ("[[request.ProcessingInputs]]\nInputName = 'x'", "request.ProcessingInputs[0]: probe has no"),
    (
        "[[request.ProcessingInputs]]\nInputName = 'x'\nS3Input.S3InputMode = 'Pipe'",
        "request.ProcessingInputs[0].S3Input: S3Uri is missing",
    ),
    (
        DATASET.replace('Catalog = "AwsDataCatalog"\n', ""),
        "request.ProcessingInputs[0].DatasetDefinition.AthenaDatasetDefinition: Catalog is missing",
    ),
    (
        DATASET.replace('LocalPath = "/opt/ml/processing/input/query"\n', ""),
        "request.ProcessingInputs[0].DatasetDefinition: probe has no channel",
    ),
    (
        DATASET.replace("/input/query", "/input/some/query"),
        "request.ProcessingInputs[0].DatasetDefinition.LocalPath: /opt/ml/processing/input/some/",
    ),
    (
        DATASET.replace("/opt/ml/processing/input/query", "/data/query"),
        "request.ProcessingInputs[0].DatasetDefinition.LocalPath: this must be a folder below",
    ),
    (
        "[[request.ProcessingInputs]]\nInputName = 'x'\n[request.ProcessingInputs.S3Input]\n"
        "S3Uri = 's3://b/x'\nS3DataType = 'S3Prefix'\nLocalPath = '/opt/ml/processing/x'\n"
        "[request.ProcessingInputs.DatasetDefinition]\nLocalPath = '/opt/ml/processing/y'",
        "request.ProcessingInputs[0]: S3Input and DatasetDefinition exclude each other",
    ),
    (
        "[[request.ProcessingOutputConfig.Outputs]]\nOutputName = 'x'",
        "request.ProcessingOutputConfig.Outputs[0]: probe has no channel 'x', only seen: any "
        "other one needs S3Output or FeatureStoreOutput",
    ),
    # what contradicts itself
    (
        "[[request.Tags]]\nKey = 'a'\nValue = 'b'\n[[request.Tags]]\nKey = 'a'\nValue = 'c'",
        "request.Tags[0].Key: 'a' is there 2 times",
    ),
    (
        f"{PREFERENCES}\n[job.probe.ProcessingResources.ClusterConfig]\n"
        "InstanceType = 'ml.m5.large'\nInstancePreferences = [{InstanceType = 'ml.m5.large'}]",
        "job.probe.ProcessingResources.ClusterConfig.InstancePreferences: this excludes",
    ),
    (
        PREFERENCES.replace("ml.c5", "ml.m5"),
        f"{CLUSTER}.InstancePreferences: ml.m5.xlarge is there",
    ),
    (PREFERENCES.replace("InstanceCount = 3\n", ""), "give each of them an InstanceCount, or none"),
    (
        f"[{CLUSTER}]\nInstanceCount = 2\n{PREFERENCES}",
        f"{CLUSTER}.InstancePreferences: an InstanceCount in it excludes the one beside it",
    ),
    (
        f"[{CLUSTER}]\nInstancePreferences = [{'{InstanceType = 0}'}]".replace("0", "'ml.m5.xl'"),
        f"{CLUSTER}.InstancePreferences[0].InstanceType: the installed botocore does not know "
        "'ml.m5.xl'",
    ),
    # what the launch itself determines
    ("[request]\nProcessingJobName = 'x'", "request.ProcessingJobName: the launch sets this field"),
    ("[request.AppSpecification]\nImageUri = 'x'", "AppSpecification.ImageUri: the launch sets"),
    ("[request.AppSpecification]\nImageUri = 'x'", "--image"),
    (
        "[request.AppSpecification]\nContainerArguments = ['x']",
        "request.AppSpecification.ContainerArguments: the options of the command line set",
    ),
    (
        f"[{CLUSTER}]\nSelectedInstanceType = 'ml.m5.large'",
        f"{CLUSTER}.SelectedInstanceType: ",
    ),
    (
        "[[request.Tags]]\nKey = 'commit'\nValue = 'x'",
        "request.Tags[0].Key: the launch sets the tag 'commit'",
    ),
    ("[[request.Tags]]\nKey = 'aws:x'\nValue = 'x'", "request.Tags[0].Key: AWS reserves"),
    (
        "[[request.ProcessingInputs]]\nInputName = 'some'\nS3Input.S3Uri = 's3://b/x'",
        "request.ProcessingInputs[0].S3Input.S3Uri: the launch sets this field: set it with "
        "--input_path, or below [inputs.probe]",
    ),
    (
        "[[job.probe.ProcessingInputs]]\nInputName = 'some'\nS3Input.LocalPath = '/x'",
        "job.probe.ProcessingInputs[0].S3Input.LocalPath: the launch sets this field: "
        "entrypoints/probe.py",
    ),
    (
        DATASET.replace('"query"', '"some"'),
        "request.ProcessingInputs[0].DatasetDefinition: --input_path reads from S3",
    ),
    (
        "[[request.ProcessingOutputConfig.Outputs]]\nOutputName = 'seen'\n"
        "S3Output.S3Uri = 's3://b/x'",
        "request.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri: the launch sets this field: "
        "set it with --output_path",
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_wrong_is_rejected_with_its_path(table: Path, text: str, message: str) -> None:
    assert message in rejection(table, text)


def test_several_problems_are_reported_at_once(table: Path) -> None:
    message = rejection(table, "[request]\nTag = 1\nRoleArm = 2")
    assert "request.Tag: " in message
    assert "request.RoleArm: " in message


def test_too_many_tags_in_total_are_rejected(table: Path) -> None:
    lines = [f"[[request.Tags]]\nKey = 'k{number}'\nValue = 'v'" for number in range(47)]
    table.write_text("\n".join(lines))
    with pytest.raises(LaunchError, match="Tags: 51 items, SageMaker accepts 50 or fewer"):
        prepare(table)


def test_the_same_type_twice_is_rejected_on_the_command_line(table: Path) -> None:
    with pytest.raises(LaunchError, match=r"--instance_type: it names ml\.m5\.large twice"):
        prepare(table, "--instance_type", "ml.m5.large,ml.m5.large")
    types = "ml.m5.large,ml.m5.xlarge,ml.m5.2xlarge,ml.m5.4xlarge,ml.c5.xlarge,ml.c5.2xlarge"
    with pytest.raises(LaunchError, match="InstancePreferences: 6 items, SageMaker accepts 5"):
        prepare(table, "--instance_type", types)


@pytest.mark.parametrize("key", ["API_KEY", "DB_PASSWORD", "AUTH_TOKEN"])
def test_secrets_are_rejected_and_not_shown(table: Path, key: str) -> None:
    for value in ("'hunter2'", "['hunter2']"):
        message = rejection(table, f"[request.Environment]\n{key} = {value}")
        assert message.startswith(f"request.Environment.{key}: ")
        assert "--env" in message
        assert "hunter2" not in message
    for value in ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:db", "false", "7"):
        table.write_text(f"[request.Environment]\n{key} = '{value}'")
        assert prepare(table)["Environment"] == {key: value}


def test_nothing_is_read_from_aws_before_the_table_is_checked(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_BUCKET", "bucket")
    monkeypatch.setenv("SAGEMAKER_ROLE_ARN", "arn:aws:iam::123456789012:role/jobs")
    monkeypatch.setattr("launch.requests.images.in_ecr", lambda *_: pytest.fail("asked AWS"))
    monkeypatch.setattr("launch.storage.s3.listing", lambda _: pytest.fail("asked AWS"))
    message = rejection(table, "[request.X]", "--backend", "sagemaker")
    assert message.startswith("request.X")


@pytest.mark.parametrize(
    ("backend", "paths"),
    [
        (
            "local",
            [
                "request.NetworkConfig",
                "request.ProcessingResources.ClusterConfig.VolumeSizeInGB",
                "request.ProcessingInputs[0].S3Input.S3InputMode",
                "request.ProcessingInputs[1]",
                "job.probe.ProcessingResources.ClusterConfig.InstanceType",
            ],
        ),
        (
            "docker",
            [
                "request.NetworkConfig",
                "request.ProcessingResources.ClusterConfig.VolumeSizeInGB",
                "request.ProcessingInputs[0].S3Input.S3InputMode",
                "request.ProcessingInputs[1]",
            ],
        ),
        ("sagemaker", []),
    ],
)
def test_what_a_backend_ignores_is_named(table: Path, backend: str, paths: list[str]) -> None:
    table.write_text(
        "[request.ProcessingResources.ClusterConfig]\nVolumeSizeInGB = 5\nInstanceCount = 2\n"
        "[job.probe.ProcessingResources.ClusterConfig]\nInstanceType = 'ml.m5.large'\n"
        "[request.Environment]\nA = 'b'\n[request.StoppingCondition]\nMaxRuntimeInSeconds = 5\n"
        "[[request.ProcessingInputs]]\nInputName = 'some'\nS3Input.S3InputMode = 'Pipe'\n"
        f"S3Input.S3DataDistributionType = 'ShardedByS3Key'\n{DATASET}{VPC}"
    )
    prepare(table)
    assert sorted(ignored_fields.ignored(jobs.read("probe"), backend)) == sorted(paths)


def uncommented(text: str, job: str) -> str:
    """Return the table with its examples, which have no blank after their ``#``."""
    return re.sub(r"(?m)^#(?=[\[\w])", "", text).replace("NAME", job)


def test_the_examples_in_the_table_of_this_repository_are_valid(
    small_pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "ROOT", small_pipeline)
    text = (REPOSITORY / "launch.toml").read_text(encoding="utf-8")
    examples = text[text.index("#[request") :]
    before = (small_pipeline / "launch.toml").read_text()
    (small_pipeline / "launch.toml").write_text(before + uncommented(examples, "fit"))
    words = ["--input_path.make_data", str(small_pipeline / "raw"), "--plan"]
    make_data, fit = pipeline.parse([*words, "--image", "image"]).steps
    for made in (make_data.request, fit.request):
        assert made["NetworkConfig"].keys() == {
            *("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "VpcConfig"),
        }
        assert made["ProcessingOutputConfig"]["KmsKeyId"].startswith("arn:aws:kms:")
        assert cluster_of(made)["VolumeKmsKeyId"].startswith("arn:aws:kms:")
        assert len(tags(made)) == 5
    assert cluster_of(make_data.request)["InstanceType"]
    assert len(preferences(fit.request)) > 1
    assert config.retries()
    assert config.bucket_owners()


def test_values_of_toml_that_have_no_json_are_rejected(table: Path) -> None:
    for value in (datetime.date(2026, 1, 2), datetime.time(1, 2)):
        text = f"[request.StoppingCondition]\nMaxRuntimeInSeconds = {value.isoformat()}"
        assert "MaxRuntimeInSeconds: this must be a whole number" in rejection(table, text)
