"""Follows and stops what was launched before, wherever it runs."""

import codecs
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..aws import clients, errors
from ..history import listing, recordings
from ..history.account import Account
from ..history.entries import PIPELINE, Entry
from ..run import ExitCode, Run
from ..settings.project import COMMAND, LaunchError

POLL_SECONDS = 0.3
"""The pause between two looks at a launch on this machine."""

STOP_SECONDS = 180.0
"""How long a launch on this machine may take to stop."""

_ENDED = ("ValidationException", "ResourceNotFound", "ConflictException")
"""Error codes of stopping what has just ended."""


def follow(entry: Entry) -> Run:
    """Print the log of a job, or of all jobs of a pipeline, and follow it to its end.

    An interrupt stops following; the launch continues.

    Raises:
        LaunchError: There is no such job any more, or its log cannot be read.
    """
    with _leaving(entry):
        if entry.backend == "sagemaker":
            return _follow_execution(entry) if entry.job == PIPELINE else _follow_job(entry)
        return to_run(_follow_local(entry))


def stop(name: str) -> Run:
    """Stop a job or a run of the pipeline; one that has ended already stays as it is.

    A launch on this machine is waited for. On SageMaker it may run for some minutes more.

    Raises:
        LaunchError: There is no such job, or it cannot be stopped.
    """
    entry = listing.find(name)
    if entry.backend == "sagemaker":
        return to_run(_stop_on_sagemaker(entry))
    return to_run(_stop_local(entry))


def to_run(entry: Entry) -> Run:
    """Return an entry as a run, with the exit code that its launch had or would have."""
    codes = {"Completed": ExitCode.COMPLETED, "Failed": ExitCode.FAILED, "Stopped": ExitCode.FAILED}
    return Run(
        name=entry.arn if entry.job == PIPELINE and entry.arn else entry.name,
        status=entry.status,
        outputs=entry.outputs,
        exit_message=entry.message,
        exit_code=codes.get(entry.status, ExitCode.STILL_RUNNING),
        metric=str(recordings.end(entry).get("metric", "")),
    )


