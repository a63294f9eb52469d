"""Runs a pipeline as an execution on SageMaker, or deploys it for others to execute.

An execution that was started continues regardless of this process, whose later errors are never
reported as a failure of the execution.
"""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from ..aws import clients, errors
from ..history.account import step_job
from ..history.reuse import Source, display_name
from ..pipelines.graph import Pipeline, Step
from ..run import ExitCode, Run
from ..settings import config, project
from ..settings.metric import MetricError
from ..settings.project import COMMAND, LaunchError
from ..storage import s3
from . import sagemaker
from .sagemaker import Connection, NoAnswerError

State = Mapping[str, Any]
"""The description of a step of an execution by SageMaker."""

_RUNNING = ("Executing", "Stopping")

_STATUS = {"Succeeded": "Completed", "Stopped": "Stopped"}
"""How the status of a finished execution is reported; any other is a failure."""

_MAYBE_RUNNING = f"an execution may be running: `{COMMAND} list` lists it"


def run(pipeline: Pipeline, definition: Mapping[str, Any], source: Source | None = None) -> Run:
    """Execute a pipeline on SageMaker and, unless ``wait`` is false, follow it to its end.

    Args:
        pipeline: The pipeline.
        definition: Its definition.
        source: The execution whose results are taken for jobs that do not run.

    Raises:
        LaunchError: The launch was rejected; nothing was started.
    """
    source = source or Source()
    for result in source.reused:
        _print(result.describe(pipeline.stamp))
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
    """Follow an execution to its end, unless ``wait`` is false."""
    if not arn:
        message = "; ".join(filter(None, [_MAYBE_RUNNING, advice]))
        return Run(pipeline.name, "InProgress", {}, message, ExitCode.STILL_RUNNING)
    _print(f"InProgress: {arn}\n  {clients.console()}/sagemaker/home#/studio")
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
    """Store the definition that schedules execute, and return the pipeline's ARN.

    Raises:
        LaunchError: An input cannot be uploaded, or SageMaker rejects the definition.
    """
    _upload_inputs(pipeline)
    return str(_put(pipeline, definition)["PipelineArn"])


def _upload_inputs(pipeline: Pipeline) -> None:
    """Upload the local inputs of the steps, each once even if several steps read it."""
    uploaded = set()
    for step in pipeline.steps:
        key = config.output_key(step.job)
        for snapshot in step.launch.uploads:
            if (snapshot.digest, key) not in uploaded:
                s3.upload(snapshot, key)
                uploaded.add((snapshot.digest, key))


