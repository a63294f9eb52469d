"""The pipeline as SageMaker takes it, made of the requests of its steps.

https://docs.aws.amazon.com/sagemaker/latest/dg/define-pipeline.html
"""

import argparse
import copy
import json
import logging
import re
import warnings
from collections.abc import Mapping
from typing import Any

from sagemaker.core import shapes
from sagemaker.core.processing import Processor
from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.pipeline import Pipeline as Definition
from sagemaker.mlops.workflow.steps import CacheConfig, ProcessingStep

from . import aws, job, project, request, storage
from .options import Call
from .pipeline import METRIC, Pipeline, Step

_KINDS = {int: ParameterInteger, float: ParameterFloat, str: ParameterString}
_CACHE = CacheConfig(enable_caching=True, expire_after="P30D")
_METRICS = PropertyFile(name="metrics", output_name=METRIC.output, path=METRIC.file)


class _Parameters(dict[str, Any]):
    """The parameters of a pipeline by name, each made where it is first asked for."""

    def make(self, job: str, option: str, value: Any) -> Any:
        name = f"{job}_{option}"
        return self.setdefault(name, _KINDS[type(value)](name, default_value=value))


def step_name(job: str) -> str:
    """The name of a job's step: SageMaker takes no underscores."""
    return job.replace("_", "-")


def build(pipeline: Pipeline) -> Definition:
    """The definition, made without a call of AWS.

    An execution may set anew, as parameters named ``<job>_<option>``: instance types and counts,
    inputs that no step writes, and options of the jobs that take one number or one string.
    """
    session = _session()
    parameters = _Parameters()
    steps: dict[str, ProcessingStep] = {}
    for step in pipeline.steps:
        steps[step.name] = ProcessingStep(
            name=step_name(step.name),
            step_args=_run(_variable(step, steps, parameters), session),
            property_files=[_METRICS] if step.name == METRIC.job else [],
            cache_config=_CACHE,
        )
    least = parameters.make("min", METRIC.name, pipeline.minimum)
    return Definition(
        name=project.name(),
        parameters=list(parameters.values()),
        steps=[*steps.values(), _check(least)],
        sagemaker_session=session,
        pipeline_experiment_config=None,
    )


def check(definition: Definition) -> dict[str, Any]:
    """What the service will read.

    Raises:
        LaunchError: it breaks a limit of the API.
    """
    text = definition.definition()
    wanted = {"PipelineName": definition.name, "PipelineDefinition": text}
    request.check("CreatePipeline", wanted)
    read: dict[str, Any] = json.loads(text)
    return read


def _session() -> PipelineSession:
    """A session that sends nothing, and to which no configuration file adds what is not shown."""
    warnings.filterwarnings("ignore", module="sagemaker", category=UserWarning)
    for talker in ("botocore", "sagemaker", "sagemaker.config"):
        logging.getLogger(talker).setLevel(logging.ERROR)
    quiet = {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}
    return PipelineSession(
        boto_session=aws.session(),
        sagemaker_client=aws.client("sagemaker"),
        default_bucket=project.require("S3_BUCKET"),
        sagemaker_config={"SchemaVersion": "1.0", "SageMaker": quiet},
    )


def _run(wanted: request.Request, session: PipelineSession) -> Any:
    """The request as the SDK takes it from its own ``Processor``."""
    cluster = wanted["ProcessingResources"]["ClusterConfig"]
    application = wanted["AppSpecification"]
    processor = Processor(
        role=wanted["RoleArn"],
        image_uri=application["ImageUri"],
        entrypoint=application["ContainerEntrypoint"],
        instance_count=cluster["InstanceCount"],
        instance_type=cluster["InstanceType"],
        volume_size_in_gb=cluster["VolumeSizeInGB"],
        max_runtime_in_seconds=wanted["StoppingCondition"]["MaxRuntimeInSeconds"],
        env=wanted.get("Environment"),
        tags=wanted["Tags"],
        sagemaker_session=session,
    )
    inputs = [
        shapes.ProcessingInput(
            input_name=item["InputName"],
            s3_input=shapes.ProcessingS3Input(**_snake_case(item["S3Input"])),
        )
        for item in wanted.get("ProcessingInputs", [])
    ]
    outputs = [
        shapes.ProcessingOutput(
            output_name=item["OutputName"],
            s3_output=shapes.ProcessingS3Output(**_snake_case(item["S3Output"])),
        )
        for item in wanted.get("ProcessingOutputConfig", {}).get("Outputs", [])
    ]
    return processor.run(
        inputs=inputs,
        outputs=outputs,
        arguments=application.get("ContainerArguments"),
        job_name=wanted["ProcessingJobName"],
    )


