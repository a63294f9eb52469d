"""Hosts that are SageMaker's: a job is handed over, followed, and explained if it fails."""

import shlex
import time
from collections import deque
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from . import aws, project, storage
from .options import Call
from .project import NotSetUpError
from .request import Request
from .run import Run

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
POLL_SECONDS = 5.0
_STATUS_SECONDS = 60.0
_LAST_LINES = 20


def image() -> str:
    """The image of this commit, by digest, so that it is this one whatever happens to its tag."""
    stamp, repository = project.stamp(), project.require("ECR_REPOSITORY")
    if stamp.endswith("-dirty"):
        advice = "commit them, or name an --image"
        raise NotSetUpError(f"no image has your uncommitted changes: {advice}")
    with aws.errors(f"image {repository}:{stamp}"):
        ecr = aws.client("ecr")
        try:
            repositories = ecr.describe_repositories(repositoryNames=[repository])["repositories"]
            wanted = {"repositoryName": repository, "imageIds": [{"imageTag": stamp}]}
            images = ecr.describe_images(**wanted)["imageDetails"]
        except ecr.exceptions.RepositoryNotFoundException as error:
            advice = "`make stack` makes it"
            raise NotSetUpError(f"ECR has no repository {repository}: {advice}") from error
        except ecr.exceptions.ImageNotFoundException as error:
            advice = "`make push` pushes it"
            raise NotSetUpError(f"ECR has no image {repository}:{stamp}: {advice}") from error
    return f"{repositories[0]['repositoryUri']}@{images[0]['imageDigest']}"


def run(call: Call, request: Request, outputs: Mapping[str, str]) -> Run:
    """Hand a job over to SageMaker and, if not told otherwise, follow it to its end."""
    name = request["ProcessingJobName"]
    upload(call, request)
    for address in outputs.values():
        storage.replace(address)
    with aws.errors(name):
        aws.client("sagemaker").create_processing_job(**request)
    print(f"InProgress: {name}")
    if not call.options.wait:
        _show_addresses(name)
        return Run(name, "InProgress", outputs)
    try:
        return follow(call, name, outputs)
    except (KeyboardInterrupt, SystemExit):
        print(f"it goes on: aws sagemaker stop-processing-job --processing-job-name {name}")
        raise


def upload(call: Call, request: Request, later: Collection[str] = ()) -> None:
    """Put the inputs that are folders of this machine where the request has them, but ``later``."""
    options = {channel.name: channel.option for channel in call.job.inputs}
    for item in request.get("ProcessingInputs", []):
        option = options[item["InputName"]]
        if option not in later and not storage.is_s3(call.channels[option]):
            storage.replace(item["S3Input"]["S3Uri"].rstrip("/"), Path(call.channels[option]))


def _show_addresses(name: str) -> None:
    group = LOG_GROUP.replace("/", "$252F")
    print(f"  {aws.console()}/sagemaker/home#/processing-jobs/{name}")
    print(f"  {aws.console()}/cloudwatch/home#logsV2:log-groups/log-group/{group}", flush=True)


def follow(call: Call, name: str, outputs: Mapping[str, str]) -> Run:
    """Show where a job is seen, and its status and log until it is over."""
    _show_addresses(name)
    log, started, shown = _Log(name), time.monotonic(), ("", 0.0)
    with aws.errors(name):
        client = aws.client("sagemaker")
        while True:
            job = client.describe_processing_job(ProcessingJobName=name)
            status, elapsed = job["ProcessingJobStatus"], time.monotonic() - started
            log.show()
            if status != shown[0] or elapsed - shown[1] > _STATUS_SECONDS:
                print(f"{status} after {elapsed:.0f} s", flush=True)
                shown = status, elapsed
            if status in ("Completed", "Failed", "Stopped"):
                break
            time.sleep(POLL_SECONDS)
    if status != "Completed":
        _explain(call, job, log)
    return Run(name, status, outputs, job.get("ExitMessage", ""), int(status != "Completed"))


def _explain(call: Call, job: Mapping[str, Any], log: "_Log") -> None:
    without = ["wait", "image", "overwrite", "run_name"]
    command = call.command(*without, *(item.option for item in call.job.outputs), where="docker")
    print("FailureReason:", job.get("FailureReason", "none"))
    print("ExitMessage:", job.get("ExitMessage", "none"))
    print("the end of the log:", *log.last, sep="\n  ")
    print("the same in Docker:", shlex.join(command), flush=True)


class _Log:
    """The log of a job: a stream for each host, named ``<job>/<host>-<number>``."""

    def __init__(self, job: str) -> None:
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self._job = job
        self._client = aws.client("logs")
        self._read: dict[str, dict[str, str]] = {}

    def show(self) -> None:
        """Print what is new."""
        wanted = {"logGroupName": LOG_GROUP, "logStreamNamePrefix": f"{self._job}/"}
        try:
            for page in self._client.get_paginator("describe_log_streams").paginate(**wanted):
                for stream in page["logStreams"]:
                    self._show(stream["logStreamName"])
        except self._client.exceptions.ResourceNotFoundException:
            return  # no job of this account has logged anything yet

    def _show(self, stream: str) -> None:
        host = stream.removeprefix(f"{self._job}/").rpartition("-")[0]
        wanted = {"logGroupName": LOG_GROUP, "logStreamName": stream, "startFromHead": True}
        while True:
            position = self._read.get(stream, {})
            events = self._client.get_log_events(**wanted, **position)
            for event in events["events"]:
                self.last.append(f"{host} | {event['message'].rstrip()}")
                print(self.last[-1], flush=True)
            self._read[stream] = {"nextToken": events["nextForwardToken"]}
            if self._read[stream] == position:
                return
