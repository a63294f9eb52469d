"""A small pipeline on every backend, and its definition compared with that of the SageMaker SDK."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import emulator
import pytest
from conftest import SLUG, run, runs
from launching import SCORE

pytest_plugins = ["launching", "sdk_environment"]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_pipeline")]

Launch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--instance_count.fit", "101"], "fit: ProcessingResources"),
        (["--walrus.fit", "1"], "unrecognized arguments: --walrus"),
        (["--min_score", "much"], "argument --min_score"),
    ],
    ids=["limit", "option", "minimum"],
)
def test_a_wrong_pipeline_is_rejected_before_it_starts(
    launch: Launch, words: Sequence[str], message: str, project: Path
) -> None:
    done = launch("pipeline", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not runs(project)


@pytest.mark.parametrize("backend", ["local", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_pipeline_runs_its_jobs_one_after_the_other(
    launch: Launch, backend: str, project: Path, request: pytest.FixtureRequest
) -> None:
    if backend == "docker":
        request.getfixturevalue("image")
    hosts = ("--instance_count.gather", "2", "--shard.gather", "input_path")
    done = launch("pipeline", *hosts, "--backend", backend, "--run_name", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"--output_path.fit {project}/out/r/fit/result" in done.stdout
    numbers = json.loads((project / "out/r/fit/result/numbers.json").read_text())
    assert numbers == {"score": SCORE}
    assert {path.name for path in (project / "out/r/gather/parts").glob("job*.json")} == {
        "job-algo-1.json",
        "job-algo-2.json",
    }


def test_a_pipeline_stops_at_the_first_step_that_fails(launch: Launch, project: Path) -> None:
    done = launch("pipeline", "--folds.search", "500", "--run_name", "r")
    assert done.returncode == 1
    assert f"Failed: {SLUG}-search-" in done.stdout
    assert {path.parent.name for path in (project / "out/r").glob("*/*")} == {"gather"}


def test_a_pipeline_fails_if_the_metric_is_too_low(launch: Launch) -> None:
    done = launch("pipeline", "--min_score", "1")
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
from sagemaker.core.workflow.pipeline_definition_config import PipelineDefinitionConfig
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.retry import (
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep

given = json.loads(sys.argv[1])
session = PipelineSession(
    boto_session=boto3.Session(region_name="eu-west-1"), default_bucket="models"
)
instance_types = {
    job: ParameterString(f"{job}_instance_type", default_value="ml.m5.xlarge")
    for job in ("gather", "search", "fit")
}
instance_counts = {
    job: ParameterInteger(f"{job}_instance_count", default_value=2 if job == "gather" else 1)
    for job in ("gather", "search", "fit")
}
rate = ParameterFloat("gather_rate", default_value=0.2)
gather_seed = ParameterInteger("gather_seed", default_value=3)
turns = ParameterInteger("search_turns", default_value=5)
folds = ParameterInteger("search_folds", default_value=3)
search_seed = ParameterInteger("search_seed", default_value=3)
fit_seed = ParameterInteger("fit_seed", default_value=3)
min_score = ParameterFloat("min_score", default_value=0.95)
cache = CacheConfig(enable_caching=True, expire_after="P30D")
retries = [
    StepRetryPolicy(
        exception_types=[StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING],
        interval_seconds=10,
        max_attempts=6,
    ),
    SageMakerJobStepRetryPolicy(
        failure_reason_types=[SageMakerJobExceptionTypeEnum.CAPACITY_ERROR],
        interval_seconds=60,
        max_attempts=6,
    ),
    SageMakerJobStepRetryPolicy(
        failure_reason_types=[SageMakerJobExceptionTypeEnum.INTERNAL_ERROR],
        interval_seconds=60,
        max_attempts=2,
    ),
]
metrics = PropertyFile(name="metrics", output_name="result", path="numbers.json")


def processor(job):
    return Processor(
        role=given["role"],
        base_job_name=f"{given['project']}-{job}",
        image_uri="123456789012.dkr.ecr.eu-west-1.amazonaws.com/models:1",
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
            {"Key": "run", "Value": given["run"]},
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
    runs = f"s3://models/{given['project']}/runs"
    folder = [runs, ExecutionVariables.PIPELINE_EXECUTION_ID, f"{job}/{name}"]
    target = ProcessingS3Output(
        s3_uri=Join(on="/", values=folder),
        local_path=f"/opt/ml/processing/output/{name}",
        s3_upload_mode="EndOfJob",
    )
    return ProcessingOutput(output_name=name, s3_output=target)


gather = ProcessingStep(
    name="gather",
    step_args=processor("gather").run(
        inputs=[read("rows", given["rows"], "ShardedByS3Key")],
        outputs=[write("gather", "parts")],
        arguments=[
            Join(on="", values=["--rate=", rate]),
            Join(on="", values=["--seed=", gather_seed]),
        ],
    ),
    cache_config=cache,
    retry_policies=retries,
)
search = ProcessingStep(
    name="search",
    step_args=processor("search").run(
        inputs=[read("parts", written(gather, "parts"))],
        outputs=[write("search", "found")],
        arguments=[
            Join(on="", values=["--turns=", turns]),
            Join(on="", values=["--folds=", folds]),
            Join(on="", values=["--seed=", search_seed]),
        ],
    ),
    cache_config=cache,
    retry_policies=retries,
)
fit = ProcessingStep(
    name="fit",
    step_args=processor("fit").run(
        inputs=[
            read("parts", written(gather, "parts")),
            read("found", written(search, "found")),
        ],
        outputs=[write("fit", "result")],
        arguments=[Join(on="", values=["--seed=", fit_seed])],
    ),
    cache_config=cache,
    retry_policies=retries,
    property_files=[metrics],
)
score = JsonGet(step_name="fit", property_file=metrics, json_path="score")
message = Join(on=" ", values=["score", score, "is below", min_score])
check = ConditionStep(
    name="check-score",
    conditions=[ConditionGreaterThanOrEqualTo(left=score, right=min_score)],
    else_steps=[FailStep(name="low-score", error_message=message)],
)
pipeline = Pipeline(
    name="models",
    parameters=[
        *(instance_types["gather"], instance_counts["gather"]),
        *(rate, gather_seed),
        *(instance_types["search"], instance_counts["search"], turns, folds, search_seed),
        *(instance_types["fit"], instance_counts["fit"], fit_seed),
        min_score,
    ],
    steps=[gather, search, fit, check],
    sagemaker_session=session,
    pipeline_experiment_config=None,
    pipeline_definition_config=PipelineDefinitionConfig(use_custom_job_prefix=True),
)
print(pipeline.definition())
"""
"""The pipeline of the small jobs, as a team writes it with the SDK."""

