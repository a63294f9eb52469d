"""The jobs as a pipeline, on every backend, and its definition against the SageMaker SDK's."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import emulator
import pytest
from conftest import DATA, SLUG, run

pytest_plugins = ["launching", "sdk_environment"]
pytestmark = pytest.mark.slow

Launch = Callable[..., subprocess.CompletedProcess[str]]

RAW = ("pipeline", "--input_path.preprocess", DATA)


@pytest.fixture(scope="session")
def metrics(installed_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The metrics of the three jobs when they are run without a launcher."""
    folder = tmp_path_factory.mktemp("by hand") / installed_project.name
    shutil.copytree(installed_project, folder, symlinks=True)
    run(folder, "make", "run")
    (file,) = (folder / "out").glob("*/model/metrics.json")
    return json.loads(file.read_text())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--instance_count.train", "101"], "train: ProcessingResources"),
        (["--walrus.train", "1"], "train: unrecognized arguments: --walrus"),
        (["--min_accuracy", "2"], "argument --min_accuracy"),
    ],
    ids=["limit", "option", "minimum"],
)
def test_a_wrong_pipeline_is_rejected_before_it_starts(
    launch: Launch, words: Sequence[str], message: str, project: Path
) -> None:
    done = launch(*RAW, *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((project / "out").glob("*/*"))


@pytest.mark.parametrize("backend", ["local", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_pipeline_has_the_result_of_its_jobs(
    launch: Launch, backend: str, metrics: Any, project: Path, request: pytest.FixtureRequest
) -> None:
    if backend == "docker":
        request.getfixturevalue("image")
    hosts = ("--instance_count.preprocess", "2", "--shard.preprocess", "input_path")
    done = launch(*RAW, *hosts, "--backend", backend, "--run_name", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"--output_path.train {project}/out/r/train/model" in done.stdout
    assert json.loads((project / "out/r/train/model/metrics.json").read_text()) == metrics
    assert {path.name for path in (project / "out/r/preprocess/dataset").glob("job*.json")} == {
        "job-algo-1.json",
        "job-algo-2.json",
    }


def test_a_pipeline_stops_at_the_first_step_that_fails(launch: Launch, project: Path) -> None:
    done = launch(*RAW, "--folds.tune", "500", "--run_name", "r")
    assert done.returncode == 1
    assert f"Failed: {SLUG}-tune-" in done.stdout
    assert {path.parent.name for path in (project / "out/r").glob("*/*")} == {"preprocess"}


def test_a_pipeline_fails_if_the_metric_is_too_low(launch: Launch, metrics: Any) -> None:
    done = launch(*RAW, "--trials.tune", "1", "--min_accuracy", "1")
    assert metrics["accuracy"] < 1
    assert done.returncode == 1
    assert f"Failed: {SLUG}-" in done.stdout
    assert "is below 1.0" in done.stdout


# The definition

USER_CODE = """
import json
import sys

import boto3
from sagemaker.core.network import NetworkConfig
from sagemaker.core.processing import Processor
from sagemaker.core.shapes import (
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
)
from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep

given = json.loads(sys.argv[1])
session = PipelineSession(
    boto_session=boto3.Session(region_name="eu-west-1"), default_bucket="penguins"
)
instance_types = {
    job: ParameterString(f"{job}_instance_type", default_value="ml.m5.xlarge")
    for job in ("preprocess", "tune", "train")
}
instance_counts = {
    job: ParameterInteger(f"{job}_instance_count", default_value=2 if job == "preprocess" else 1)
    for job in ("preprocess", "tune", "train")
}
test_fraction = ParameterFloat("preprocess_test_fraction", default_value=0.2)
preprocess_seed = ParameterInteger("preprocess_seed", default_value=3)
trials = ParameterInteger("tune_trials", default_value=5)
folds = ParameterInteger("tune_folds", default_value=5)
tune_seed = ParameterInteger("tune_seed", default_value=3)
train_seed = ParameterInteger("train_seed", default_value=3)
min_accuracy = ParameterFloat("min_accuracy", default_value=0.95)
cache = CacheConfig(enable_caching=True, expire_after="P30D")
metrics = PropertyFile(name="metrics", output_name="model", path="metrics.json")


def processor(job):
    return Processor(
        role=given["role"],
        image_uri="123456789012.dkr.ecr.eu-west-1.amazonaws.com/penguins:1",
        entrypoint=["python", "-u", f"entrypoints/{job}.py"],
        instance_type=instance_types[job],
        instance_count=instance_counts[job],
        volume_size_in_gb=50,
        volume_kms_key="disk-key",
        output_kms_key="output-key",
        max_runtime_in_seconds=3600,
        env={"STAGE": "test"},
        tags=[
            {"Key": "project", "Value": given["project"]},
            {"Key": "job", "Value": job},
            {"Key": "commit", "Value": given["commit"]},
        ],
        network_config=NetworkConfig(
            enable_network_isolation=True,
            encrypt_inter_container_traffic=True,
            security_group_ids=["sg-1"],
            subnets=["subnet-1", "subnet-2"],
        ),
        sagemaker_session=session,
    )


def read(name, uri, distribution="FullyReplicated"):
    source = ProcessingS3Input(
        s3_uri=uri,
        local_path=f"/opt/ml/processing/input/{name}",
        s3_data_type="S3Prefix",
        s3_input_mode="File",
        s3_data_distribution_type=distribution,
    )
    return ProcessingInput(input_name=name, s3_input=source)


def written(step, name):
    uri = step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri
    return Join(on="", values=[uri, "/"])


def write(job, name):
    runs = f"s3://penguins/{given['project']}/runs"
    folder = [runs, ExecutionVariables.PIPELINE_EXECUTION_ID, f"{job}/{name}"]
    target = ProcessingS3Output(
        s3_uri=Join(on="/", values=folder),
        local_path=f"/opt/ml/processing/output/{name}",
        s3_upload_mode="EndOfJob",
    )
    return ProcessingOutput(output_name=name, s3_output=target)


preprocess = ProcessingStep(
    name="preprocess",
    step_args=processor("preprocess").run(
        inputs=[read("raw", given["raw"], "ShardedByS3Key")],
        outputs=[write("preprocess", "dataset")],
        arguments=[
            Join(on="", values=["--test_fraction=", test_fraction]),
            Join(on="", values=["--seed=", preprocess_seed]),
        ],
    ),
    cache_config=cache,
)
tune = ProcessingStep(
    name="tune",
    step_args=processor("tune").run(
        inputs=[read("dataset", written(preprocess, "dataset"))],
        outputs=[write("tune", "trials")],
        arguments=[
            Join(on="", values=["--trials=", trials]),
            Join(on="", values=["--folds=", folds]),
            Join(on="", values=["--seed=", tune_seed]),
        ],
    ),
    cache_config=cache,
)
train = ProcessingStep(
    name="train",
    step_args=processor("train").run(
        inputs=[
            read("dataset", written(preprocess, "dataset")),
            read("trials", written(tune, "trials")),
        ],
        outputs=[write("train", "model")],
        arguments=[Join(on="", values=["--seed=", train_seed])],
    ),
    cache_config=cache,
    property_files=[metrics],
)
accuracy = JsonGet(step_name="train", property_file=metrics, json_path="accuracy")
message = Join(on=" ", values=["accuracy", accuracy, "is below", min_accuracy])
check = ConditionStep(
    name="check-accuracy",
    conditions=[ConditionGreaterThanOrEqualTo(left=accuracy, right=min_accuracy)],
    else_steps=[FailStep(name="low-accuracy", error_message=message)],
)
pipeline = Pipeline(
    name="penguins",
    parameters=[
        *(instance_types["preprocess"], instance_counts["preprocess"]),
        *(test_fraction, preprocess_seed),
        *(instance_types["tune"], instance_counts["tune"], trials, folds, tune_seed),
        *(instance_types["train"], instance_counts["train"], train_seed),
        min_accuracy,
    ],
    steps=[preprocess, tune, train, check],
    sagemaker_session=session,
    pipeline_experiment_config=None,
)
print(pipeline.definition())
"""
"""The pipeline of the example, as a team writes it with the SDK."""

OUR_CODE = """
import json
import sys

from launch import definition, pipeline

parsed = pipeline.parse(sys.argv[1:])
for step in parsed.steps:
    step.request["NetworkConfig"] = {
        "EnableNetworkIsolation": True,
        "EnableInterContainerTrafficEncryption": True,
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]},
    }
    step.request["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] = "disk-key"
    step.request["ProcessingOutputConfig"]["KmsKeyId"] = "output-key"
print(json.dumps(definition.build(parsed)))
"""
"""The same with launch; nothing that can be configured sets a VPC and keys yet."""


def _print_json(python: Path, code: str, *words: str, cwd: Path, env: Mapping[str, str]) -> Any:
    command = [str(python), "-c", code, *words]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _without_empty(value: Any) -> Any:
    """Leave out what is null or empty, as the service does."""
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_empty(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item not in (None, {}, [])}


def test_the_definition_is_the_one_that_the_sdk_makes(
    sdk_python: Path, no_aws: dict[str, str], project: Path
) -> None:
    role = "arn:aws:iam::123456789012:role/jobs"
    env = no_aws | {"AWS_REGION": "eu-west-1", "S3_BUCKET": "penguins", "SAGEMAKER_ROLE_ARN": role}
    ours = _print_json(
        *(project / ".venv" / "bin" / "python", OUR_CODE, *RAW[1:], "--plan"),
        *("--image", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/penguins:1"),
        *("--instance_count.preprocess", "2", "--shard.preprocess", "input_path"),
        *("--volume_size_in_gb", "50", "--max_runtime_in_seconds", "3600", "--env", "STAGE=test"),
        *("--seed", "3", "--trials.tune", "5", "--min_accuracy", "0.95"),
        cwd=project,
        env=env,
    )
    raw = ours["Steps"][0]["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"]
    assert raw.startswith(f"s3://penguins/{SLUG}/inputs/")
    commit = run(project, "git", "rev-parse", "HEAD").strip()
    given = json.dumps({"role": role, "raw": raw, "project": SLUG, "commit": commit})
    # The SDK makes clients, which need credentials, and wants a region when it is imported.
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    env |= keys | {"AWS_DEFAULT_REGION": "eu-west-1", "HOME": os.devnull}
    theirs = _print_json(sdk_python, USER_CODE, given, cwd=project, env=env)
    assert _without_empty(ours) == _without_empty(theirs)


# On SageMaker


@pytest.mark.docker
def test_sagemaker_runs_the_steps_and_reuses_their_results(
    launch: Launch,
    service: emulator.Emulator,
    aws: dict[str, str],
    metrics: Any,
    project: Path,
) -> None:
    words = (*RAW, "--backend", "sagemaker")
    done = launch(*words, "--instance_count.preprocess", "2", env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    (arn,) = service.executions
    assert f":pipeline/{SLUG}-launched/" in arn
    assert f"Completed: {arn}" in done.stdout
    prefix = f"{SLUG}/runs/{arn.rpartition('/')[2]}"
    assert json.loads(service.read(f"{prefix}/train/model/metrics.json")) == metrics
    assert f"--output_path.train s3://penguins/{prefix}/train/model" in done.stdout

    requests = service.requests["CreateProcessingJob"]
    entrypoints = [item["AppSpecification"]["ContainerEntrypoint"][-1] for item in requests]
    assert entrypoints == [f"entrypoints/{job}.py" for job in ("preprocess", "tune", "train")]
    assert all("@sha256:" in item["AppSpecification"]["ImageUri"] for item in requests)
    assert requests[0]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 2
    check = "import json, sys; from launch.limits import check; "
    check += "[check('CreateProcessingJob', item) for item in json.load(sys.stdin)]"
    python = project / ".venv" / "bin" / "python"
    text = json.dumps(requests)
    subprocess.run([python, "-c", check], input=text, text=True, cwd=project, check=True)

    service.requests.clear()
    done = launch(*words, "--min_accuracy", "1", env=aws)
    assert done.returncode == 1
    assert f"low-accuracy: accuracy {metrics['accuracy']} is below 1.0" in done.stdout
    assert done.stdout.count("from the cache") == 3
    assert not service.requests["CreateProcessingJob"]

    service.requests.clear()
    done = launch(*words, "--no-cache", "--trials.tune", "1", env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from the cache" not in done.stdout
    assert len(service.requests["CreateProcessingJob"]) == 3


@pytest.mark.docker
def test_a_deployed_pipeline_is_executed_by_others(
    launch: Launch, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    words = ("--input_path.preprocess", DATA, "--trials.tune", "1")
    done = launch("deploy", *words, env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not service.executions
    client = service.client("sagemaker")
    token = "t" * 32
    given = [{"Name": "train_seed", "Value": "5"}, {"Name": "min_accuracy", "Value": "0.5"}]
    arn = client.start_pipeline_execution(
        PipelineName=SLUG, ClientRequestToken=token, PipelineParameters=given
    )["PipelineExecutionArn"]
    execution = service.executions[arn]
    execution.wait()
    assert execution.status == "Succeeded", execution.steps
    train = service.requests["CreateProcessingJob"][-1]
    assert train["AppSpecification"]["ContainerArguments"] == ["--seed=5"]


@pytest.mark.docker
def test_a_step_that_fails_on_sagemaker_is_explained(
    launch: Launch, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    done = launch(*RAW, "--backend", "sagemaker", "--folds.tune", "500", env=aws)
    assert done.returncode == 1
    name = next(reversed(service.executions)).rpartition("/")[2]
    for line in (
        "tune: Failed",
        "ExitMessage: ",
        f"--input_path s3://penguins/{SLUG}/runs/{name}/preprocess/dataset",
        "--backend docker",
        "--folds 500",
        "Failed: arn:aws:sagemaker:",
    ):
        assert line in done.stdout
    assert len(service.requests["CreateProcessingJob"]) == 2
