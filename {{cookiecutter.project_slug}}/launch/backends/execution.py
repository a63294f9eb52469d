"""Runs a pipeline as an execution on SageMaker, or deploys it for others to execute.

An execution that was started goes on whatever happens here. What goes wrong from then on is never
reported as its failure.
"""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from .. import aws, cluster, config, project, s3
from ..graph import Pipeline, Step
from ..metric import MetricError
from ..project import COMMAND, LaunchError
from ..reuse import Source, display_name
from ..run import ExitCode, Run
from . import sagemaker
from .sagemaker import Connection, NoAnswerError

_STATUS = {"Succeeded": "Completed", "Stopped": "Stopped"}
"""How the status of a finished execution is reported; any other is a failure."""

_MAYBE_RUNNING = f"an execution may be running: `{COMMAND} list` lists it"


def run(pipeline: Pipeline, definition: Mapping[str, Any], source: Source | None = None) -> Run:
    """Execute a pipeline on SageMaker and, unless told otherwise, follow it to its end.

    Args:
        pipeline: The pipeline.
        definition: Its definition.
        source: The execution whose results are taken for jobs that do not run.

    Raises:
        LaunchError: The launch was rejected; nothing was started.
    """
    source = source or Source()
    for result in source.reused:
        _print(result.description)
    _upload_inputs(pipeline)
    version = _put(pipeline, definition)
    selected = _selective_config(pipeline, definition, source)
    named = [address for step in pipeline.steps for address in step.launch.named_outputs.values()]
    advice = sagemaker.STAY_CLAIMED if named else ""
    note = {"pipeline": pipeline.name, "run": pipeline.options.run_name}
    with sagemaker.claimed(named, note, advice, config.output_key()):
        arn = _start(pipeline, version, selected)
        return _follow(pipeline, arn, source, advice)


def _follow(pipeline: Pipeline, arn: str, source: Source, advice: str) -> Run:
    """Follow an execution to its end, unless told otherwise."""
    if not arn:
        message = "; ".join(filter(None, [_MAYBE_RUNNING, advice]))
        return Run(pipeline.name, "InProgress", {}, message, ExitCode.STILL_RUNNING)
    _print(f"InProgress: {arn}\n  {aws.console()}/sagemaker/home#/studio")
    if not pipeline.options.wait:
        return Run(arn, "InProgress", {})
    message = f"the execution is still running: {sagemaker.commands(arn)}"
    try:
        return _Execution(pipeline, arn, outputs=source.outputs()).follow()
    except NoAnswerError as error:
        _print(f"the execution can no longer be followed: {error}")
        return Run(arn, "InProgress", {}, message, ExitCode.STILL_RUNNING)
    except BaseException:
        _print(message)
        raise


def deploy(pipeline: Pipeline, definition: Mapping[str, Any]) -> str:
    """Store the definition that schedules execute, start nothing, and return the pipeline's ARN.

    Raises:
        LaunchError: An input cannot be uploaded, or SageMaker rejects the definition.
    """
    _upload_inputs(pipeline)
    return str(_put(pipeline, definition)["PipelineArn"])


def _upload_inputs(pipeline: Pipeline) -> None:
    """Upload what the steps read, once if several of them read the same, such as their code."""
    uploaded = set()
    for step in pipeline.steps:
        key = config.output_key(step.job)
        for snapshot in step.launch.uploads:
            if (snapshot.digest, key) not in uploaded:
                s3.upload(snapshot, key)
                uploaded.add((snapshot.digest, key))


