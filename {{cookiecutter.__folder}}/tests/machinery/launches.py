"""A SageMaker account with jobs and executions that a test has made, and the tags of these.

It stands before moto, which lists jobs in the order of their creation, knows no tags of SageMaker
in the Resource Groups Tagging API, and has no executions that end. ``install`` lets a fixture of
``aws_faults`` answer with it, so that calls are counted and may fail.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aws_faults import REGION, ROLE, Faults

START = datetime(2026, 11, 30, 12, tzinfo=UTC)
_ARN = f"arn:aws:sagemaker:{REGION}:123456789012"
_OPERATIONS = (
    *("ListProcessingJobs", "DescribeProcessingJob", "StopProcessingJob", "GetResources"),
    *("ListPipelineExecutions", "DescribePipelineExecution", "StopPipelineExecution"),
    *("ListPipelineExecutionSteps", "DescribePipelineDefinitionForExecution"),
    "ListPipelineParametersForExecution",
)


@dataclass
class Launches:
    """What the account holds."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The answer to DescribeProcessingJob, by the name of the job."""
    executions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The answer to DescribePipelineExecution, by ARN."""
    steps: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    """By ARN."""
    stopped: list[str] = field(default_factory=list)

    def install(self, faults: Faults) -> None:
        """Answer the calls that these launches are about."""
        for operation in _OPERATIONS:
            faults.serve(operation, getattr(self, f"_{operation}"))

    def add_job(
        self,
        name: str,
        status: str = "Completed",
        *,
        minutes: float = 0.0,
        tags: dict[str, str] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Make a job that was created some minutes after ``START``, and return what it answers."""
        created = START + timedelta(minutes=minutes)
        ended = {} if status == "InProgress" else {"ProcessingEndTime": _seconds(created, 90)}
        cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
        self.jobs[name] = {
            "ProcessingJobName": name,
            "ProcessingJobArn": f"{_ARN}:processing-job/{name}",
            "ProcessingJobStatus": status,
            "CreationTime": _seconds(created),
            **ended,
            "ProcessingResources": {"ClusterConfig": cluster},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            "AppSpecification": {"ImageUri": "registry/image@sha256:1"},
            "RoleArn": ROLE,
            **fields,
        }
        if tags:
            self.tags[self.jobs[name]["ProcessingJobArn"]] = tags
        return self.jobs[name]

    def add_execution(
        self,
        pipeline: str,
        execution: str,
        status: str = "Succeeded",
        *,
        minutes: float = 0.0,
        **fields: Any,
    ) -> str:
        """Make an execution of a pipeline, and return its ARN."""
        arn = f"{_ARN}:pipeline/{pipeline}/execution/{execution}"
        created = START + timedelta(minutes=minutes)
        self.executions[arn] = {
            "PipelineArn": f"{_ARN}:pipeline/{pipeline}",
            "PipelineExecutionArn": arn,
            "PipelineExecutionStatus": status,
            "CreationTime": _seconds(created),
            "LastModifiedTime": _seconds(created, 300),
            **fields,
        }
        return arn

    def _ListProcessingJobs(self, request: Any) -> Any:  # noqa: N802 - the operation's name
        asked = _asked(request)
        newest = sorted(self.jobs.values(), key=lambda job: -job["CreationTime"])
        found = [job for job in newest if asked["NameContains"] in job["ProcessingJobName"]]
        keys = [
            *("ProcessingJobName", "ProcessingJobArn", "ProcessingJobStatus", "CreationTime"),
            *("ProcessingEndTime", "FailureReason", "ExitMessage"),
        ]
        listed = [{key: job[key] for key in keys if key in job} for job in found]
        return _page(request, "ProcessingJobSummaries", listed)

    def _DescribeProcessingJob(self, request: Any) -> Any:  # noqa: N802
        name = _asked(request)["ProcessingJobName"]
        return _answer(request, self.jobs[name]) if name in self.jobs else _missing(request)

    def _StopProcessingJob(self, request: Any) -> Any:  # noqa: N802
        self.stopped.append(_asked(request)["ProcessingJobName"])
        self.jobs[self.stopped[-1]]["ProcessingJobStatus"] = "Stopping"
        return _answer(request, {})

    def _GetResources(self, request: Any) -> Any:  # noqa: N802
        arns = _asked(request)["ResourceARNList"]
        assert 1 <= len(arns) <= 100
        found = [
            {
                "ResourceARN": arn,
                "Tags": [{"Key": key, "Value": value} for key, value in self.tags[arn].items()],
            }
            for arn in arns
            if arn in self.tags
        ]
        return _answer(request, {"ResourceTagMappingList": found})

    def _ListPipelineExecutions(self, request: Any) -> Any:  # noqa: N802
        name = _asked(request)["PipelineName"]
        found = [
            {
                "PipelineExecutionArn": arn,
                "StartTime": each["CreationTime"],
                "PipelineExecutionStatus": each["PipelineExecutionStatus"],
                **{key: each[key] for key in each if key == "PipelineExecutionDisplayName"},
            }
            for arn, each in self.executions.items()
            if f":pipeline/{name}/" in arn
        ]
        if not found:
            return _missing(request)
        found.sort(key=lambda each: -each["StartTime"])
        return _page(request, "PipelineExecutionSummaries", found)

    def _DescribePipelineExecution(self, request: Any) -> Any:  # noqa: N802
        found = self.executions.get(_asked(request)["PipelineExecutionArn"])
        return _answer(request, found) if found else _missing(request)

    def _StopPipelineExecution(self, request: Any) -> Any:  # noqa: N802
        self.stopped.append(_asked(request)["PipelineExecutionArn"])
        self.executions[self.stopped[-1]]["PipelineExecutionStatus"] = "Stopping"
        return _answer(request, {})

    def _ListPipelineExecutionSteps(self, request: Any) -> Any:  # noqa: N802
        found = self.steps.get(_asked(request)["PipelineExecutionArn"], [])
        return _page(request, "PipelineExecutionSteps", found)

    def _DescribePipelineDefinitionForExecution(self, request: Any) -> Any:  # noqa: N802
        found = self.definitions[_asked(request)["PipelineExecutionArn"]]
        return _answer(request, {"PipelineDefinition": json.dumps(found)})

    def _ListPipelineParametersForExecution(self, request: Any) -> Any:  # noqa: N802
        return _answer(request, {"PipelineParameters": []})


