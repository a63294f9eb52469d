"""Runs a job on SageMaker: creates it, follows it to its end and explains a failure.

A job that was created continues regardless of this process, whose later errors are never reported
as a failure of the job.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any

from ..aws import clients, errors
from ..requests import cluster
from ..requests.options import Launch
from ..run import ExitCode, Request, Run, Usage
from ..settings import config
from ..settings.project import COMMAND, LaunchError
from ..storage import s3
from .logs import GROUP, Log

POLL_SECONDS = 5.0
"""The pause between two looks at a job that writes into its log."""

QUIET_POLL_SECONDS = 15.0
"""The pause to which looks slow down while nothing happens."""

CALL_SECONDS = 2.5
"""The pause for each call that a look has made, so that ten minutes take at most 240 calls, however
many hosts and lines there are."""

STATUS_SECONDS = 60.0
"""How often a status that does not change is printed."""

RETRY_SECONDS = 60.0
"""The longest pause before a failed call is made again."""

GIVE_UP_SECONDS = 900.0
"""How long calls may fail before a job is no longer followed."""

DENIED_SECONDS = 60.0
"""How long looks at a job of a pipeline may be denied before only its execution is followed. A new
permission takes effect after a delay."""

APPEAR_SECONDS = 30.0
"""How long SageMaker may take to show a job that it has created."""

QUIET_SECONDS = 5.0
"""How long the log of a job that has ended must be silent to count as complete."""

DRAIN_FAILURE_SECONDS = 60.0
"""How long reading the log of a job that has ended may fail."""

STAY_CLAIMED = "the outputs stay claimed: choose another run name or address"


class Pauses:
    """The pauses between calls that AWS limits."""

    def __init__(self) -> None:
        self._seconds = POLL_SECONDS

    def next(self, calls: int, *, any_new: bool) -> float:
        """Return how many seconds to wait before the next look.

        Args:
            calls: How many calls the last look has made.
            any_new: Whether it has found anything new, or there is more to read.
        """
        grown = min(self._seconds * 1.5, QUIET_POLL_SECONDS)
        self._seconds = POLL_SECONDS if any_new else grown
        return max(self._seconds, min(calls * CALL_SECONDS, RETRY_SECONDS))


class NoAnswerError(Exception):
    """AWS has not answered for too long. The job or execution may continue."""


class Connection:
    """Calls an AWS service while a job is followed, which a failed call must not end.

    botocore does not repeat these calls. After a failure, the session and the client are made
    again, so that renewed credentials are used.

    Args:
        service: Name of the service, as boto3 spells it.
        denied_seconds: How long calls may be denied before there is no point in making more.
    """

    def __init__(self, service: str, denied_seconds: float = GIVE_UP_SECONDS) -> None:
        self._service = service
        self._denied_seconds = denied_seconds
        self._client: Any = None

    def call_once(self, operation: str, **arguments: Any) -> Mapping[str, Any] | None:
        """Call an operation by its name in boto3; ``None`` if what it names does not exist.

        Raises:
            LaunchError: The call failed.
        """
        from botocore.exceptions import ClientError

        try:
            with errors.as_launch_error(self._service):
                if self._client is None:
                    self._client = clients.client(self._service, retries={"total_max_attempts": 1})
                try:
                    answer: Mapping[str, Any] = getattr(self._client, operation)(**arguments)
                except ClientError as error:
                    if error.response["Error"]["Code"] in errors.NOT_FOUND:
                        return None
                    raise
        except LaunchError:
            self._client = None
            raise
        return answer

    def call(self, operation: str, **arguments: Any) -> Mapping[str, Any] | None:
        """Call an operation until it is answered.

        A single failure is not reported. From the second one on, the reason is printed,
        once while it stays the same.

        Raises:
            NoAnswerError: Calls have failed for ``GIVE_UP_SECONDS``, or the last one was denied
                after ``denied_seconds``.
        """
        first_call, failures, printed = monotonic(), 0, ""
        while True:
            try:
                return self.call_once(operation, **arguments)
            except LaunchError as error:
                reason = str(error)
                patience = self._denied_seconds if _is_denied(error) else GIVE_UP_SECONDS
            if monotonic() - first_call >= patience:
                raise NoAnswerError(f"no answer for {_minutes(patience)}: {reason}")
            failures += 1
            if failures > 1 and reason != printed:
                _print(f"{reason}; trying again for {_minutes(patience)}")
                printed = reason
            sleep(min(POLL_SECONDS * 2 ** (failures - 1), RETRY_SECONDS))


def _is_denied(error: LaunchError) -> bool:
    """Return whether AWS has denied a call, which other permissions would allow."""
    from botocore.exceptions import ClientError

    cause = error.__cause__
    code = cause.response["Error"]["Code"] if isinstance(cause, ClientError) else ""
    return code.removesuffix("Exception") == "AccessDenied"


def may_have_succeeded(error: Exception) -> bool:
    """Return whether AWS may have done what a call asked for, although the call has failed.

    The answer may be lost. botocore then makes the call again, and the error may be the answer to
    the second one, such as ``ResourceInUse`` because the first one has created the resource.
    """
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        metadata = error.response["ResponseMetadata"]
        return bool(metadata["HTTPStatusCode"] >= 500 or metadata.get("RetryAttempts"))
    return isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError)


def run(launch: Launch, request: Request) -> Run:
    """Create a job on SageMaker and, unless ``wait`` is false, follow it to its end.

    Raises:
        LaunchError: The launch was rejected; no job was created.
    """
    name, outputs = launch.name, launch.outputs
    advised = commands(name)
    key = config.output_key(launch.job.name)
    for snapshot in launch.uploads:
        s3.upload(snapshot, key)
    maybe_running = f"{name} may be running: {advised}"
    claims = launch.chosen_outputs.values()
    advice = STAY_CLAIMED if claims else ""
    with claimed(claims, {"job": name}, advice, key):
        _print(f"creating the processing job {name}")
        with _print_if_interrupted(maybe_running):
            created = _create(launch, request)
        if not created:
            message = "; ".join(filter(None, [maybe_running, advice]))
            return Run(name, "InProgress", outputs, message, ExitCode.STILL_RUNNING)
        with _print_if_interrupted(f"{name} is still running: {advised}"):
            if launch.options.wait:
                repeat = launch.command(backend="docker")
                return follow(name, outputs, repeat)
            _print_links(name)
            return Run(name, "InProgress", outputs)


@contextmanager
def claimed(
    addresses: Iterable[str], note: Mapping[str, Any], advice: str, key: str | None = None
) -> Iterator[None]:
    """Claim outputs, and print advice if an error occurs afterwards.

    Args:
        addresses: Addresses of the outputs.
        note: Describes the owner of the claims.
        advice: Added to a rejection, and printed if anything else is raised; may be empty.
        key: The KMS key that the claims are encrypted with.

    Raises:
        LaunchError: An address is taken.
    """
    with _print_if_interrupted(advice):
        s3.claim_all(addresses, note, key)
        try:
            yield
        except LaunchError as error:
            if not advice:
                raise
            raise LaunchError(f"{error}; {advice}") from error


def follow(
    name: str,
    outputs: Mapping[str, str],
    repeat: str = "",
    denied_seconds: float = GIVE_UP_SECONDS,
) -> Run:
    """Print the status and the log of a job until it ends, and explain a failure.

    A job that can no longer be followed has not failed: its run is ``InProgress``, with an exit
    code of its own and a message that says how to look at the job and how to stop it.

    Args:
        name: Of the job, which was created before.
        outputs: Addresses by option, for the run that is returned.
        repeat: A command that repeats the job elsewhere, shown if it fails.
        denied_seconds: How long looks at the job may be denied.
    """
    message = f"{name} is still running: {commands(name)}"
    _print_links(name)
    try:
        job = _follow(name, denied_seconds)
    except NoAnswerError as error:
        _print(f"the job is still running, but can no longer be followed: {error}")
        return Run(name, "InProgress", outputs, message, ExitCode.STILL_RUNNING)
    status = job["ProcessingJobStatus"]
    if status != "Completed":
        _explain(job, repeat)
    exit_code = ExitCode.COMPLETED if status == "Completed" else ExitCode.FAILED
    usage = _usage(job)
    return Run(name, status, outputs, job.get("ExitMessage", ""), exit_code, usage=usage)


def _usage(job: Mapping[str, Any]) -> tuple[Usage, ...]:
    """Return the instances that a job has used; none if it never started."""
    cluster = job.get("ProcessingResources", {}).get("ClusterConfig", {})
    instance_type = cluster.get("SelectedInstanceType") or cluster.get("InstanceType")
    started, ended = job.get("ProcessingStartTime"), job.get("ProcessingEndTime")
    if not (instance_type and started and ended):
        return ()
    count = cluster.get("SelectedInstanceCount") or cluster.get("InstanceCount", 1)
    return (Usage(instance_type, count, (ended - started).total_seconds()),)


def _create(launch: Launch, request: Request) -> bool:
    """Create a job, and return whether it certainly exists.

    Raises:
        LaunchError: SageMaker did not create the job.
    """
    try:
        with errors.as_launch_error(launch.name):
            try:
                clients.client("sagemaker").create_processing_job(**request)
            except Exception as error:
                if not may_have_succeeded(error):
                    raise
                _print(f"checking whether the job was created: {errors.explain(error)}")
                if _describe(Connection("sagemaker"), launch.name) is None:
                    raise
    except LaunchError as error:
        inputs = "; the uploaded inputs stay in S3 for the next launch" if launch.snapshots else ""
        raise LaunchError(f"{error}; no job was created{inputs}") from error
    except NoAnswerError as error:
        _print(f"it is unknown whether the job was created: {error}")
        return False
    return True


def _follow(name: str, denied_seconds: float) -> Mapping[str, Any]:
    """Print the status and the log of a job until it ends, and return its state."""
    connection, pauses = Connection("sagemaker", denied_seconds), Pauses()
    printed_status, printed_at = "", -math.inf
    log: Log | None = None
    while True:
        job = _describe(connection, name)
        if job is None:
            raise NoAnswerError(f"SageMaker does not find {name}")
        # A name out of an ARN is in lower case, that of the log is not.
        log = log or Log(
            job["ProcessingJobName"], job["CreationTime"], Connection("logs").call_once
        )
        any_new = log.read(monotonic()) or log.pending
        status, now = job["ProcessingJobStatus"], monotonic()
        if status != printed_status or now - printed_at >= STATUS_SECONDS:
            _print(f"{status} after {_seconds(job):.0f} s")
            any_new |= status != printed_status
            printed_status, printed_at = status, now
        if status in ("Completed", "Failed", "Stopped"):
            _drain(log, cluster.host_count(job))
            return job
        sleep(pauses.next(1 + log.calls, any_new=any_new))


def _seconds(job: Mapping[str, Any]) -> float:
    """Return how long ago a job was created, or how long after its creation it has ended."""
    end = job.get("ProcessingEndTime") or datetime.now(UTC)
    seconds: float = (end - job["CreationTime"]).total_seconds()
    return max(0.0, seconds)  # the clocks of AWS and of this machine may differ


def _describe(connection: Connection, name: str) -> Mapping[str, Any] | None:
    """Return the state of a job, or ``None`` if there is none even after ``APPEAR_SECONDS``."""
    deadline = monotonic() + APPEAR_SECONDS
    while True:
        job = connection.call("describe_processing_job", ProcessingJobName=name)
        if job is not None or monotonic() >= deadline:
            return job
        sleep(POLL_SECONDS)


def _drain(log: Log, hosts: int) -> None:
    """Print what CloudWatch delivers after the end of a job with so many hosts.

    The log is silent if a search to its last page finds nothing new, and if that search began
    ``QUIET_SECONDS`` after the end of an earlier one.
    """
    began = monotonic()
    quiet_since = failing_since = math.inf
    while log.finished_hosts < hosts:
        if not log.pending:
            began = monotonic()
        if log.read(monotonic()) or log.failed:
            quiet_since = math.inf
        if log.pending:
            continue
        now = monotonic()
        if log.failed:
            failing_since = min(failing_since, now)
            patience = DRAIN_FAILURE_SECONDS if log.was_read else QUIET_SECONDS
            if now - failing_since >= patience:
                _print("the end of the log may be missing, because it cannot be read")
                return
        else:
            failing_since = math.inf
            if began - quiet_since >= QUIET_SECONDS:
                return
            quiet_since = min(quiet_since, now)
        sleep(1)


def _explain(job: Mapping[str, Any], repeat: str) -> None:
    _print(f"FailureReason: {job.get('FailureReason', 'none')}")
    _print(f"ExitMessage: {job.get('ExitMessage', 'none')}")
    if repeat:
        _print(f"to repeat it in Docker: {repeat}")


def _print_links(name: str) -> None:
    group = GROUP.replace("/", "$252F")
    _print(f"  {clients.console()}/sagemaker/home#/processing-jobs/{name}")
    _print(f"  {clients.console()}/cloudwatch/home#logsV2:log-groups/log-group/{group}")


@contextmanager
def _print_if_interrupted(message: str) -> Iterator[None]:
    """Print a message, unless it is empty, if an exception other than a rejection is raised."""
    try:
        yield
    except LaunchError:
        raise
    except BaseException:
        with suppress(OSError):  # the terminal may be gone
            if message:
                _print(message)
        raise


def commands(name: str) -> str:
    """Return the commands that follow a job or an execution, and stop it."""
    return f"`{COMMAND} logs {name}` follows it, `{COMMAND} stop {name}` stops it"


def _minutes(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} minute{'s' if minutes != 1 else ''}"


def _print(text: str) -> None:
    """Print at once, so that a log file or a pipe shows a line when it is written."""
    print(text, flush=True)