@contextmanager
def _leaving(entry: Entry) -> Iterator[None]:
    """Print that the job is still running if following it is interrupted."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if entry.is_running:
            _print(
                f"{entry.short_name} is still running: `{COMMAND} logs {entry.short_name}` "
                f"follows it again, `{COMMAND} stop {entry.short_name}` stops it"
            )
        raise


def _follow_local(entry: Entry) -> Entry:
    """Print what the hosts of a launch on this machine have printed, until it has ended."""
    if entry.folder is None:
        _print(f"no log was kept of {entry.name}: its results are in {_folders(entry)}")
        return entry
    if entry.job == PIPELINE:
        for job, name in recordings.request(entry).get("steps", {}).items():
            if step := _wait(partial(recordings.read, name), entry):
                _print(f"{job}:")
                _follow_local(step)
        return _wait(partial(_ended, entry), entry) or _now(entry)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    position = 0
    while True:
        current = _now(entry)  # before the log, which is complete once it has ended
        try:
            with recordings.log_file(entry).open("rb") as log:
                log.seek(position)
                data = log.read()
        except OSError as error:
            raise LaunchError(f"{recordings.log_file(entry)}: {error.strerror}") from error
        position += len(data)
        print(decoder.decode(data), end="", flush=True)
        if not current.is_running:
            return current
        time.sleep(POLL_SECONDS)


def _wait(look: Callable[[], Entry | None], running: Entry) -> Entry | None:
    """Return what is looked for once it is there; ``None`` if ``running`` ends without it."""
    while True:
        goes_on = _now(running).is_running
        if found := look():
            return found
        if not goes_on:
            return None
        time.sleep(POLL_SECONDS)


def _now(entry: Entry) -> Entry:
    return recordings.read(entry.name) or entry


def _ended(entry: Entry) -> Entry | None:
    current = _now(entry)
    return None if current.is_running else current


def _follow_job(entry: Entry) -> Run:
    from ..backends import sagemaker

    if Account().description(entry.name) is None:
        raise _unknown(entry)
    return sagemaker.follow(entry.name, entry.outputs, _repeat(entry.short_name))


def _follow_execution(entry: Entry) -> Run:
    """Print the steps of an execution, with the log of each job, until the execution ends."""
    from ..backends import execution
    from ..backends.sagemaker import NoAnswerError

    following = execution.Following(entry.arn, lambda _step, job: _repeat(job))
    try:
        for _ in following.looks():
            pass
    except NoAnswerError as error:
        message = f"the execution can no longer be followed: {error}"
        return Run(entry.arn, "InProgress", {}, message, ExitCode.STILL_RUNNING)
    return to_run(Account().execution(entry.arn) or entry)


def _repeat(job: str) -> str:
    return f"{COMMAND} again {job} --backend docker"


def _stop_local(entry: Entry) -> Entry:
    if not entry.is_running:
        if entry.folder and not recordings.end(entry):
            _clean(entry)
            _print(f"{entry.short_name}: its launch was killed; what it left has been ended")
        else:
            _print_ended(entry)
        return entry
    _request_stop(entry)
    _print(f"stopping {entry.short_name}, which may take {STOP_SECONDS / 60:.0f} minutes")
    deadline = time.monotonic() + STOP_SECONDS
    while (current := _now(entry)).is_running:
        if time.monotonic() > deadline:
            raise LaunchError(
                f"{entry.short_name} is still running: stop it with Ctrl-C where it was launched"
            )
        time.sleep(POLL_SECONDS)
        _request_stop(entry)  # again, as the next step may have begun meanwhile
    _print(f"{current.status}: {current.short_name}")
    return current


def _request_stop(entry: Entry) -> None:
    """Ask a launch on this machine, and the steps of a pipeline that have begun, to stop."""
    steps = recordings.request(entry).get("steps", {}).values()
    try:
        for each in (entry, *filter(None, map(recordings.read, steps))):
            if each.is_running:
                recordings.request_stop(each)
    except OSError as error:
        raise LaunchError(
            f"{entry.short_name} cannot be stopped: {entry.folder} cannot be written "
            f"({error.strerror}): stop it with Ctrl-C where it was launched"
        ) from error


def _clean(entry: Entry) -> None:
    from ..backends import docker, local

    local.remove_abandoned()
    if entry.backend == "docker":
        docker.remove_abandoned()


def _stop_on_sagemaker(entry: Entry) -> Entry:
    if not entry.is_running:
        _print_ended(entry)
        return entry
    from botocore.exceptions import ClientError

    with errors.as_launch_error(f"{entry.short_name} cannot be stopped"):
        try:
            _call_stop(clients.client("sagemaker"), entry)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _ENDED:
                raise
            current = _on_sagemaker(entry)
            if current is None:
                raise _unknown(entry) from error
            if current.is_running:
                raise
            _print_ended(current)
            return current
    _print(
        f"stopping {entry.short_name}, which takes some minutes: `{COMMAND} logs "
        f"{entry.short_name}` follows it to its end"
    )
    return _on_sagemaker(entry) or entry


def _call_stop(client: Any, entry: Entry) -> None:
    if entry.job == PIPELINE:
        client.stop_pipeline_execution(PipelineExecutionArn=entry.arn)
    else:
        client.stop_processing_job(ProcessingJobName=entry.name)


def _on_sagemaker(entry: Entry) -> Entry | None:
    account = Account()
    return account.execution(entry.arn) if entry.job == PIPELINE else account.job(entry.name)


def _print_ended(entry: Entry) -> None:
    _print(f"{entry.short_name} has ended already: {entry.status}")


def _unknown(entry: Entry) -> LaunchError:
    return LaunchError(
        f"SageMaker does not find {entry.short_name}: it was deleted meanwhile, or your "
        f"credentials do not allow to see it; `{COMMAND} list` lists what there is"
    )


def _folders(entry: Entry) -> str:
    return ", ".join(entry.outputs.values()) or "out/"


def _print(text: str) -> None:
    """Print at once, so that a log file or a pipe shows a line when it is written."""
    print(text, flush=True)
