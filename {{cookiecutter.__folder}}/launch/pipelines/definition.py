"""The definition of a pipeline: plain JSON, made from the requests of its steps.

https://docs.aws.amazon.com/sagemaker/latest/dg/define-pipeline.html

Three things in it are known only to an execution: ``{"Get": "Parameters.fit_seed"}`` is the value
of a parameter, ``{"Get": "Steps.fit…"}`` a field of another step's job, and
``{"Std:Join": {"On": "", "Values": […]}}`` joins such values to a string.
"""

import argparse
import copy
import itertools
import json
import math
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..aws import limits
from ..run import Request
from ..settings import project
from ..settings.addresses import contains, is_s3
from ..settings.metric import Metric
from ..settings.project import LaunchError
from ..storage import s3
from . import retries
from .graph import Pipeline, Step

Json = Any

_TYPES = {int: "Integer", float: "Float", str: "String"}
_EXPIRE_AFTER = "P30D"
_APPENDED = len("-p4jn9xou8a8s-tMgXry49ug-99")
"""The longest text that SageMaker appends to the prefix of a job's name: the execution's id, a
token of the step and the number of failures."""
_METRICS = "metrics"
"""The name under which the pipeline knows the file with the metric."""


def build(pipeline: Pipeline) -> dict[str, Json]:
    """Return the definition as CreatePipeline takes it, checked against the limits of the API.

    An execution can set, as parameters named ``<job>_<option>``: instance types and counts, the
    options of jobs that take one number or string, and the limit of the metric. That of a
    deployed pipeline can also set the inputs that no step writes.

    Raises:
        LaunchError: The definition breaks a limit of the API, an input in S3 cannot be listed, or
            an input of a deployed pipeline would expire.
    """
    if pipeline.deployed:
        _check_inputs_stay(pipeline)
    parameters, policies = _Parameters(), retries.policies()
    steps = [_processing_step(step, pipeline, parameters, policies) for step in pipeline.steps]
    if pipeline.metric:
        steps.append(_metric_step(pipeline.metric, pipeline, parameters))
    definition = {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": parameters.defined,
        **_experiment(pipeline),
        "Steps": steps,
    }
    text = json.dumps(definition)
    limits.check("CreatePipeline", {"PipelineName": pipeline.name, "PipelineDefinition": text})
    return definition


class _Parameters:
    """The parameters of a pipeline, in the order in which they are added."""

    def __init__(self) -> None:
        self.defined: list[dict[str, Json]] = []

    def add(self, name: str, default: float | str) -> Json:
        """Define a parameter with a default, and return a reference to its value."""
        return self._define({"Name": name, "Type": _TYPES[type(default)], "DefaultValue": default})

    def require(self, name: str) -> Json:
        """Define a string without a default, and return a reference to its value."""
        return self._define({"Name": name, "Type": "String"})

    def _define(self, parameter: dict[str, Json]) -> Json:
        name = parameter["Name"]
        if any(name == other["Name"] for other in self.defined):
            raise LaunchError(f"two options become the parameter {name!r}: rename one of them")
        self.defined.append(parameter)
        return {"Get": f"Parameters.{name}"}


def _processing_step(
    step: Step, pipeline: Pipeline, parameters: _Parameters, policies: Sequence[retries.Policy]
) -> dict[str, Json]:
    """Return a step whose arguments are the job's request, with what only an execution knows."""
    request = copy.deepcopy(step.request)
    if pipeline.deployed:  # each of its executions is a run of its own
        request["Tags"] = [tag for tag in request["Tags"] if tag["Key"] != "run"]
    else:
        _add_fingerprints(request, step)
    request["ProcessingJobName"] = _name_prefix(step)
    request.pop("ExperimentConfig", None)  # see _experiment
    _set_instances(request, step, parameters)
    _set_inputs(request, step, pipeline, parameters)
    _set_outputs(request, step, parameters)
    _set_arguments(request, step, parameters)
    made: dict[str, Json] = {"Name": step.name, "Type": "Processing", "Arguments": request}
    if _is_cached(step, pipeline):
        made["CacheConfig"] = {"Enabled": True, "ExpireAfter": _EXPIRE_AFTER}
    if policies:
        made["RetryPolicies"] = policies
    metric = pipeline.metric
    if metric and step.job == metric.job:
        file = {"OutputName": metric.output, "FilePath": metric.file}
        made["PropertyFiles"] = [{"PropertyFileName": _METRICS, **file}]
    return made