def _put(pipeline: Pipeline, definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """Create the pipeline or replace its definition, and return UpdatePipeline's answer.

    A pipeline that was just created is updated, too: only that answer names the version. Its role
    is that of all jobs, and hands theirs to jobs that have another one.
    """
    from botocore.exceptions import ClientError

    first = pipeline.steps[0].request["Tags"]
    commit = next(tag["Value"] for tag in first if tag["Key"] == "commit")
    fields = {
        "PipelineName": pipeline.name,
        "PipelineDescription": f"Commit {commit}",
        "PipelineDefinition": json.dumps(definition),
        "RoleArn": config.request().get("RoleArn") or project.require("SAGEMAKER_ROLE_ARN"),
    }
    tags = [
        tag
        for tag in first
        if tag["Key"] not in ("commit", "run", "code")
        and all(tag in step.request["Tags"] for step in pipeline.steps)
    ]
    client = aws.client("sagemaker")
    with aws.errors(f"pipeline {pipeline.name}"):
        try:
            client.create_pipeline(**fields, Tags=tags)
        except ClientError as error:
            if "already exists" not in error.response["Error"].get("Message", ""):
                raise
        answer: Mapping[str, Any] = client.update_pipeline(**fields)
    return answer


def _start(pipeline: Pipeline, put: Mapping[str, Any], selected: Mapping[str, Any]) -> str:
    """Start an execution and return its ARN; empty if it is unknown whether it was started.

    It executes the version that this launch has put, even if another launch has put one since.
    SageMaker starts only one execution for a token, so a call whose answer is lost is repeated.

    Raises:
        LaunchError: SageMaker rejected it.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    request: dict[str, Any] = {
        "PipelineName": pipeline.name,
        "PipelineExecutionDisplayName": display_name(pipeline.options.run_name),
        "PipelineParameters": [
            {"Name": step.parameter(option), "Value": address}
            for step in pipeline.steps
            for option, address in step.launch.named_outputs.items()
        ],
        "ClientRequestToken": secrets.token_hex(16),
    }
    if selected:
        request["SelectiveExecutionConfig"] = selected
    if "PipelineVersionId" in put:
        request["PipelineVersionId"] = put["PipelineVersionId"]
    try:
        with aws.errors(f"pipeline {pipeline.name}"):
            try:
                client = aws.client("sagemaker")
                return str(client.start_pipeline_execution(**request)["PipelineExecutionArn"])
            except (BotoCoreError, ClientError) as error:
                if not sagemaker.may_have_succeeded(error):
                    raise
                _print(f"repeating the call, because its answer was lost: {error}")
        answer = Connection("sagemaker").call("start_pipeline_execution", **request)
    except LaunchError:
        raise
    except NoAnswerError as error:
        _print(f"it is unknown whether an execution was started: {error}")
        return ""
    except BaseException:
        _print(_MAYBE_RUNNING)
        raise
    if answer is None:
        raise LaunchError(f"pipeline {pipeline.name}: SageMaker does not find it any more")
    return str(answer["PipelineExecutionArn"])


def _selective_config(
    pipeline: Pipeline, definition: Mapping[str, Any], source: Source
) -> dict[str, Any]:
    """Return the ``SelectiveExecutionConfig`` of an execution; empty if all jobs run.

    Steps after the selected ones do not run unless they are selected, too, so the check of the
    metric is, and the step that fails the execution.
    """
    if not pipeline.selection.skipped:
        return {}
    skipped = {step.name for step in pipeline.steps} - {step.name for step in pipeline.running}
    selected = [name for name in _step_names(definition["Steps"]) if name not in skipped]
    made: dict[str, Any] = {"SelectedSteps": [{"StepName": name} for name in selected]}
    if source.arn:
        made["SourcePipelineExecutionArn"] = source.arn
    return made


def _step_names(steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for step in steps:
        yield step["Name"]
        for branch in ("IfSteps", "ElseSteps"):
            yield from _step_names(step["Arguments"].get(branch, []))


@dataclass
class _Execution:
    """An execution of a pipeline, of which each new status is printed."""

    pipeline: Pipeline
    arn: str
    connection: Connection = field(default_factory=lambda: Connection("sagemaker"))
    printed: dict[str, str] = field(default_factory=dict)
    """The line about the status of each step that was printed last."""
    runs: dict[str, Run] = field(default_factory=dict)
    """The jobs that were followed, by name."""
    outputs: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """By job and channel, the addresses of outputs that are complete."""

    def follow(self) -> Run:
        """Print the steps, with the log of each job, until the execution ends.

        Raises:
            NoAnswerError: AWS does not answer; the execution goes on.
        """
        while True:
            # In this order, the steps of a finished execution are final, too.
            execution = self._describe()
            states = self._list_steps()
            for state in states:
                self._show(state)
            status = execution["PipelineExecutionStatus"]
            if status not in ("Executing", "Stopping"):
                return self._report(_STATUS.get(status, "Failed"), execution, states)
            sleep(sagemaker.POLL_SECONDS)

    def _describe(self) -> Mapping[str, Any]:
        """Return the state of the execution, which SageMaker may not show at once."""
        deadline = monotonic() + sagemaker.APPEAR_SECONDS
        while True:
            answer = self.connection.call(
                "describe_pipeline_execution", PipelineExecutionArn=self.arn
            )
            if answer is not None:
                return answer
            if monotonic() >= deadline:
                raise NoAnswerError(f"SageMaker does not find {self.arn}")
            sleep(sagemaker.POLL_SECONDS)

    def _list_steps(self) -> list[Mapping[str, Any]]:
        states: list[Mapping[str, Any]] = []
        page: dict[str, Any] = {}
        while True:
            answer = self.connection.call(
                "list_pipeline_execution_steps",
                PipelineExecutionArn=self.arn,
                SortOrder="Ascending",
                **page,
            )
            answer = answer or {}
            states += answer.get("PipelineExecutionSteps", [])
            if "NextToken" not in answer:
                return states
            page = {"NextToken": answer["NextToken"]}

    def _show(self, state: Mapping[str, Any]) -> None:
        """Print a status that is new, and follow a job that is new to its end."""
        name, status = state["StepName"], state["StepStatus"]
        earlier = "SelectiveExecutionResult" in state
        cached = earlier or "CacheHitResult" in state
        attempt = state.get("AttemptCount", 1)
        origin = "an earlier execution" if earlier else "the cache"
        line = f"{name}: {status}{f' (from {origin})' if cached else ''}"
        line += f" (attempt {attempt})" if attempt > 1 else ""
        if self.printed.get(name) != line:
            _print(line)
            self.printed[name] = line
        step = next((each for each in self.pipeline.steps if each.name == name), None)
        if step is None:
            return
        job = _job_name(state)
        if job and not cached and job not in self.runs:
            self.runs[job] = self._follow_job(step, job)
        if status == "Succeeded" and step.job not in self.outputs:
            self.outputs[step.job] = self._cached_outputs(job) if cached else self._written(step)

    def _follow_job(self, step: Step, job: str) -> Run:
        """Follow a job; one that cannot be followed does not end the following of the execution."""
        names = {channel.option: channel.name for channel in step.launch.job.inputs}
        inputs = {
            option: self.outputs[writer][names[option]]
            for option, writer in step.launch.upstream.items()
            if names[option] in self.outputs.get(writer, {})
        }
        repeat = step.launch.command(backend="docker", **inputs)
        hosts = cluster.instance_count(step.request)
        run = sagemaker.follow(job, {}, hosts, repeat, sagemaker.DENIED_SECONDS)
        if run.exit_code == ExitCode.STILL_RUNNING:
            _print(f"{step.name}: its job cannot be followed any more, but the execution can")
        return run

    def _written(self, step: Step) -> Mapping[str, str]:
        """Return the addresses to which a step of this execution has written, by channel."""
        execution_id = self.arn.rpartition("/")[2]
        named = step.launch.named_outputs
        return {
            channel.name: named.get(channel.option)
            or s3.run_address(execution_id, step.job, channel.name)
            for channel in step.launch.job.outputs
        }

    def _cached_outputs(self, job: str) -> Mapping[str, str]:
        """Return the addresses to which a job of an earlier execution has written, by channel."""
        try:
            answer = self.connection.call_once("describe_processing_job", ProcessingJobName=job)
        except LaunchError as error:
            _print(f"the outputs of {job} cannot be looked up: {error}")
            return {}
        return s3.output_addresses(answer or {})

    def _report(
        self, status: str, execution: Mapping[str, Any], states: list[Mapping[str, Any]]
    ) -> Run:
        outputs = {
            f"{channel.option}.{step.job}": self.outputs[step.job][channel.name]
            for step in self.pipeline.steps
            for channel in step.launch.job.outputs
            if channel.name in self.outputs.get(step.job, {})
        }
        reasons = [
            f"{state['StepName']}: {self._exit_message(state) or state['FailureReason']}"
            for state in states
            if "FailureReason" in state
        ]
        message = "\n".join(reasons) or execution.get("FailureReason", "")
        exit_code = ExitCode.COMPLETED if status == "Completed" else ExitCode.FAILED
        metric = self._metric() if status == "Completed" else ""
        usage = tuple(each for run in self.runs.values() for each in run.usage)
        return Run(self.arn, status, outputs, message, exit_code, metric, usage)

    def _metric(self) -> str:
        """Return the metric that SageMaker has checked; empty if there is none or it is unknown."""
        metric = self.pipeline.metric
        address = self.outputs.get(metric.job, {}).get(metric.output) if metric else None
        if metric is None or address is None:
            return ""
        try:
            return metric.describe(metric.read(s3.read(address.rstrip("/"), metric.file)))
        except (LaunchError, MetricError) as error:
            _print(f"{metric.name} cannot be shown: {error}")
            return ""

    def _exit_message(self, state: Mapping[str, Any]) -> str:
        run = self.runs.get(_job_name(state))
        return run.exit_message if run and run.exit_code == ExitCode.FAILED else ""


def _job_name(state: Mapping[str, Any]) -> str:
    """Return the name of a step's processing job; empty while there is none."""
    metadata = state.get("Metadata", {})
    return str(metadata.get("ProcessingJob", {}).get("Arn", "").rpartition("/")[2])


def _print(text: str) -> None:
    """Print at once, so that a log file or a pipe shows a line when it is written."""
    print(text, flush=True)
