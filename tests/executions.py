"""Executes pipeline definitions: each step starts when its references can be resolved."""

import json
import operator
import re
import secrets
import string
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from botocore.exceptions import ClientError

_POLL_SECONDS = 0.1
_COMPARISONS = {"GreaterThanOrEqualTo": operator.ge, "LessThanOrEqualTo": operator.le}
_TYPES = {"Float": float, "Integer": int, "String": str}


_LETTERS = string.ascii_letters + string.digits

_AUTOMATIC = ("Step.SERVICE_FAULT", "Step.THROTTLING")
"""What is retried without a policy."""

_CREATION_ERRORS = {
    "InternalFailure": "Step.SERVICE_FAULT",
    "InternalServerError": "Step.SERVICE_FAULT",
    "ServiceUnavailable": "Step.SERVICE_FAULT",
    "ThrottlingException": "Step.THROTTLING",
    "CapacityError": "SageMaker.CAPACITY_ERROR",
    "ResourceLimitExceeded": "SageMaker.RESOURCE_LIMIT",
}
"""The exceptions of retry policies, by the code with which a job is not created."""

_FAILURES = {
    "CapacityError": "SageMaker.CAPACITY_ERROR",
    "InternalServerError": "SageMaker.JOB_INTERNAL_ERROR",
}
"""The exceptions of retry policies, by the first word of a failed job's reason."""


class Service(Protocol):
    """The part of the service that an execution needs."""

    def client(self, service: str, **config: Any) -> Any: ...

    def wait(self, name: str) -> dict[str, Any]: ...

    def pause(self, seconds: float) -> None: ...