OUR_CODE = """
import json
import sys

from launch.pipelines import definition, pipeline

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
    env = no_aws | {"AWS_REGION": "eu-west-1", "S3_BUCKET": "models", "SAGEMAKER_ROLE_ARN": role}
    ours = _print_json(
        *(project / ".venv" / "bin" / "python", OUR_CODE, "--plan"),
        *("--image", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/models:1"),
        *("--instance_count.gather", "2", "--shard.gather", "input_path"),
        *("--volume_size_in_gb", "50", "--max_runtime_in_seconds", "3600", "--env", "STAGE=test"),
        *("--seed", "3", "--turns.search", "5", "--min_score", "0.95"),
        cwd=project,
        env=env,
    )
    rows = ours["Steps"][0]["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"]
    assert rows.startswith(f"s3://models/{SLUG}/inputs/")
    commit = run(project, "scripts/stamp.sh").strip()
    tags = {tag["Key"]: tag["Value"] for tag in ours["Steps"][0]["Arguments"]["Tags"]}
    values = {"role": role, "rows": rows, "project": SLUG, "commit": commit, "run": tags["run"]}
    given = json.dumps(values)
    # The SDK makes clients, which need credentials, and wants a region when it is imported.
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    env |= keys | {"AWS_DEFAULT_REGION": "eu-west-1", "HOME": os.devnull}
    theirs = _print_json(sdk_python, USER_CODE, given, cwd=project, env=env)
    assert _without_empty(ours) == _without_empty(theirs)


# On SageMaker


@pytest.mark.docker
def test_sagemaker_runs_the_steps_and_reuses_their_results(
    launch: Launch, service: emulator.Emulator, aws: dict[str, str], project: Path
) -> None:
    words = ("pipeline", "--backend", "sagemaker")
    done = launch(*words, "--instance_count.gather", "2", env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    (arn,) = service.executions
    assert f":pipeline/{SLUG}-launched/" in arn
    assert f"Completed: {arn}" in done.stdout
    prefix = f"{SLUG}/runs/{arn.rpartition('/')[2]}"
    assert json.loads(service.read(f"{prefix}/fit/result/numbers.json")) == {"score": SCORE}
    assert f"--output_path.fit s3://{emulator.BUCKET}/{prefix}/fit/result" in done.stdout

    requests = service.requests["CreateProcessingJob"]
    names = [item["ProcessingJobName"] for item in requests]
    for name, job in zip(names, ("gather", "search", "fit"), strict=True):
        assert name.startswith(f"{SLUG}-{job}-{arn.rpartition('/')[2]}-")
        assert f"/processing-jobs/{name.lower()}" in done.stdout
    assert "algo-2 | " in done.stdout  # the log is found by the job's name
    entrypoints = [item["AppSpecification"]["ContainerEntrypoint"][-1] for item in requests]
    assert entrypoints == [f"entrypoints/{job}.py" for job in ("gather", "search", "fit")]
    assert all("@sha256:" in item["AppSpecification"]["ImageUri"] for item in requests)
    assert requests[0]["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 2
    check = "import json, sys; from launch.aws.limits import check; "
    check += "[check('CreateProcessingJob', item) for item in json.load(sys.stdin)]"
    python = project / ".venv" / "bin" / "python"
    text = json.dumps(requests)
    subprocess.run([python, "-c", check], input=text, text=True, cwd=project, check=True)

    service.requests.clear()
    done = launch(*words, "--min_score", "1", env=aws)
    assert done.returncode == 1
    assert f"low-score: score {SCORE} is below 1.0" in done.stdout
    assert done.stdout.count("from the cache") == 3
    assert not service.requests["CreateProcessingJob"]

    service.requests.clear()
    done = launch(*words, "--no-cache", "--turns.search", "1", env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from the cache" not in done.stdout
    assert len(service.requests["CreateProcessingJob"]) == 3


@pytest.mark.docker
def test_a_deployed_pipeline_is_executed_by_others(
    launch: Launch, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    done = launch("deploy", env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not service.executions
    client = service.client("sagemaker")
    token = "t" * 32
    given = [{"Name": "fit_seed", "Value": "5"}, {"Name": "min_score", "Value": "0.5"}]
    arn = client.start_pipeline_execution(
        PipelineName=SLUG, ClientRequestToken=token, PipelineParameters=given
    )["PipelineExecutionArn"]
    execution = service.executions[arn]
    execution.wait()
    assert execution.status == "Succeeded", execution.steps
    fit = service.requests["CreateProcessingJob"][-1]
    assert fit["AppSpecification"]["ContainerArguments"] == ["--seed=5"]


@pytest.mark.docker
def test_a_step_that_fails_on_sagemaker_is_explained(
    launch: Launch, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    done = launch("pipeline", "--backend", "sagemaker", "--folds.search", "500", env=aws)
    assert done.returncode == 1
    name = next(reversed(service.executions)).rpartition("/")[2]
    for line in (
        "search: Failed",
        "ExitMessage: ",
        f"--input_path s3://{emulator.BUCKET}/{SLUG}/runs/{name}/gather/parts",
        "--backend docker",
        "--folds 500",
        "Failed: arn:aws:sagemaker:",
    ):
        assert line in done.stdout
    assert len(service.requests["CreateProcessingJob"]) == 2


@pytest.mark.docker
def test_an_execution_begins_at_any_job_with_the_results_of_an_earlier_one(
    launch: Launch, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    words = ("pipeline", "--backend", "sagemaker", "--no-cache")
    done = launch(*words, "--run_name", "whole", env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    whole = next(reversed(service.executions)).rpartition("/")[2]
    service.requests.clear()
    done = launch(*words, "--from", "fit", "--min_score", "1", "--run_name", "part", env=aws)
    assert done.returncode == 1
    assert "gather: parts is taken from whole\n" in done.stdout
    assert f"low-score: score {SCORE} is below 1.0" in done.stdout
    (fit,) = service.requests["CreateProcessingJob"]
    addresses = {
        item["InputName"]: item["S3Input"]["S3Uri"].rstrip("/") for item in fit["ProcessingInputs"]
    }
    root = f"s3://{emulator.BUCKET}/{SLUG}/runs/{whole}"
    assert addresses == {"parts": f"{root}/gather/parts", "found": f"{root}/search/found"}
    assert f"--output_path.gather {root}/gather/parts" in done.stdout

    compared = launch("compare", "whole", "part", "--json", env=aws)
    assert compared.returncode == 0, compared.stderr
    runs = json.loads(compared.stdout)["runs"]
    assert [run["metrics"]["fit.score"] for run in runs] == [SCORE, SCORE]
    assert runs[1]["jobs"]["gather"]["run"] == whole


@pytest.mark.parametrize("backend", ["local", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_pipeline_begins_at_any_job_with_the_results_of_an_earlier_run(
    launch: Launch, backend: str, project: Path, request: pytest.FixtureRequest
) -> None:
    if backend == "docker":
        request.getfixturevalue("image")
    done = launch("pipeline", "--run_name", "whole")
    assert done.returncode == 0, done.stdout + done.stderr
    words = ("--from", "fit", "--backend", backend, "--run_name", "part")
    done = launch("pipeline", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "search: found is taken from whole\n" in done.stdout
    assert {path.parent.name for path in (project / "out/part").glob("*/*")} == {"fit"}
    compared = launch("compare", "whole", "part")
    assert compared.returncode == 0, compared.stderr
    assert str(SCORE) in compared.stdout
