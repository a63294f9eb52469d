"""The emulator starts and retries the jobs of pipelines like SageMaker."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import account
import emulator
import pytest
import registry
from botocore.exceptions import ClientError
from conftest import SLUG
from launching import SCORE

pytest_plugins = ["launching"]
pytestmark = [pytest.mark.slow, pytest.mark.own_account]

PREFIX = "small-fit"
QUOTA = "{} for processing job usage"


class Service(emulator.ControlPlane):
    """The control plane of jobs that do nothing but end as a test says."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reasons: list[str] = []
        """Why the next jobs fail; empty for one that completes."""
        self.files: dict[str, bytes] = {}
        """What a job writes to each of its outputs."""

    def perform(self, job: emulator.Job, folder: Path) -> None:
        assert folder.is_dir()
        reason = self.reasons.pop(0) if self.reasons else ""
        if reason:
            job.state = {"ProcessingJobStatus": "Failed", "FailureReason": reason}
            return
        for output in job.request["ProcessingOutputConfig"]["Outputs"]:
            bucket, _, prefix = output["S3Output"]["S3Uri"].removeprefix("s3://").partition("/")
            for name, body in self.files.items():
                self.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body)
        job.state = {"ProcessingJobStatus": "Completed"}

    def execute(self, *policies: Mapping[str, Any], **fields: Any) -> Any:
        """Execute a pipeline of one step to its end."""
        step: dict[str, Any] = {"Name": "fit", "Type": "Processing"}
        step |= {"Arguments": request() | fields, "RetryPolicies": policies}
        definition = {"Version": "2020-12-01", "Parameters": [], "Steps": [step]}
        self.client("sagemaker").create_pipeline(
            PipelineName="small",
            PipelineDefinition=json.dumps(definition),
            ClientRequestToken="t" * 32,
            RoleArn=f"arn:aws:iam::{registry.ACCOUNT}:role/jobs",
        )
        execution = self.start("small")
        execution.wait()
        return execution

    def names(self) -> list[str]:
        """The names of the jobs that were asked for."""
        return [item["ProcessingJobName"] for item in self.requests["CreateProcessingJob"]]


def request(**cluster: Any) -> dict[str, Any]:
    """A request for a job, with the prefix of its name."""
    cluster = cluster or {"InstanceType": "ml.m5.large", "InstanceCount": 1}
    target = {"S3Uri": f"s3://{emulator.BUCKET}/out", "LocalPath": "/x", "S3UploadMode": "EndOfJob"}
    return {
        "ProcessingJobName": PREFIX,
        "ProcessingResources": {"ClusterConfig": {"VolumeSizeInGB": 30, **cluster}},
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "model", "S3Output": target}]},
        "AppSpecification": {"ImageUri": "image"},
        "RoleArn": f"arn:aws:iam::{registry.ACCOUNT}:role/jobs",
    }


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    with account.serve(service):
        where = {"LocationConstraint": account.REGION}
        service.client("s3").create_bucket(Bucket=emulator.BUCKET, CreateBucketConfiguration=where)
        try:
            yield service
        finally:
            service.close()


def retry(exception: str, **fields: Any) -> dict[str, Any]:
    return {"ExceptionType": [exception], "IntervalSeconds": 60, "BackoffRate": 2, **fields}


# Names


def test_the_name_of_a_job_is_completed_from_its_prefix(service: Service) -> None:
    execution = service.execute()
    (name,) = service.names()
    execution_id = execution.arn.rpartition("/")[2]
    assert re.fullmatch(rf"{PREFIX}-{execution_id}-[a-zA-Z0-9]{{10}}-0", name)
    found = execution.steps[0]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert found == name.lower()
    described = service.client("sagemaker").describe_processing_job(ProcessingJobName=found)
    assert described["ProcessingJobName"] == name


def test_a_prefix_that_is_too_long_makes_no_job(service: Service) -> None:
    execution = service.execute(ProcessingJobName="p" * 40)
    assert execution.status == "Failed"
    assert "too long" in execution.steps[0]["FailureReason"]
    assert not service.names()


# Retries


@pytest.mark.parametrize(
    ("reason", "exception"),
    [
        ("CapacityError: Unable to provision requested ML compute capacity", "CAPACITY_ERROR"),
        ("InternalServerError: We encountered an internal error", "JOB_INTERNAL_ERROR"),
    ],
)
def test_a_job_that_fails_is_started_again(service: Service, reason: str, exception: str) -> None:
    service.reasons = [reason, reason]
    execution = service.execute(retry(f"SageMaker.{exception}", MaxAttempts=5))
    assert execution.status == "Succeeded"
    assert service.pauses == [60, 120]
    assert [name.rpartition("-")[2] for name in service.names()] == ["0", "1", "2"]
    assert len({name.rpartition("-")[0] for name in service.names()}) == 1
    assert execution.steps[0]["AttemptCount"] == 3


@pytest.mark.parametrize(
    ("code", "exception"),
    [
        ("CapacityError", "SageMaker.CAPACITY_ERROR"),
        ("ResourceLimitExceeded", "SageMaker.RESOURCE_LIMIT"),
        ("ThrottlingException", "Step.THROTTLING"),
        ("InternalServerError", "Step.SERVICE_FAULT"),
    ],
)
def test_a_job_that_is_not_created_is_created_later(
    service: Service, code: str, exception: str
) -> None:
    service.faults["CreateProcessingJob"] = [code, code]
    execution = service.execute(retry(exception, MaxAttempts=2))
    assert execution.status == "Succeeded"
    assert service.pauses == [60, 120]