def job_step(name: str, job: str, status: str = "Succeeded", **fields: Any) -> dict[str, Any]:
    """Return a step of an execution that runs a job."""
    arn = f"{_ARN}:processing-job/{job}"
    return {
        "StepName": name,
        "StepStatus": status,
        "Metadata": {"ProcessingJob": {"Arn": arn}},
        **fields,
    }


def _seconds(time: datetime, later: float = 0.0) -> float:
    return time.timestamp() + later


def _asked(request: Any) -> dict[str, Any]:
    asked: dict[str, Any] = json.loads(request.body)
    return asked


def _page(request: Any, key: str, items: list[dict[str, Any]]) -> Any:
    asked = _asked(request)
    first, size = int(asked.get("NextToken", 0)), asked.get("MaxResults", 100)
    page: dict[str, Any] = {key: items[first : first + size]}
    if first + size < len(items):
        page["NextToken"] = str(first + size)
    return _answer(request, page)


def _missing(request: Any) -> Any:
    body = {"__type": "ResourceNotFound", "message": "no such resource"}
    return _answer(request, body, status=400)


def _answer(request: Any, content: Any, status: int = 200) -> Any:
    from botocore.awsrequest import AWSResponse
    from moto.core.botocore_stubber import MockRawResponse

    headers = {"Content-Type": "application/x-amz-json-1.1"}
    return AWSResponse(request.url, status, headers, MockRawResponse(json.dumps(content)))
