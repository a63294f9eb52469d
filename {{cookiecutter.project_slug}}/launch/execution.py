"""A pipeline on SageMaker: started, and followed step by step."""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from . import aws, definition, sagemaker
from .pipeline import Pipeline, Step
from .run import Run

_STATUS = {"Succeeded": "Completed"}  # in the words of processing jobs


def run(pipeline: Pipeline) -> Run:
    """Put the definition in the place of the last one, execute it, and see it to its end."""
    built = definition.build(pipeline)
    definition.check(built)
    for step in pipeline.steps:
        sagemaker.upload(step.plan.call, step.plan.request, later=step.fed)
    os.environ["SAGEMAKER_VALIDATE_ROLE"] = "false"  # that takes rights on IAM
    first = pipeline.steps[0].plan.request
    with aws.errors(built.name):
        built.upsert(first["RoleArn"], tags=first["Tags"])
        arn: str = built.start().arn
    print(f"InProgress: {arn}\n  {aws.console()}/sagemaker/home#/studio", flush=True)
    if not pipeline.options.wait:
        return Run(arn, "InProgress", {})
    try:
        return _follow(pipeline, arn)
    except (KeyboardInterrupt, SystemExit):
        print(f"it goes on: aws sagemaker stop-pipeline-execution --pipeline-execution-arn {arn}")
        raise


def _follow(pipeline: Pipeline, arn: str) -> Run:
    """Show each step as it goes on, with the log of its job."""
    steps = {definition.step_name(step.name): step for step in pipeline.steps}
    outputs: dict[str, str] = {}
    shown: dict[str, str] = {}
    client = aws.client("sagemaker")
    while True:
        with aws.errors(arn):
            execution = client.describe_pipeline_execution(PipelineExecutionArn=arn)
            pages = client.get_paginator("list_pipeline_execution_steps")
            found = pages.paginate(PipelineExecutionArn=arn, SortOrder="Ascending")
            items = [item for page in found for item in page["PipelineExecutionSteps"]]
        for item in items:
            name, status = item["StepName"], item["StepStatus"]
            job = item.get("Metadata", {}).get("ProcessingJob", {}).get("Arn", "")
            cached = " from the cache" if "CacheHitResult" in item else ""
            if shown.get(name) != status:
                print(f"{name}: {status}{cached}", flush=True)
            if job and shown.get(job) is None:
                outputs |= _follow_job(steps[name], job.rpartition("/")[2])
            shown |= {name: status, job: status}
        status = execution["PipelineExecutionStatus"]
        if status not in ("Executing", "Stopping"):
            break
        time.sleep(sagemaker.POLL_SECONDS)
    status = _STATUS.get(status, status)
    reasons = [
        f"{each['StepName']}: {each['FailureReason']}" for each in items if "FailureReason" in each
    ]
    return Run(arn, status, outputs, "\n".join(reasons), int(status != "Completed"))


def _follow_job(step: Step, name: str) -> dict[str, str]:
    """Show the job of a step to its end; where its outputs lie, by option."""
    with aws.errors(name):
        job = aws.client("sagemaker").describe_processing_job(ProcessingJobName=name)
    call = step.plan.call
    inputs = _addresses(job.get("ProcessingInputs", []), "Input")
    fed = {item.option: inputs[item.name] for item in call.job.inputs if item.option in step.fed}
    if job["ProcessingJobStatus"] != "Completed":
        sagemaker.follow(replace(call, given={**call.given, **fed}), name, {})
    outputs = _addresses(job.get("ProcessingOutputConfig", {}).get("Outputs", []), "Output")
    return {f"{item.option}.{step.name}": outputs[item.name] for item in call.job.outputs}


def _addresses(channels: list[Mapping[str, Any]], kind: str) -> dict[str, str]:
    return {item[f"{kind}Name"]: item[f"S3{kind}"]["S3Uri"] for item in channels}
