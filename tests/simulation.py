"""An account that records who makes which call, to check the roles of the stack; it denies nothing.

SageMaker's part is the emulator's, without containers: a job reads its inputs, writes a log and its
outputs, and is done. What SageMaker does for a job or a pipeline, it does as the execution role.
"""

import hashlib
import io
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import account
import boto3
import emulator
import recorder
from botocore.config import Config
from executions import Execution, Service

EXECUTION_ROLE = "ExecutionRole"
"""Who SageMaker is while it runs jobs and pipelines."""

_POLL_SECONDS = 0.1

_JOB_SECONDS = 60.0
"""How long an instance is used by a job."""


class Simulation(emulator.ControlPlane):
    """A WSGI application that remembers every call, in front of the emulator."""

    def __init__(self, folder: Path, result: dict[str, Any]) -> None:
        super().__init__(folder)
        self.result = result
        """What is in the files that jobs write."""
        self.calls: list[recorder.Call] = []
        self.held = False
        """Whether jobs run until they are stopped."""
        self.failing: set[str] = set()
        """Operations of S3 that fail."""

    def environment(self, caller: str = "") -> dict[str, str]:
        """What leads AWS's clients here, and names the one that calls."""
        caller = caller or "nobody"
        return super().environment() | {"AWS_ACCESS_KEY_ID": caller}

    def client_of(self, caller: str, service: str, **config: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://{self.address}",
            region_name=account.REGION,
            aws_access_key_id=caller,
            aws_secret_access_key="testing",  # noqa: S106
            config=Config(**config),
        )

    def calls_of(self, caller: str) -> list[recorder.Call]:
        return [call for call in self.calls if call.caller == caller]

    def running(self) -> list[str]:
        """Return the names of the jobs that have not ended."""
        states = ((job.name, job.state["ProcessingJobStatus"]) for job in self._jobs.values())
        return [name for name, status in states if status == "InProgress"]

    def __call__(self, environ: dict[str, Any], start: emulator.StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/moto-api/"):
            return super().__call__(environ, start)
        body = _read_body(environ)
        call = recorder.read(environ, body)
        self.calls.append(call)
        if call.operation in self.failing:
            start("400 Bad Request", [("Content-Type", "application/xml")])
            return [b"<Error><Code>InvalidRequest</Code><Message>It fails</Message></Error>"]
        if call.operation == "StopPipelineExecution":
            return self._stop(call, start)
        if call.operation == "GetProducts" and not self.faults["GetProducts"]:
            start("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
            return [json.dumps({"PriceList": _price_list(call.parameters)}).encode()]
        return super().__call__(environ, start)

    def _stop(self, call: recorder.Call, start: emulator.StartResponse) -> list[bytes]:
        arn = call.parameters["PipelineExecutionArn"]
        client = self.client_of(EXECUTION_ROLE, "sagemaker")
        for name in self.running():
            client.stop_processing_job(ProcessingJobName=name)
        start("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps({"PipelineExecutionArn": arn}).encode()]

    def _execute(self, request: dict[str, Any], arn: str) -> None:
        super()._execute(request, arn)
        if not self.held:
            self._threads[-1].join()

    def _start(self, job: emulator.Job) -> None:
        super()._start(job)
        if not self.held:
            self._threads[-1].join()

    def perform(self, job: emulator.Job, folder: Path) -> None:  # noqa: ARG002
        """What SageMaker and the container do, as far as they call S3 and CloudWatch."""
        self._log(job)
        s3 = self.client_of(EXECUTION_ROLE, "s3")
        for item in job.request.get("ProcessingInputs", []):
            bucket, prefix = _split(item["S3Input"]["S3Uri"])
            for found in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
                s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
        if self.held:
            job.stopped.wait()
        config = job.request.get("ProcessingOutputConfig", {"Outputs": []})
        encryption = {}
        if key := config.get("KmsKeyId"):
            encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
        for item in config["Outputs"]:
            bucket, prefix = _split(item["S3Output"]["S3Uri"])
            for name, body in _with_record(self.result).items():
                s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body, **encryption)
        status = "Stopped" if job.stopped.is_set() else "Completed"
        now = time.time()
        times = {"ProcessingStartTime": now - _JOB_SECONDS, "ProcessingEndTime": now}
        job.state = {"ProcessingJobStatus": status, **times}

    def _log(self, job: emulator.Job) -> None:
        logs = self.client_of(EXECUTION_ROLE, "logs")
        group = {"logGroupName": emulator.LOG_GROUP}
        with suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(**group)
        logs.describe_log_streams(**group, logStreamNamePrefix=f"{job.name}/")
        stream = {**group, "logStreamName": f"{job.name}/algo-1-1"}
        logs.create_log_stream(**stream)
        last_line = {"timestamp": time.time_ns() // 1_000_000, "message": "finished in 1.0 s"}
        logs.put_log_events(**stream, logEvents=[last_line])


@dataclass
class _AsRole:
    """The service as the pipeline sees it, which calls it as the execution role."""

    simulation: Simulation

    def client(self, service: str, **config: Any) -> Any:
        return self.simulation.client_of(EXECUTION_ROLE, service, **config)

    def pause(self, seconds: float) -> None:
        self.simulation.pause(seconds)

    def wait(self, name: str) -> dict[str, Any]:
        client = self.client("sagemaker")
        while True:
            job: dict[str, Any] = client.describe_processing_job(ProcessingJobName=name)
            if job["ProcessingJobStatus"] != "InProgress":
                return job
            time.sleep(_POLL_SECONDS)


def _execution(service: Service, *arguments: Any) -> Execution:
    assert isinstance(service, Simulation)
    return Execution(_AsRole(service), *arguments)


@contextmanager
def simulate(folder: Path, result: dict[str, Any]) -> Iterator[Simulation]:
    """The account on loopback, empty.

    Args:
        folder: For temporary files.
        result: The content of each file that a job writes, by name.
    """
    simulation = Simulation(folder, result)
    with mock.patch.object(emulator, "Execution", _execution), account.serve(simulation):
        try:
            yield simulation
        finally:
            simulation.close()


MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"digest": "sha256:1"},
}


def fake_docker(folder: Path) -> Path:
    """Write a ``docker`` that pushes an image without layers, and return its folder."""
    folder.mkdir()
    docker = folder / "docker"
    docker.write_text(f"""\
#!/bin/sh
case "$1" in
login) {shutil.which("cat")} >/dev/null ;;
image) echo sha256:1 ;;
push)
    name=${{2#*/}}
    aws ecr put-image --region {account.REGION} --repository-name "${{name%:*}}" \\
        --image-tag "${{name##*:}}" --image-manifest '{json.dumps(MANIFEST)}' ;;
esac
""")
    docker.chmod(0o755)
    return folder


def _read_body(environ: dict[str, Any]) -> bytes:
    """Return the body of a request, and leave it to be read again."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _with_record(result: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of a complete output, by name."""
    files = {name: json.dumps(content).encode() for name, content in result.items()}
    digests = {
        name: {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        for name, body in files.items()
    }
    return {**files, "job.json": json.dumps({"hosts": 1, "files": digests}).encode()}


def _price_list(request: Mapping[str, Any]) -> list[str]:
    """Return the products that GetProducts is asked for, each with the same price."""
    (types,) = (item["Value"] for item in request["Filters"] if item["Field"] == "instanceName")
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": "0.6"}}
    terms = {"OnDemand": {"term": {"priceDimensions": {"dimension": dimension}}}}
    products = ({"attributes": {"usagetype": f"EU-Processing:{name}"}} for name in types.split(","))
    return [json.dumps({"product": product, "terms": terms}) for product in products]


def _split(address: str) -> tuple[str, str]:
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    return bucket, prefix