def _name_prefix(step: Step) -> str:
    """Return the prefix of the names of a step's jobs, which an execution completes.

    All of them begin with the project's name, as those of other launches do, so that policies can
    name them. A long prefix is cut, because SageMaker limits the whole name to 63 characters:
    https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-access.html
    """
    return f"{project.name()}-{step.name}"[: 63 - _APPENDED].rstrip("-")


def _experiment(pipeline: Pipeline) -> dict[str, Json]:
    """Return the experiment of all steps as a field of the definition, if there is one.

    A step has no ``ExperimentConfig``: SageMaker sets that of each job from the pipeline's.

    Raises:
        LaunchError: The steps differ, or have more than a pipeline can.
    """
    first, *others = (step.request.get("ExperimentConfig", {}) for step in pipeline.steps)
    complete = {"ExperimentName", "TrialName"}
    if any(other != first for other in others) or (first and first.keys() != complete):
        raise LaunchError(
            "ExperimentConfig: a pipeline has one experiment for all of its jobs: set "
            "ExperimentName and TrialName, and nothing else, the same for all of them"
        )
    return {"PipelineExperimentConfig": first} if first else {}


def _check_inputs_stay(pipeline: Pipeline) -> None:
    """Reject inputs that hold results of runs, which expire while the pipeline stays deployed.

    Stored inputs do not expire, nor does anything outside ``runs/``: see ``infra/stack.yaml``.
    """
    runs = s3.runs_address()
    for step in pipeline.steps:
        for option in step.launch.inputs.keys() - step.launch.upstream.keys():
            address = step.launch.inputs[option]
            if contains(runs, address) or contains(address, runs):
                raise LaunchError(
                    f"{step.job}: {step.launch.place(option)}: {address} holds results of runs, "
                    "which expire, and a deployed pipeline reads its inputs for as long as it "
                    "exists: copy what it needs to an address outside "
                    f"{runs}, with `aws s3 cp --recursive`, and name the copy"
                )


def _is_cached(step: Step, pipeline: Pipeline) -> bool:
    """Return whether SageMaker may reuse the result of an earlier execution of a step.

    It does so for the same image, arguments, environment and addresses of inputs, and never looks
    at the files. That is right as long as an address stands for one content:

    - A local folder is stored under the digest of its content.
    - The output of another step lies in a folder of its execution, and nobody writes there again.
    - An address in S3 may hold other files next time, so the environment of a launched pipeline
      has a fingerprint of them. A deployed pipeline takes its inputs as parameters, whose files
      nobody has seen, so the steps that read them run each time, and so do those after them.
    - An output that was named must be written there by this execution, not by an earlier one; and
      after its files were deleted, another execution could write others.
    """
    if not pipeline.cache:
        return False
    if pipeline.deployed and step.launch.inputs.keys() - step.launch.upstream.keys():
        return False
    jobs = {step.job, *step.launch.upstream.values()}
    return not any(other.launch.named_outputs for other in pipeline.steps if other.job in jobs)


def _add_fingerprints(request: Request, step: Step) -> None:
    """Let the environment of a step differ when the files of an input in S3 do."""
    fingerprints = {
        f"FINGERPRINT_{option.upper()}": s3.fingerprint(address)
        for option, address in step.launch.inputs.items()
        if is_s3(address) and option not in step.launch.upstream
    }
    if fingerprints:
        request["Environment"] = request.get("Environment", {}) | fingerprints
        limits.check("CreateProcessingJob", request)


def _set_instances(request: Request, step: Step, parameters: _Parameters) -> None:
    cluster = request["ProcessingResources"]["ClusterConfig"]
    for key, option in (("InstanceType", "instance_type"), ("InstanceCount", "instance_count")):
        if key in cluster:
            cluster[key] = parameters.add(step.parameter(option), cluster[key])


def _set_inputs(request: Request, step: Step, pipeline: Pipeline, parameters: _Parameters) -> None:
    """Let inputs refer to the outputs of other steps or, in a deployed pipeline, to parameters.

    The address of a folder ends with a slash, or SageMaker would also read those that begin like
    it. That of a single file is the one in the request, which may name one object.
    """
    options = {channel.name: channel.option for channel in step.launch.job.inputs}
    singles = {channel.option for channel in step.launch.job.inputs if channel.single}
    for item in request.get("ProcessingInputs", []):
        option = options.get(item["InputName"], "")
        if option in step.launch.upstream:
            writer = pipeline.step(step.launch.upstream[option])
            output = f"ProcessingOutputConfig.Outputs['{item['InputName']}'].S3Output.S3Uri"
            address: Json = {"Get": f"Steps.{writer.name}.{output}"}
        elif option in singles and pipeline.deployed:
            default = item["S3Input"]["S3Uri"]
            item["S3Input"]["S3Uri"] = parameters.add(step.parameter(option), default)
            continue
        elif option and pipeline.deployed:
            default = item["S3Input"]["S3Uri"].rstrip("/")
            address = parameters.add(step.parameter(option), default)
        else:
            continue
        item["S3Input"]["S3Uri"] = _join("", [address, "/"])


