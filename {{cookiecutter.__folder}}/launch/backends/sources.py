"""Finds the execution whose results a pipeline on SageMaker takes for the jobs that do not run.

https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-selective-ex.html
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from ..aws import clients, errors
from ..history import results
from ..history.results import Result
from ..history.reuse import Source, display_name
from ..pipelines.graph import Pipeline
from ..settings import config, names, project
from ..settings.project import LaunchError
from ..storage import s3

_NEWEST = 20
"""How many executions are searched for complete results, from the newest one on."""

_KNOWN = 100
"""How many executions are searched for the name of a run."""

_USABLE = ("Succeeded", "Failed")
"""SageMaker takes results from executions of these statuses only."""


def find(pipeline: Pipeline) -> Source:
    """Return the chosen execution, or the newest one with complete results.

    Raises:
        LaunchError: There is none, or its results are not complete.
    """
    if not pipeline.selection.needed:
        return Source()
    run = pipeline.selection.run
    with errors.as_launch_error(f"pipeline {pipeline.name}"):
        client = clients.client("sagemaker")
        if run:
            summary = _named(client, pipeline.name, run)
            status = summary["PipelineExecutionStatus"]
            if status not in _USABLE:
                raise LaunchError(
                    f"argument --from_run: the execution {run} is {status}: SageMaker takes "
                    "results of executions that have succeeded or failed only"
                )
            complete = _results(client, pipeline, summary)
            if isinstance(complete, str):
                raise LaunchError(
                    f"argument --from_run: the results of {run} are not complete: {complete}: name "
                    "another run, or begin with an earlier job"
                )
            return _source(summary, complete)
        for summary in islice(_executions(client, pipeline.name), _NEWEST):
            if summary["PipelineExecutionStatus"] in _USABLE:
                complete = _results(client, pipeline, summary)
                if not isinstance(complete, str):
                    return _source(summary, complete)
    raise LaunchError(
        f"argument --from: none of the last {_NEWEST} executions of {pipeline.name} has complete "
        f"results of {pipeline.selection.listed}: run the pipeline without --from first, or name "
        "an older run with --from_run"
    )


def results_of(run: str) -> tuple[str, list[Result]]:
    """Return the name of an execution and what its jobs have written, cached results included.

    Raises:
        LaunchError: There is no such execution, or SageMaker does not answer.
    """
    pipelines = [f"{project.name()}-launched", project.name()]
    if run.startswith("arn:"):
        pipelines = [run.rpartition(":pipeline/")[2].partition("/")[0]]
    with errors.as_launch_error(f"execution {run}"):
        client = clients.client("sagemaker")
        for pipeline in pipelines:
            if summary := _matching(client, pipeline, run):
                return _name(summary), list(_written(client, summary))
    raise LaunchError(f"there is no execution {run!r} among the last {_KNOWN} of the pipelines")


def _written(client: Any, summary: Mapping[str, Any]) -> Iterator[Result]:
    """Yield what the jobs of an execution have written, or its cached results."""
    arn = summary["PipelineExecutionArn"]
    jobs = {name.replace("_", "-"): name for name in config.jobs()}
    root = f"{s3.runs_address()}/"
    for name, state in _states(client, arn).items():
        for channel, address in _addresses(client, state).items():
            folder = address.removeprefix(root).partition("/")[0] if root in address else ""
            run = folder if folder and folder != arn.rpartition("/")[2] else _name(summary)
            yield results.at(run, jobs.get(name, name), channel, address)


def _source(summary: Mapping[str, Any], reused: Iterable[Result]) -> Source:
    return Source(summary["PipelineExecutionArn"], [result.reused for result in reused])


def _executions(client: Any, pipeline: str) -> Iterator[Mapping[str, Any]]:
    """Yield the executions of a pipeline, the newest first; none if there is no such pipeline."""
    pages = client.get_paginator("list_pipeline_executions").paginate(
        PipelineName=pipeline, SortBy="CreationTime", SortOrder="Descending"
    )
    try:
        for page in pages:
            yield from page["PipelineExecutionSummaries"]
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in errors.NOT_FOUND:
            raise


def _named(client: Any, pipeline: str, run: str) -> Mapping[str, Any]:
    """Return the newest execution with an ARN, an ID or a run name.

    Raises:
        LaunchError: There is none.
    """
    if found := _matching(client, pipeline, run):
        return found
    known = map(_name, islice(_executions(client, pipeline), _KNOWN))
    raise LaunchError(
        f"argument --from_run: there is no execution {run!r} among the last {_KNOWN} of {pipeline}"
        f"{names.similar(run, known)}"
    )


def _matching(client: Any, pipeline: str, run: str) -> Mapping[str, Any] | None:
    for summary in islice(_executions(client, pipeline), _KNOWN):
        arn = summary["PipelineExecutionArn"]
        if run in (arn, arn.rpartition("/")[2]) or _name(summary) == display_name(run):
            return summary
    return None


def _name(summary: Mapping[str, Any]) -> str:
    """Return the name of the run that an execution is, or else its ID."""
    execution_id = summary["PipelineExecutionArn"].rpartition("/")[2]
    return str(summary.get("PipelineExecutionDisplayName") or execution_id)


def _states(client: Any, arn: str) -> dict[str, Mapping[str, Any]]:
    """Return the steps of an execution by name."""
    pages = client.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=arn)
    return {state["StepName"]: state for page in pages for state in page["PipelineExecutionSteps"]}


def _results(client: Any, pipeline: Pipeline, summary: Mapping[str, Any]) -> list[Result] | str:
    """Return the needed results of an execution, or why they are not complete."""
    states = _states(client, summary["PipelineExecutionArn"])
    complete: list[Result] = []
    for job, channels in pipeline.selection.needed.items():
        state = states.get(pipeline.step(job).name, {})
        if state.get("StepStatus") != "Succeeded":
            return f"the step {job} has not succeeded in it"
        addresses = _addresses(client, state)
        for channel in channels:
            if channel not in addresses:
                return f"it has no {channel} of {job}"
            result = results.at(_name(summary), job, channel, addresses[channel])
            if result.problem:
                return f"{result.address}: {result.problem}"
            complete.append(result)
    return complete


def _addresses(client: Any, state: Mapping[str, Any]) -> dict[str, str]:
    """Return the addresses to which the job of a step has written, by channel."""
    metadata = state.get("Metadata", {}).get("ProcessingJob", {})
    job = str(metadata.get("Arn", "")).rpartition("/")[2]
    if not job:
        return {}
    try:
        described = client.describe_processing_job(ProcessingJobName=job)
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in errors.NOT_FOUND:
            raise
        return {}
    return s3.output_addresses(described)
