"""Executes the definitions of pipelines: each step once what it refers to is known."""

import json
import operator
import re
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from botocore.exceptions import ClientError

_POLL_SECONDS = 0.1
_COMPARISONS = {"GreaterThanOrEqualTo": operator.ge, "LessThanOrEqualTo": operator.le}
_TYPES = {"Float": float, "Integer": int, "String": str}


class Service(Protocol):
    """The part of the service that an execution needs."""

    def client(self, service: str) -> Any: ...

    def wait(self, name: str) -> dict[str, Any]: ...


@dataclass
class Execution:
    """An execution of a pipeline. https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines.html"""

    service: Service
    arn: str
    definition: dict[str, Any]
    parameters: dict[str, Any]
    cache: dict[str, str]
    """The names of completed jobs, by what SageMaker compares."""
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
        waiting = list(self.definition["Steps"])
        while waiting and self.status == "Executing":
            ready = [step for step in waiting if _references(step) <= self._jobs.keys()]
            if not ready:
                raise ValueError(f"{waiting[0]['Name']} refers to a step that never runs")
            waiting.remove(ready[0])
            self._run(ready[0])
        if self.status == "Executing":
            self.status = "Succeeded"

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
            name = self.cache[key]
        else:
            name = f"pipelines-{self.arn.rpartition('/')[2]}-{step['Name']}"
            request["ProcessingJobName"] = name
            self.service.client("sagemaker").create_processing_job(**request)
        self._jobs[step["Name"]] = name
        arn = f"{self.arn.rpartition(':')[0]}:processing-job/{name}"
        state["Metadata"] = {"ProcessingJob": {"Arn": arn}}
        job = self.service.wait(name)
        if job["ProcessingJobStatus"] != "Completed":
            return f"ClientError: {job.get('FailureReason', 'stopped')}"
        self.cache[key] = name
        return ""

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


def _references(step: dict[str, Any]) -> set[str]:
    return set(re.findall(r'"Get": "Steps\.([\w-]+)\.', json.dumps(step)))