def _put(pipeline: Pipeline, definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """Create the pipeline or give it a new version, and return UpdatePipeline's answer.

    A pipeline that was just created is updated, too: only that answer names the version. Its role
    is that of all jobs, and hands theirs to jobs that have another one.

    Raises:
        LaunchError: SageMaker rejects it, or a pipeline of this name is not this project's.
    """
    from botocore.exceptions import ClientError

    fields = {
        "PipelineName": pipeline.name,
        "PipelineDescription": f"Commit {pipeline.stamp}",
        "PipelineDefinition": json.dumps(definition),
        "RoleArn": config.request().get("RoleArn") or project.require("SAGEMAKER_ROLE_ARN"),
    }
    tags = [
        tag
        for tag in pipeline.steps[0].request["Tags"]
        if tag["Key"] not in ("commit", "run", "code")
        and all(tag in step.request["Tags"] for step in pipeline.steps)
    ]
    client = clients.client("sagemaker")
    with errors.as_launch_error(f"pipeline {pipeline.name}"):
        try:
            client.create_pipeline(**fields, Tags=tags)
        except ClientError as error:
            if "already exists" not in error.response["Error"].get("Message", ""):
                raise
            _check_owner(client, pipeline.name, fields["RoleArn"])
        answer: Mapping[str, Any] = client.update_pipeline(**fields)
    return answer


def _check_owner(client: Any, name: str, role: str) -> None:
    """Reject a pipeline without the tag of this project, unless its tags cannot be read.

    Raises:
        LaunchError: The pipeline is not this project's.
    """
    _, partition, _, _, account, _ = role.split(":", 5)
    arn = f"arn:{partition}:sagemaker:{client.meta.region_name}:{account}:pipeline/{name}"
    try:
        pages = list(client.get_paginator("list_tags").paginate(ResourceArn=arn))
    except client.exceptions.ClientError:
        return  # only its name identifies it
    owners = [tag["Value"] for page in pages for tag in page["Tags"] if tag["Key"] == "project"]
    if owners != [project.name()]:
        owner = f"project {owners[0]}" if owners else "something else: it has no tag project"
        raise LaunchError(
            f"the pipeline {name} belongs to {owner}: rename it, or this project (name in "
            "pyproject.toml)"
        )


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
        with errors.as_launch_error(f"pipeline {pipeline.name}"):
            try:
                client = clients.client("sagemaker")
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
class Following:
    """Prints each new status of an execution's steps, with the logs of their jobs, to its end."""

    arn: str
    repeat: Callable[[str, str], str]
    """Takes the names of a step and its job, and returns the command that repeats the job."""
    connection: Connection = field(default_factory=lambda: Connection("sagemaker"))
    execution: Mapping[str, Any] = field(default_factory=dict)
    """The execution at the last look."""
    states: Sequence[State] = ()
    """Its steps that have begun, in their order."""
    runs: dict[str, Run] = field(default_factory=dict)
    """The jobs that were followed, by name."""
    _printed: dict[str, str] = field(default_factory=dict)
    """The line about the status of each step that was printed last."""
    _calls: int = 0

    @property
    def status(self) -> str:
        """``InProgress``, or how the execution has ended."""
        status = self.execution["PipelineExecutionStatus"]
        return "InProgress" if status in _RUNNING else _STATUS.get(status, "Failed")

    def looks(self) -> Iterator[State]:
        """Look at the execution until it ends.

        Yields each step at each look, after its status was printed and before its job is followed.

        Raises:
            NoAnswerError: AWS does not answer; the execution continues.
        """
        pauses = sagemaker.Pauses()
        while True:
            self._calls = 0
            # In this order, the steps of a finished execution are final, too.
            self.execution = self._describe()
            self.states = self._list_steps()
            any_new = False
            for state in self.states:
                any_new |= self._show(state)
                yield state
                any_new |= self._follow_job(state)
            if self.status != "InProgress":
                return
            sleep(pauses.next(self._calls, any_new=any_new))

    def _describe(self) -> Mapping[str, Any]:
        """Return the state of the execution, which SageMaker may not show at once."""
        deadline = monotonic() + sagemaker.APPEAR_SECONDS
        while True:
            answer = self._call("describe_pipeline_execution")
            if answer is not None:
                return answer
            if monotonic() >= deadline:
                raise NoAnswerError(f"SageMaker does not find {self.arn}")
            sleep(sagemaker.POLL_SECONDS)

    def _list_steps(self) -> list[State]:
        states: list[State] = []
        page: dict[str, Any] = {}
        while True:
            answer = self._call("list_pipeline_execution_steps", SortOrder="Ascending", **page)
            answer = answer or {}
            states += answer.get("PipelineExecutionSteps", [])
            if "NextToken" not in answer:
                return states
            page = {"NextToken": answer["NextToken"]}

    def _call(self, operation: str, **arguments: Any) -> Mapping[str, Any] | None:
        self._calls += 1
        return self.connection.call(operation, PipelineExecutionArn=self.arn, **arguments)

    def _show(self, state: State) -> bool:
        """Print the status of a step, unless it was printed before; return whether it was new."""
        name, line = state["StepName"], _status_line(state)
        if self._printed.get(name) == line:
            return False
        _print(line)
        self._printed[name] = line
        return True

    def _follow_job(self, state: State) -> bool:
        """Follow the job of a step to its end, unless it was followed before; return if it was not.

        If a job cannot be followed, the execution still is.
        """
        step, job = state["StepName"], step_job(state)
        if not job or is_reused(state) or job in self.runs:
            return False
        run = sagemaker.follow(job, {}, self.repeat(step, job), sagemaker.DENIED_SECONDS)
        if run.exit_code == ExitCode.STILL_RUNNING:
            _print(f"{step}: its job cannot be followed any more, but the execution can")
        self.runs[job] = run
        return True


def is_reused(state: State) -> bool:
    """Return whether the result of a step is that of an earlier execution."""
    return "SelectiveExecutionResult" in state or "CacheHitResult" in state


def _status_line(state: State) -> str:
    line = f"{state['StepName']}: {state['StepStatus']}"
    if is_reused(state):
        earlier = "SelectiveExecutionResult" in state
        line += f" (from {'an earlier execution' if earlier else 'the cache'})"
    attempt = state.get("AttemptCount", 1)
    return f"{line} (attempt {attempt})" if attempt > 1 else line


@dataclass
class _Execution:
    """An execution of a pipeline that this launch has started."""

    pipeline: Pipeline
    arn: str
    outputs: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """By job and channel, the addresses of outputs that are complete."""

    def __post_init__(self) -> None:
        self.steps = {step.name: step for step in self.pipeline.steps}
        self.following = Following(self.arn, self._repeat)

    def follow(self) -> Run:
        """Print the steps, with the log of each job, until the execution ends.

        Raises:
            NoAnswerError: AWS does not answer; the execution continues.
        """
        for state in self.following.looks():
            step = self.steps.get(state["StepName"])
            if step and state["StepStatus"] == "Succeeded" and step.job not in self.outputs:
                written = self._reused(state) if is_reused(state) else self._written(step)
                self.outputs[step.job] = written
        return self._report()

    def _repeat(self, name: str, _job: str) -> str:
        """Return the command that repeats a step in Docker, with the results that it has read."""
        step = self.steps[name]
        names = {channel.option: channel.name for channel in step.launch.job.inputs}
        inputs = {
            option: self.outputs[writer][names[option]]
            for option, writer in step.launch.upstream.items()
            if names[option] in self.outputs.get(writer, {})
        }
        return step.launch.command(backend="docker", **inputs)

    def _written(self, step: Step) -> Mapping[str, str]:
        """Return the addresses to which a step of this execution has written, by channel."""
        execution_id = self.arn.rpartition("/")[2]
        named = step.launch.named_outputs
        return {
            channel.name: named.get(channel.option)
            or s3.run_address(execution_id, step.job, channel.name)
            for channel in step.launch.job.outputs
        }

    def _reused(self, state: State) -> Mapping[str, str]:
        """Return the addresses to which a job of an earlier execution has written, by channel."""
        job, connection = step_job(state), self.following.connection
        try:
            answer = connection.call_once("describe_processing_job", ProcessingJobName=job)
        except LaunchError as error:
            _print(f"the outputs of {job} cannot be looked up: {error}")
            return {}
        return s3.output_addresses(answer or {})

    def _report(self) -> Run:
        status, states = self.following.status, self.following.states
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
        message = "\n".join(reasons) or self.following.execution.get("FailureReason", "")
        exit_code = ExitCode.COMPLETED if status == "Completed" else ExitCode.FAILED
        metric = self._metric() if status == "Completed" else ""
        usage = tuple(each for run in self.following.runs.values() for each in run.usage)
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

    def _exit_message(self, state: State) -> str:
        run = self.following.runs.get(step_job(state))
        return run.exit_message if run and run.exit_code == ExitCode.FAILED else ""


def _print(text: str) -> None:
    """Print at once, so that a log file or a pipe shows a line when it is written."""
    print(text, flush=True)