def _set_outputs(request: Request, step: Step, parameters: _Parameters) -> None:
    """Let outputs lie in a folder of the execution, except those that were named.

    The address of these is a parameter without a default, so that only this launch writes there:
    SageMaker rejects an execution that does not name another.
    """
    options = {channel.name: channel.option for channel in step.launch.job.outputs}
    for item in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        option = options.get(item["OutputName"])
        if option is None:  # an output of launch.toml, such as one to a feature store
            continue
        target = item["S3Output"]
        if option in step.launch.named_outputs:
            target["S3Uri"] = parameters.require(step.parameter(option))
            continue
        folder = f"{step.job}/{item['OutputName']}"
        root = target["S3Uri"].removesuffix(f"/{step.launch.options.run_name}/{folder}")
        target["S3Uri"] = _join("/", [root, {"Get": "Execution.PipelineExecutionId"}, folder])


def _set_arguments(request: Request, step: Step, parameters: _Parameters) -> None:
    """Let the options that take one number or string be parameters; keep other words as typed."""
    actions = list(_parametrized(step))
    names = {name for action in actions for name in action.option_strings}
    arguments: list[Json] = list(
        _without(names, request["AppSpecification"].get("ContainerArguments", []))
    )
    for action in actions:
        value = parameters.add(step.parameter(action.dest), step.launch.values[action.dest])
        arguments.append(_join("", [f"{action.option_strings[-1]}=", value]))
    if arguments:
        request["AppSpecification"]["ContainerArguments"] = arguments


def _parametrized(step: Step) -> Iterator[argparse.Action]:
    """Yield the options of a job whose value a parameter can be: the text of the value gives it."""
    for action in step.launch.job.build_parser().actions:
        value = step.launch.values.get(action.dest)
        if action.nargs is not None or type(value) not in _TYPES or value == "":
            continue
        if isinstance(value, float) and not math.isfinite(value):  # JSON has none
            continue
        read = action.type if callable(action.type) else str
        with suppress(argparse.ArgumentTypeError, TypeError, ValueError):
            if read(str(value)) == value:
                yield action


def _without(names: set[str], words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a valid command line, without options that take one value."""
    remaining = iter(words)
    for word in remaining:
        name, equals, _ = word.partition("=")
        if name not in names:
            yield word
        elif not equals:
            next(remaining)


def _metric_step(metric: Metric, pipeline: Pipeline, parameters: _Parameters) -> dict[str, Json]:
    """Return the step that fails the execution if the metric is not good enough."""
    limit = parameters.add(metric.option, metric.limit)
    file = {"Get": f"Steps.{pipeline.step(metric.job).name}.PropertyFiles.{_METRICS}"}
    value = {"Std:JsonGet": {"PropertyFile": file, "Path": metric.name}}
    comparison = "LessThanOrEqualTo" if metric.lower_is_better else "GreaterThanOrEqualTo"
    condition = {"Type": comparison, "LeftValue": value, "RightValue": limit}
    message = _join(" ", [metric.name, value, metric.complaint, limit])
    taken = {step.name for step in pipeline.steps}
    fail = {
        "Name": _step_name(f"{'high' if metric.lower_is_better else 'low'}-{metric.name}", taken),
        "Type": "Fail",
        "Arguments": {"ErrorMessage": message},
    }
    return {
        "Name": _step_name(f"check-{metric.name}", taken),
        "Type": "Condition",
        "Arguments": {"Conditions": [condition], "IfSteps": [], "ElseSteps": [fail]},
    }


def _step_name(text: str, taken: Container[str]) -> str:
    """Return a name that no job's step has, of letters, digits and hyphens.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_PipelineExecutionStep.html
    limits it to 64 characters.
    """
    name = re.sub("[^A-Za-z0-9]+", "-", text)[:60].strip("-")
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(each for each in names if each not in taken)


def _join(on: str, values: Sequence[Json]) -> Mapping[str, Json]:
    return {"Std:Join": {"On": on, "Values": values}}