def _snake_case(values: Mapping[str, Any]) -> dict[str, Any]:
    """The SDK's spelling of the API's names: ``S3DataType`` is ``s3_data_type``."""
    return {re.sub("(?<!^)(?=[A-Z])", "_", key).lower(): value for key, value in values.items()}


def _variable(
    step: Step, steps: Mapping[str, ProcessingStep], parameters: _Parameters
) -> request.Request:
    """The step's request, with parameters and addresses that only an execution knows."""
    wanted, call = copy.deepcopy(step.plan.request), step.plan.call
    cluster = wanted["ProcessingResources"]["ClusterConfig"]
    for key, option in (("InstanceType", "instance_type"), ("InstanceCount", "instance_count")):
        cluster[key] = parameters.make(step.name, option, cluster[key])
    options = {item.name: item.option for item in (*call.job.inputs, *call.job.outputs)}
    for item in wanted.get("ProcessingInputs", []):
        option, source = options[item["InputName"]], item["S3Input"]
        if option in step.fed:
            made = steps[step.fed[option]].properties.ProcessingOutputConfig.Outputs
            source["S3Uri"] = made[item["InputName"]].S3Output.S3Uri
        else:
            source["S3Uri"] = parameters.make(step.name, option, source["S3Uri"])
    for item in wanted.get("ProcessingOutputConfig", {}).get("Outputs", []):
        option, target = options[item["OutputName"]], item["S3Output"]
        target["S3Uri"] = _in_execution(step, option, target["S3Uri"])
    if arguments := _arguments(call, parameters):
        wanted["AppSpecification"]["ContainerArguments"] = arguments
    return wanted


def _in_execution(step: Step, option: str, address: str) -> Join:
    """An output's address, with the execution where the run would be, but if it was named."""
    if storage.is_s3(step.plan.call.channels.get(option, "")):
        return Join("", [address])
    before, _, after = address.rpartition(f"/{step.plan.options.run_name}/")
    return Join("", [f"{before}/", ExecutionVariables.PIPELINE_EXECUTION_ID, f"/{after}"])


def _arguments(call: Call, parameters: _Parameters) -> list[Any]:
    parser = call.job.build_parser()
    words: list[Any] = []
    for action in parser._actions:
        value = getattr(call.options, action.dest, None)
        if action.dest in call.channels or isinstance(action, argparse._HelpAction):
            continue
        if isinstance(action, argparse._StoreAction) and action.nargs is None and _simple(value):
            parameter = parameters.make(call.job.name, action.dest, value)
            words.append(Join("", [f"{action.option_strings[-1]}=", parameter]))
        elif action.dest in call.given:
            words += job.arguments(parser, {action.dest: call.given[action.dest]})
    return words


def _simple(value: Any) -> bool:
    return type(value) in _KINDS and value != ""


def _check(least: Any) -> ConditionStep:
    """Fail where the metric is below what an execution asks for, and say how far."""
    value = JsonGet(step_name=step_name(METRIC.job), property_file=_METRICS, json_path=METRIC.name)
    message = Join(" ", [METRIC.name, value, "is below", least])
    return ConditionStep(
        name=f"check-{METRIC.name}",
        conditions=[ConditionGreaterThanOrEqualTo(left=value, right=least)],
        else_steps=[FailStep(name=f"low-{METRIC.name}", error_message=message)],
    )
