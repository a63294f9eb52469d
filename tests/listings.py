"""Lists of the service, with tags: jobs, executions and prices."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from botocore.exceptions import ClientError
from executions import Execution

PRICED_INSTANCE = "ml.m5.xlarge"
"""The only type of instance that has a price."""

PRICE = "0.2570000000"
"""For an hour."""


class Service(Protocol):
    """The part of the service that is asked."""

    @property
    def executions(self) -> Mapping[str, Execution]: ...

    @property
    def job_requests(self) -> Mapping[str, dict[str, Any]]: ...

    def client(self, service: str) -> Any: ...


def answer(service: Service, operation: str, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the answer to a request; ``None`` if it is not about a list."""
    if operation == "GetProducts":
        return {"FormatVersion": "aws_v1", "PriceList": [_product()]}
    if operation == "ListProcessingJobs":
        jobs = _jobs(service).items()
        listed = [_summary(job) for name, job in jobs if request["NameContains"] in name]
        listed.sort(key=lambda job: -job["CreationTime"])
        return {"ProcessingJobSummaries": listed[: request["MaxResults"]]}
    if operation == "GetResources":
        requests = service.job_requests
        tags = {
            job["ProcessingJobArn"]: requests[name].get("Tags", [])
            for name, job in _jobs(service).items()
        }
        found = [arn for arn in request["ResourceARNList"] if arn in tags]
        return {
            "ResourceTagMappingList": [{"ResourceARN": arn, "Tags": tags[arn]} for arn in found]
        }
    if operation == "ListPipelineExecutions":
        found = [
            arn for arn in service.executions if f":pipeline/{request['PipelineName']}/" in arn
        ]
        return {"PipelineExecutionSummaries": [_execution(service, arn) for arn in found[::-1]]}
    if operation == "DescribePipelineDefinitionForExecution":
        execution = service.executions[request["PipelineExecutionArn"]]
        return {"PipelineDefinition": json.dumps(execution.definition)}
    if operation == "ListPipelineParametersForExecution":
        given = service.executions[request["PipelineExecutionArn"]].parameters
        return {
            "PipelineParameters": [
                {"Name": name, "Value": str(value)} for name, value in given.items()
            ]
        }
    return None


def _product() -> str:
    """The price of an instance, as the price list of AWS has it."""
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": PRICE}}
    return json.dumps(
        {
            "product": {"attributes": {"usagetype": f"EU-Processing:{PRICED_INSTANCE}"}},
            "terms": {"OnDemand": {"X": {"priceDimensions": {"X.Y": dimension}}}},
        }
    )


def _jobs(service: Service) -> dict[str, Mapping[str, Any]]:
    """Describe the jobs by name, without those of an account that another test has emptied."""
    client = service.client("sagemaker")
    found: dict[str, Mapping[str, Any]] = {}
    for name in service.job_requests:
        with suppress(ClientError):
            found[name] = client.describe_processing_job(ProcessingJobName=name)
    return found


def _summary(job: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("ProcessingJobName", "ProcessingJobArn", "ProcessingJobStatus", "ExitMessage")
    times = ("CreationTime", "ProcessingEndTime")
    texts = {key: job[key] for key in keys if key in job}
    return texts | {key: job[key].timestamp() for key in times if key in job}


def _execution(service: Service, arn: str) -> dict[str, Any]:
    client = service.client("sagemaker")
    found = client.describe_pipeline_execution(PipelineExecutionArn=arn)
    keys = ("PipelineExecutionArn", "PipelineExecutionStatus", "PipelineExecutionDisplayName")
    shown = {key: found[key] for key in keys if key in found}
    return shown | {"StartTime": found["CreationTime"].timestamp()}