@dataclass
class Execution:
    """An execution of a pipeline. https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines.html"""

    service: Service
    arn: str
    definition: dict[str, Any]
    parameters: dict[str, Any]
    cache: dict[str, str]
    """The names of completed jobs, by what SageMaker compares."""
    selected: set[str] | None = None
    """The steps that run; all, unless SelectiveExecutionConfig names some."""
    source: "Execution | None" = None
    """The execution whose results the others have."""
    status: str = "Executing"
    steps: list[dict[str, Any]] = field(default_factory=list)
    """As ListPipelineExecutionSteps returns them."""
    _jobs: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Run the steps to the first that fails."""
        try:
            self._run_all()
        except Exception as error:
            self.status = "Failed"
            self.steps[-1] |= {"StepStatus": "Failed", "FailureReason": repr(error)}
            raise

    def wait(self) -> None:
        """Return when the execution has ended."""
        while self.status == "Executing":
            time.sleep(_POLL_SECONDS)

    def _run_all(self) -> None:
        defined = {item["Name"]: item for item in self.definition["Parameters"]}
        for name, item in defined.items():
            value = self.parameters[name] if name in self.parameters else item["DefaultValue"]
            self.parameters[name] = _TYPES[item["Type"]](value)
        for step in self.definition["Steps"]:
            self._take(step)
        waiting = [step for step in self.definition["Steps"] if self._is_selected(step)]
        while waiting and self.status == "Executing":
            ready = [step for step in waiting if _references(step) <= self._jobs.keys()]
            if not ready:
                raise ValueError(f"{waiting[0]['Name']} refers to a step that never runs")
            waiting.remove(ready[0])
            self._run(ready[0])
        if self.status == "Executing":
            self.status = "Succeeded"

    def _is_selected(self, step: dict[str, Any]) -> bool:
        return self.selected is None or step["Name"] in self.selected

    def _take(self, step: dict[str, Any]) -> None:
        """Take the result of a step that is not selected from the source."""
        if self._is_selected(step) or self.source is None:
            return
        if step["Name"] in self.source._jobs:
            self._jobs[step["Name"]] = self.source._jobs[step["Name"]]
            (state,) = (each for each in self.source.steps if each["StepName"] == step["Name"])
            result = {"SourcePipelineExecutionArn": self.source.arn}
            self.steps.append(state | {"SelectiveExecutionResult": result})

    def _run(self, step: dict[str, Any]) -> None:
        state: dict[str, Any] = {"StepName": step["Name"], "StepStatus": "Executing"}
        self.steps.append(state)
        reason = getattr(self, f"_{step['Type'].lower()}")(step, state)
        state["StepStatus"] = "Failed" if reason else "Succeeded"
        if reason:
            state["FailureReason"] = reason
            self.status = "Failed"

    def _processing(self, step: dict[str, Any], state: dict[str, Any]) -> str:
        request = self._value(step["Arguments"])
        kept = ("AppSpecification", "Environment", "ProcessingInputs")
        key = json.dumps([request.get(name) for name in kept], sort_keys=True)
        if step.get("CacheConfig", {}).get("Enabled") and key in self.cache:
            state["CacheHitResult"] = {"SourcePipelineExecutionArn": self.arn}
            self._show_job(step, state, self.cache[key])
            return ""
        reason = self._try(step, state, request)
        if not reason:
            self.cache[key] = self._jobs[step["Name"]]
        return reason

    def _try(self, step: dict[str, Any], state: dict[str, Any], request: dict[str, Any]) -> str:
        """Run jobs until one completes, or fails and no policy lets it be tried again."""
        retries = _Retries(step.get("RetryPolicies", []))
        execution, prefix = self.arn.rpartition("/")[2], request.get("ProcessingJobName")
        base = f"{prefix}-{execution}" if prefix else f"pipelines-{execution}-{step['Name']}"
        token = "".join(secrets.choice(_LETTERS) for _ in range(10))
        while True:
            state["AttemptCount"] = retries.failures + 1
            request["ProcessingJobName"] = f"{base}-{token}-{retries.failures}"
            exception, reason = self._attempt(step, state, request)
            seconds = retries.next_pause(exception) if reason else None
            if seconds is None:
                return reason
            self.service.pause(seconds)

    def _attempt(
        self, step: dict[str, Any], state: dict[str, Any], request: dict[str, Any]
    ) -> tuple[str, str]:
        """Run one job; the exception that a retry policy knows, and the reason of a failure."""
        name = request["ProcessingJobName"]
        if len(name) > 63:
            return "", f"ClientError: {name} is too long for the name of a job"
        client = self.service.client("sagemaker", retries={"total_max_attempts": 1})
        try:
            client.create_processing_job(**request)
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            return _CREATION_ERRORS.get(code, ""), f"ClientError: {message}"
        self._show_job(step, state, name)
        job = self.service.wait(name)
        if job["ProcessingJobStatus"] == "Completed":
            return "", ""
        reason = job.get("FailureReason", "stopped")
        return _FAILURES.get(reason.partition(":")[0], ""), f"ClientError: {reason}"

    def _show_job(self, step: dict[str, Any], state: dict[str, Any], name: str) -> None:
        """Let the state of a step name its job: by its ARN, which is in lower case."""
        self._jobs[step["Name"]] = name
        arn = f"{self.arn.rpartition(':')[0]}:processing-job/{name.lower()}"
        state["Metadata"] = {"ProcessingJob": {"Arn": arn}}

    def _condition(self, step: dict[str, Any], _: dict[str, Any]) -> str:
        arguments = step["Arguments"]
        for condition in arguments["Conditions"]:
            is_met = _COMPARISONS[condition["Type"]]
            try:
                left = self._value(condition["LeftValue"])
            except (ClientError, LookupError, TypeError, ValueError) as error:
                return f"ClientError: the property file cannot be read: {error!r}"
            right = self._value(condition["RightValue"])
            for following in arguments["IfSteps" if is_met(left, right) else "ElseSteps"]:
                if self._is_selected(following):
                    self._run(following)
        return ""

    def _fail(self, step: dict[str, Any], _: dict[str, Any]) -> str:
        return str(self._value(step["Arguments"]["ErrorMessage"]))

    def _value(self, value: Any) -> Any:
        """Return a part of the definition with its references replaced by values."""
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "Std:Join" in value:
            parts = self._value(value["Std:Join"]["Values"])
            return value["Std:Join"]["On"].join(map(str, parts))
        if "Std:JsonGet" in value:
            return self._property(**value["Std:JsonGet"])
        if "Get" in value:
            return self._get(value["Get"])
        return {name: self._value(item) for name, item in value.items()}

    def _get(self, reference: str) -> Any:
        kind, _, path = reference.partition(".")
        if kind == "Parameters":
            return self.parameters[path]
        if kind == "Execution":
            return {"PipelineExecutionId": self.arn.rpartition("/")[2]}[path]
        step, _, path = path.partition(".")
        client = self.service.client("sagemaker")
        found = client.describe_processing_job(ProcessingJobName=self._jobs[step])
        for name, output in re.findall(r"(\w+)(?:\['(.*?)'\])?", path):
            found = found[name]
            if output:
                found = next(item for item in found if item["OutputName"] == output)
        return found

    def _property(self, PropertyFile: dict[str, str], Path: str) -> Any:  # noqa: N803
        _, step, _, name = PropertyFile["Get"].split(".")
        (defined,) = [item for item in self.definition["Steps"] if item["Name"] == step]
        files = {item["PropertyFileName"]: item for item in defined["PropertyFiles"]}
        output = f"Steps.{step}.ProcessingOutputConfig.Outputs['{files[name]['OutputName']}']"
        address = self._get(f"{output}.S3Output.S3Uri").removeprefix("s3://")
        bucket, _, prefix = address.partition("/")
        key = f"{prefix}/{files[name]['FilePath']}"
        found = self.service.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
        value = json.loads(found.read())
        for name in Path.removeprefix("$.").split("."):
            value = value[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{Path} is not a number: {value!r}")
        return value


class _Retries:
    """When a step is tried again.

    https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
    """

    def __init__(self, policies: Sequence[Mapping[str, Any]]) -> None:
        for policy in policies:
            if {"MaxAttempts", "ExpireAfterMin"} <= policy.keys():
                raise ValueError(f"only one of MaxAttempts and ExpireAfterMin: {policy}")
        named = {name for policy in policies for name in policy["ExceptionType"]}
        automatic = [name for name in _AUTOMATIC if name not in named]
        self.failures = 0
        self._policies = [*policies, {"ExceptionType": automatic}]
        self._used: Counter[int] = Counter()
        """The retries by the index of their policy."""
        self._seconds = 0.0
        """How long the step would have waited."""

    def next_pause(self, exception: str) -> float | None:
        """The seconds until the next attempt; ``None`` if there is none."""
        self.failures += 1
        for index, policy in enumerate(self._policies):
            if exception not in policy["ExceptionType"]:
                continue
            if "ExpireAfterMin" in policy:
                is_over = self._seconds >= 60 * policy["ExpireAfterMin"]
            else:
                is_over = self._used[index] >= policy.get("MaxAttempts", 5)
            if is_over:
                return None
            rate = policy.get("BackoffRate", 2.0) ** self._used[index]
            seconds = float(policy.get("IntervalSeconds", 1) * rate)
            self._used[index] += 1
            self._seconds += seconds
            return seconds
        return None


def _references(step: dict[str, Any]) -> set[str]:
    return set(re.findall(r'"Get": "Steps\.([\w-]+)\.', json.dumps(step)))