def test_attempts_end_with_their_number(service: Service) -> None:
    service.reasons = ["CapacityError: none"] * 9
    execution = service.execute(retry("SageMaker.CAPACITY_ERROR", MaxAttempts=2))
    assert execution.status == "Failed"
    assert execution.steps[0]["FailureReason"] == "ClientError: CapacityError: none"
    assert len(service.names()) == 3


def test_attempts_end_after_their_time(service: Service) -> None:
    service.reasons = ["CapacityError: none"] * 9
    policy = retry("SageMaker.CAPACITY_ERROR", ExpireAfterMin=5)
    assert service.execute(policy).status == "Failed"
    assert service.pauses == [60, 120, 240]


def test_each_policy_counts_its_own_attempts(service: Service) -> None:
    service.reasons = ["CapacityError: none", "InternalServerError: x", "CapacityError: none"]
    policies = [
        retry("SageMaker.CAPACITY_ERROR", MaxAttempts=2),
        retry("SageMaker.JOB_INTERNAL_ERROR", MaxAttempts=1, IntervalSeconds=7),
    ]
    assert service.execute(*policies).status == "Succeeded"
    assert service.pauses == [60, 7, 120]


@pytest.mark.parametrize(
    ("reason", "code", "attempts"),
    [
        ("CapacityError: none", "", 1),
        ("AlgorithmError: exit code 1", "", 1),
        ("", "AccessDeniedException", 1),
        ("", "ThrottlingException", 6),
    ],
    ids=str,
)
def test_only_faults_of_calls_are_retried_without_a_policy(
    service: Service, reason: str, code: str, attempts: int
) -> None:
    service.reasons = [reason] * 9
    service.faults["CreateProcessingJob"] = [code] * 9 if code else []
    assert service.execute().status == "Failed"
    assert len(service.names()) == attempts


# An account


def create(service: Service, **cluster: Any) -> None:
    service.client("sagemaker").create_processing_job(**request(**cluster))


def preferences(*types: str) -> list[dict[str, Any]]:
    return [{"InstanceType": name, "InstanceCount": 1} for name in types]


def test_one_missing_quota_rejects_a_request(service: Service) -> None:
    create(service, InstancePreferences=preferences("ml.m5.large", "ml.c5.large"))
    service.quotas = {QUOTA.format("ml.m5.large"): 2, QUOTA.format("ml.c5.large"): 0}
    with pytest.raises(ClientError, match=r"ResourceLimitExceeded.*ml.c5.large for processing"):
        create(service, InstancePreferences=preferences("ml.m5.large", "ml.c5.large"))
    with pytest.raises(ClientError, match="ResourceLimitExceeded"):
        create(service, InstanceType="ml.m5.large", InstanceCount=3)
    quotas = service.client("service-quotas").list_service_quotas(ServiceCode="sagemaker")
    assert {item["QuotaName"]: item["Value"] for item in quotas["Quotas"]} == service.quotas


def test_a_step_without_a_quota_fails_with_the_reason(service: Service) -> None:
    service.quotas = {}
    execution = service.execute()
    assert execution.status == "Failed"
    assert QUOTA.format("ml.m5.large") in execution.steps[0]["FailureReason"]


def test_a_rule_of_the_account_denies_jobs_of_launches_and_of_steps(service: Service) -> None:
    service.rules.append(lambda job: None if "NetworkConfig" in job else "a VPC is required")
    with pytest.raises(ClientError, match=r"AccessDeniedException.*a VPC is required"):
        create(service)
    execution = service.execute()
    assert execution.steps[0]["FailureReason"] == "ClientError: a VPC is required"
    vpc = {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}
    again = service.client("sagemaker")
    again.create_processing_job(**request() | {"NetworkConfig": vpc})
    assert len(service.requests["CreateProcessingJob"]) == 3


# What launch makes of it


@pytest.fixture
def aws(service: Service, no_aws: dict[str, str]) -> dict[str, str]:
    settings = {
        "PYTHONPATH": no_aws["PYTHONPATH"],
        "S3_BUCKET": emulator.BUCKET,
        "SAGEMAKER_ROLE_ARN": f"arn:aws:iam::{registry.ACCOUNT}:role/jobs",
    }
    return no_aws | service.environment() | settings


@pytest.mark.usefixtures("small_pipeline")
def test_a_pipeline_outlives_faults_of_aws(
    launch: Callable[..., subprocess.CompletedProcess[str]],
    service: Service,
    aws: dict[str, str],
) -> None:
    service.files = {"numbers.json": json.dumps({"score": SCORE}).encode()}
    service.reasons = ["CapacityError: none", "", "InternalServerError: an instance failed"]
    service.faults["CreateProcessingJob"] = ["ThrottlingException"]
    done = launch("pipeline", "--backend", "sagemaker", "--image", "image", env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = [name.removeprefix(f"{SLUG}-").partition("-")[0] for name in service.names()]
    assert jobs == ["gather", "gather", "gather", "search", "search", "fit"]
    assert "gather: Succeeded (attempt 3)" in done.stdout

    done = launch("deploy", "--image", "image", env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    service.requests.clear()
    execution = service.start(SLUG, fit_seed="5")
    execution.wait()
    assert execution.status == "Succeeded", execution.steps
    last = service.requests["CreateProcessingJob"][-1]
    assert last["AppSpecification"]["ContainerArguments"] == ["--seed=5"]
    assert all(name.startswith(f"{SLUG}-") for name in service.names())
