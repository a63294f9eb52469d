"""An emulator of SageMaker Processing: moto answers the requests, and the emulator runs the jobs.

A CreateProcessingJob becomes containers of the image in the registry, with the inputs out of
moto's S3 in their folders; outputs, log, status and ExitMessage go back where AWS puts them.
"""

import base64
import hashlib
import io
import json
import secrets
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import account
import listings
import registry
from executions import Execution

BUCKET = "team-bucket"
"""The bucket that there is."""

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_POLL_SECONDS = 0.1
_STOP_SECONDS = 10

StartResponse = Callable[..., Any]


@dataclass
class Job:
    """A processing job: what was asked for, and how far it is."""

    request: dict[str, Any]
    state: dict[str, Any] = field(default_factory=lambda: {"ProcessingJobStatus": "InProgress"})
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        return str(self.request["ProcessingJobName"])


class ControlPlane(account.Endpoint):
    """Takes requests and keeps states: a WSGI application in front of moto's own.

    What a job does is up to a subclass: see ``perform``.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.requests: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """The bodies that came in, by operation."""
        self.faults: dict[str, list[str]] = defaultdict(list)
        """Error codes that the next calls of an operation are answered with."""
        self.rules: list[Callable[[dict[str, Any]], str | None]] = []
        """Policies of the account: each sees the request for a job, of a launch or of a step, and
        returns the message with which it is denied, or ``None``."""
        self.quotas: dict[str, float] | None = None
        """Of SageMaker, by name, all others being 0; ``None`` if every quota is large enough."""
        self.pauses: list[float] = []
        """The seconds that executions had to wait before they tried a step again."""
        self.executions: dict[str, Execution] = {}
        """Of pipelines, by ARN."""
        self.cache: dict[str, str] = {}
        """What steps of pipelines need not do again."""
        self._jobs: dict[str, Job] = {}
        """By name in lower case: names that differ in nothing else are one name."""
        self._threads: list[threading.Thread] = []

    @property
    def job_requests(self) -> dict[str, dict[str, Any]]:
        """The requests of all jobs, by name."""
        return {job.name: job.request for job in list(self._jobs.values())}

    def name(self, index: int) -> str:
        """The name of the job that was created first, second, … since ``requests`` was empty."""
        return str(self.requests["CreateProcessingJob"][index]["ProcessingJobName"])

    def objects(self, prefix: str = "") -> list[str]:
        """The keys below a prefix of the bucket."""
        found = self.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for item in found.get("Contents", [])]

    def read(self, key: str) -> bytes:
        """An object of the bucket."""
        return bytes(self.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def wait(self, name: str) -> dict[str, Any]:
        """The state of a job that is over."""
        job = self._jobs[name.lower()]
        while job.state["ProcessingJobStatus"] == "InProgress":
            time.sleep(_POLL_SECONDS)
        return job.state

    def pause(self, seconds: float) -> None:
        """Wait before a step is tried again; here, not for long."""
        self.pauses.append(seconds)
        time.sleep(_POLL_SECONDS)

    def start(self, pipeline: str, **parameters: str) -> Execution:
        """Start an execution of a pipeline, as a schedule does."""
        given = [{"Name": name, "Value": value} for name, value in parameters.items()]
        started = self.client("sagemaker").start_pipeline_execution(
            PipelineName=pipeline,
            PipelineParameters=given,
            ClientRequestToken=secrets.token_hex(16),
        )
        return self.executions[started["PipelineExecutionArn"]]

    def perform(self, job: Job, folder: Path) -> None:
        """Do what a job asks for, in a folder of its own, and set its state."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop every job and wait until what it left is gone."""
        for job in self._jobs.values():
            job.stopped.set()
        for thread in self._threads:
            thread.join()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")
        if not target[2]:
            self.requests["S3"].append({"method": environ["REQUEST_METHOD"]})
            return cast(Iterable[bytes], self.moto(environ, start_response))
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        request = json.loads(body or b"{}")
        self.requests[target[2]].append(request)
        if self.faults[target[2]]:
            code = self.faults[target[2]].pop(0)
            return _answer(start_response, {"__type": code, "message": code}, "400 Bad Request")
        if target[2] == "StopProcessingJob":
            self._jobs[request["ProcessingJobName"].lower()].stopped.set()
            return _answer(start_response, {})
        if (listed := listings.answer(self, target[2], request)) is not None:
            return _answer(start_response, listed)
        if target[2] == "ListServiceQuotas":  # moto has none of SageMaker's
            return _answer(start_response, {"Quotas": account.listed_quotas(self.quotas or {})})
        if target[2] == "ListPipelineExecutionSteps":  # moto has none
            execution = self.executions[request["PipelineExecutionArn"]]
            return _answer(start_response, {"PipelineExecutionSteps": execution.steps})
        if target[2] in ("DescribeImages", "BatchGetImage"):
            self._mirror(request["repositoryName"])
        if target[2] == "CreateProcessingJob" and (error := self._rejection(request)):
            return _answer(start_response, error, "400 Bad Request")
        if target[2] == "DescribeProcessingJob":
            environ |= self._with_exact_name(request)
        status, headers, answer = self._ask_moto(environ)
        if status.startswith("200") and target[2] == "FilterLogEvents":
            return _answer(start_response, _select(json.loads(answer), request))
        if status.startswith("200") and target[2] == "CreateProcessingJob":
            self._start(Job(request))
        if status.startswith("200") and target[2] == "DescribeProcessingJob":
            job = self._jobs[request["ProcessingJobName"].lower()]
            described = json.loads(answer) | job.request | job.state
            if "ProcessingEndTime" not in job.state:
                del described["ProcessingEndTime"]  # moto's jobs end when they begin
            return _answer(start_response, described)
        if status.startswith("200") and target[2] == "StartPipelineExecution":
            self._execute(request, json.loads(answer)["PipelineExecutionArn"])
        if target[2] == "DescribePipelineExecution":
            execution = self.executions[request["PipelineExecutionArn"]]
            state = {"PipelineExecutionStatus": execution.status}
            return _answer(start_response, json.loads(answer) | state)
        start_response(status, headers)
        return [answer]

    def _execute(self, request: dict[str, Any], arn: str) -> None:
        described = self.client("sagemaker").describe_pipeline(PipelineName=request["PipelineName"])
        definition = json.loads(described["PipelineDefinition"])
        given = {item["Name"]: item["Value"] for item in request.get("PipelineParameters", [])}
        execution = Execution(self, arn, definition, given, self.cache)
        if config := request.get("SelectiveExecutionConfig"):
            execution.selected = {item["StepName"] for item in config["SelectedSteps"]}
            execution.source = self.executions[config["SourcePipelineExecutionArn"]]
        self.executions[arn] = execution
        self._threads.append(threading.Thread(target=self.executions[arn].run))
        self._threads[-1].start()

    def _rejection(self, request: dict[str, Any]) -> dict[str, str]:
        """The error that a request for a job is answered with; empty if there is none."""
        for rule in self.rules:
            if message := rule(request):
                return {"__type": "AccessDeniedException", "message": message}
        for instances in _preferences(request):
            name = f"{instances['InstanceType']} for processing job usage"
            count, quota = instances["InstanceCount"], (self.quotas or {}).get(name, 0)
            if self.quotas is not None and quota < count:
                message = f"The account-level service limit '{name}' is {quota:.0f} Instances, "
                message += "with current utilization of 0 Instances and a request delta of "
                message += f"{count} Instances. Please request an increase for this quota."
                return {"__type": "ResourceLimitExceeded", "message": message}
        if request["ProcessingJobName"].lower() in self._jobs:
            return {"__type": "ResourceInUse", "message": "Job name must be unique"}
        return {}

    def _with_exact_name(self, request: dict[str, Any]) -> dict[str, Any]:
        """A request with the name of the job as it was created: moto knows no other spelling."""
        job = self._jobs.get(request["ProcessingJobName"].lower())
        body = json.dumps({"ProcessingJobName": job.name} if job else request).encode()
        return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}

    def _ask_moto(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        started: list[Any] = []
        answer = b"".join(self.moto(environ, lambda *args: started.extend(args[:2])))
        return started[0], started[1], answer

    def _mirror(self, repository: str) -> None:
        """Tell moto's ECR what the registry holds, if there is one."""

    def _start(self, job: Job) -> None:
        self._jobs[job.name.lower()] = job
        self._threads.append(threading.Thread(target=self._perform, args=(job,)))
        self._threads[-1].start()

    def _perform(self, job: Job) -> None:
        try:
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                self.perform(job, Path(folder))
        except Exception as error:
            job.state = {
                "ProcessingJobStatus": "Failed",
                "FailureReason": f"InternalServerError: {error!r}",
            }
            raise


class Emulator(ControlPlane):
    """Runs jobs in containers of the images in a registry."""

    def __init__(self, images: registry.Server, folder: Path) -> None:
        super().__init__(folder)
        self.images = images

    def environment(self) -> dict[str, str]:
        """The variables that lead AWS's clients and ``docker push`` here."""
        return super().environment() | registry.docker_client(self.folder, self.images)

    def perform(self, job: Job, folder: Path) -> None:
        _Cluster(self, job, folder).run()

    def _mirror(self, repository: str) -> None:
        """Tell moto's ECR what the registry holds: in ECR the two are one."""
        ecr = self.client("ecr")
        try:
            images = ecr.list_images(repositoryName=repository)["imageIds"]
            tags = json.loads(self._registry(f"{repository}/tags/list"))["tags"] or []
        except (ecr.exceptions.RepositoryNotFoundException, urllib.error.HTTPError):
            return  # nothing was pushed yet
        for tag in set(tags) - {image.get("imageTag") for image in images}:
            manifest = self._registry(f"{repository}/manifests/{tag}")
            digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
            image = {"imageManifest": manifest, "imageTag": tag, "imageDigest": digest}
            # Of the tags of an image, moto lists one.
            with suppress(
                ecr.exceptions.ImageAlreadyExistsException,
                ecr.exceptions.ImageTagAlreadyExistsException,
            ):
                ecr.put_image(repositoryName=repository, **image)

    def _registry(self, path: str) -> str:
        secret = base64.b64encode(f"AWS:{registry.ECR_PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {secret}", "Accept": _MANIFEST}
        request = urllib.request.Request(f"http://{self.images.address}/v2/{path}", headers=headers)
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return str(answer.read().decode())


class _Cluster:
    """The instances of one job: containers on a network of their own."""

    def __init__(self, service: Emulator, job: Job, folder: Path) -> None:
        self.service = service
        self.job = job
        self.folder = folder
        count = _preferences(job.request)[0]["InstanceCount"]
        self.hosts = [f"algo-{number + 1}" for number in range(count)]
        self.s3 = service.client("s3")

    def run(self) -> None:
        started = time.time()
        image = self._pull()
        with ExitStack() as left:
            _docker("network", "create", self.job.name)
            left.callback(_docker, "network", "rm", self.job.name)
            for index, host in enumerate(self.hosts):
                self._create(index, host, image)
                left.callback(_docker, "rm", "--force", "--volumes", self._container(host))
            state = self._follow()
            messages = [message for host in self.hosts if (message := self._collect(host))]
        if messages:
            state["ExitMessage"] = "\n".join(messages)[:1024]
        times = {"ProcessingStartTime": started, "ProcessingEndTime": time.time()}
        self.job.state = state | times

    def _pull(self) -> str:
        """The image at the address that the request names, but from the registry of the tests."""
        image: str = self.job.request["AppSpecification"]["ImageUri"]
        host, _, name = image.partition("/")
        if ".dkr.ecr." not in host or "@sha256:" not in name:
            raise ValueError(f"{image} is not in ECR, or not a digest")
        config = ("--config", str(self.folder / "docker"))
        login = ("login", "--username", "AWS", "--password", registry.ECR_PASSWORD)
        _docker(*config, *login, self.service.images.address)
        _docker(*config, "pull", "--quiet", f"{self.service.images.address}/{name}")
        return f"{self.service.images.address}/{name}"

    def _create(self, index: int, host: str, image: str) -> None:
        base = self.folder / host
        for folder in ("config", "output", "processing"):
            (base / folder).mkdir(parents=True)
        resources = {"current_host": host, "hosts": self.hosts}
        (base / "config" / "resourceconfig.json").write_text(json.dumps(resources))
        (base / "config" / "processingjobconfig.json").write_text(json.dumps(self.job.request))
        for item in self.job.request.get("ProcessingInputs", []):
            if "S3Input" in item:
                self._fetch(item["S3Input"], index, base)
        for item in self._outputs():
            (base / _below(item["LocalPath"])).mkdir(parents=True)
        application = self.job.request["AppSpecification"]
        entrypoint, *words = application["ContainerEntrypoint"]
        words += application.get("ContainerArguments", [])
        options = ["--hostname", host, "--network", self.job.name, "--network-alias", host]
        for key, value in self.job.request.get("Environment", {}).items():
            options += ["--env", f"{key}={value}"]
        name = ("--name", self._container(host))
        _docker("create", *name, *options, "--entrypoint", entrypoint, image, *words)
        _docker("cp", f"{base}/.", f"{self._container(host)}:/opt/ml")

    def _fetch(self, source: dict[str, str], index: int, base: Path) -> None:
        bucket, _, prefix = source["S3Uri"].removeprefix("s3://").partition("/")
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = sorted(item["Key"] for page in pages for item in page.get("Contents", []))
        if source["S3DataDistributionType"] == "ShardedByS3Key":
            keys = keys[index :: len(self.hosts)]
        folder = base / _below(source["LocalPath"])
        folder.mkdir(parents=True)
        for key in keys:
            file = folder / _name_below(prefix, key)
            file.parent.mkdir(parents=True, exist_ok=True)
            self.s3.download_file(bucket, key, str(file))

    def _follow(self) -> dict[str, Any]:
        """Run the containers to their end; the state of the job."""
        seconds = self.job.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86400)
        deadline = time.monotonic() + seconds
        processes = {
            host: subprocess.Popen(
                ["docker", "start", "--attach", self._container(host)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            for host in self.hosts
        }
        loggers = [threading.Thread(target=self._log, args=each) for each in processes.items()]
        for logger in loggers:
            logger.start()
        while True:
            codes = [process.poll() for process in processes.values()]
            late = self.job.stopped.is_set() or time.monotonic() > deadline
            if late or any(codes) or None not in codes:
                break
            time.sleep(_POLL_SECONDS)
        for host, process in processes.items():
            if process.poll() is None:
                _docker("stop", "--time", str(_STOP_SECONDS), self._container(host))
            process.wait()
        for logger in loggers:
            logger.join()
        if any(codes):
            code = next(code for code in codes if code)
            reason = f"AlgorithmError: See job logs for more information, exit code: {code}"
            return {"ProcessingJobStatus": "Failed", "FailureReason": reason}
        return {"ProcessingJobStatus": "Stopped" if late else "Completed"}

    def _log(self, host: str, process: subprocess.Popen[str]) -> None:
        logs = self.service.client("logs")
        with suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=LOG_GROUP)
        stream = f"{self.job.name}/{host}-{time.time_ns() // 1_000_000}"
        logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
        for line in process.stdout or []:
            event = {"timestamp": time.time_ns() // 1_000_000, "message": line.rstrip() or " "}
            logs.put_log_events(logGroupName=LOG_GROUP, logStreamName=stream, logEvents=[event])

    def _collect(self, host: str) -> str:
        """Upload a host's outputs; its message."""
        base = self.folder / f"{host}-after"
        base.mkdir()
        _docker("cp", f"{self._container(host)}:/opt/ml/.", str(base))
        for item in self._outputs():
            bucket, _, prefix = item["S3Uri"].removeprefix("s3://").partition("/")
            folder = base / _below(item["LocalPath"])
            for file in (each for each in folder.rglob("*") if each.is_file()):
                key = f"{prefix}/{file.relative_to(folder).as_posix()}"
                self.s3.upload_file(str(file), bucket, key)
        message = base / "output" / "message"
        return message.read_text() if message.exists() else ""

    def _outputs(self) -> list[dict[str, str]]:
        config = self.job.request.get("ProcessingOutputConfig", {"Outputs": []})
        return [item["S3Output"] for item in config["Outputs"] if "S3Output" in item]

    def _container(self, host: str) -> str:
        return f"{self.job.name}-{host}"


@contextmanager
def emulator(images: registry.Server, folder: Path) -> Iterator[Emulator]:
    """The service on loopback, empty, with the images of a registry."""
    service = Emulator(images, folder)
    with account.serve(service):
        try:
            yield service
        finally:
            service.close()


def _preferences(request: dict[str, Any]) -> list[dict[str, Any]]:
    """The types of instances that a request allows, each with its count, the best one first."""
    cluster = request["ProcessingResources"]["ClusterConfig"]
    found: list[dict[str, Any]] = cluster.get("InstancePreferences", [cluster])
    return found


def _answer(start: StartResponse, body: dict[str, Any], status: str = "200 OK") -> list[bytes]:
    start(status, [("Content-Type", "application/x-amz-json-1.1")])
    return [json.dumps(body).encode()]


def _select(answer: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Leave what FilterLogEvents was asked for, in its order; moto ignores the prefix."""
    prefix = request.get("logStreamNamePrefix", "")
    events = [event for event in answer["events"] if event["logStreamName"].startswith(prefix)]
    return {**answer, "events": sorted(events, key=lambda event: event["timestamp"])}


def _name_below(prefix: str, key: str) -> str:
    """The name of an object in its channel: every key that begins with the prefix is in it.

    A prefix may be the key itself, and other keys may begin like it: ``a.csv``, ``a.csv.bak``.
    """
    folder = prefix.rstrip("/")
    if not key.startswith(f"{folder}/"):
        folder = folder.rpartition("/")[0]
    return key.removeprefix(folder).lstrip("/")


def _below(path: str) -> str:
    return path.removeprefix("/opt/ml/")


def _docker(*words: str) -> None:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"docker {words[0]}: {done.stderr}")
