"""Logs runs to MLflow as well, where ``MLFLOW_TRACKING_URI`` names a tracking server.

That is the setting of MLflow itself, in the environment or in ``aws.env``. It takes the ARN of a
tracking server that SageMaker manages, or the address of any other. What is logged is read from the
same records and files as by ``compare``, after a launch has ended: the jobs need no MLflow, and the
image does not contain it.

Each launch is one run of MLflow with the launch's name in its tag ``launch``. A launch that has a
complete run there already is not logged again. A lock keeps launches of this machine apart;
machines that follow the same launch to its end at the same moment may both log it.

Nothing that goes wrong here makes a launch fail: one line on standard error says what it was.
"""

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..backends import sources
from ..history import results
from ..history.entries import PIPELINE, Entry
from ..history.results import Result
from ..pipelines.graph import Pipeline
from ..requests import jobs
from ..requests.options import Launch
from ..run import Run
from ..settings import project
from ..settings.project import COMMAND, LaunchError
from . import compared_runs, mlflow_client

SETTING = "MLFLOW_TRACKING_URI"

TIMEOUT_SECONDS = 60.0
"""How long all calls to the server may take together."""

_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Stopped": "KILLED"}
"""How MLflow calls the statuses of launches that have ended."""

_MANAGED = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:mlflow-(tracking-server|app)/.+")
_PASSWORD = re.compile(r"(?<=//)[^/@\s]+@")
_REASON_CHARACTERS = 300

_DEFAULTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}
"""MLflow's own would keep a launch waiting for minutes if the server does not answer."""

_FIXED = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
"""MLflow sends no usage data, and needs no further call to print an address."""


@dataclass(frozen=True)
class _Ended:
    """A launch that has ended."""

    name: str
    """No other launch has it: the ARN of an execution, or the name of a launch."""
    run: str
    job: str
    backend: str
    status: str


def log_job(launch: Launch, run: Run) -> None:
    """Log the launch of a job, unless it has not ended or has no results."""
    options = launch.options
    _log(
        _Ended(launch.name, options.run_name, launch.job.name, options.backend, run.status),
        run.outputs,
    )


def log_pipeline(pipeline: Pipeline, run: Run) -> None:
    """Log a run of the pipeline, with the jobs that have results."""
    options = pipeline.options
    name = run.name if options.backend == "sagemaker" else pipeline.launch_name
    _log(_Ended(name, options.run_name, PIPELINE, options.backend, run.status), run.outputs)


def log_entry(entry: Entry, run: Run) -> None:
    """Log a launch that was followed again, unless it was logged before.

    Args:
        entry: The launch.
        run: How it has ended.
    """
    if entry.folder is None and not entry.arn:
        return  # its name is no longer known, only its results
    is_execution = entry.job == PIPELINE and entry.arn
    name = entry.arn if is_execution else entry.name
    _log(_Ended(name, entry.run, entry.job, entry.backend, run.status), run.outputs)


def _log(ended: _Ended, outputs: Mapping[str, str]) -> None:
    """Log a launch if there is a server, and report errors."""
    try:
        address = project.setting(SETTING)
        if address and ended.status in _STATUS:
            _log_to(address, ended, outputs)
    except (KeyboardInterrupt, SystemExit):
        _report(ended, "interrupted")
        raise
    except Exception as error:  # an error here must not change how the launch ended
        _report(ended, str(error) if isinstance(error, LaunchError) else repr(error))


def _log_to(address: str, ended: _Ended, outputs: Mapping[str, str]) -> None:
    """Log a launch.

    Raises:
        LaunchError: It was not logged.
    """
    if address.startswith("arn:") and not _MANAGED.fullmatch(address):
        raise LaunchError(
            f"{SETTING} is {address}, which is not the ARN of a tracking server: "
            "`aws sagemaker list-mlflow-tracking-servers` lists them"
        )
    if found := _results(ended, outputs):
        content = _content(ended, found)
        with _one_at_a_time():
            _send(address, content)


def _report(ended: _Ended, reason: str) -> None:
    shown = _PASSWORD.sub("***@", " ".join(reason.split()))
    later = f"`{COMMAND} logs {ended.name}` logs it later"
    with suppress(OSError):  # the terminal may be gone
        print(f"not logged to MLflow: {shown}; {later}", file=sys.stderr, flush=True)


def _results(ended: _Ended, outputs: Mapping[str, str]) -> list[Result]:
    """Return what a launch has written.

    Args:
        ended: The launch.
        outputs: Addresses by option or channel, in a pipeline with the job: ``model_path.fit``.

    Raises:
        LaunchError: It cannot be read.
    """
    if ended.job == PIPELINE and ended.backend == "sagemaker":
        return sources.results_of(ended.name)[1]
    if ended.job != PIPELINE:
        if ended.status != "Completed":
            return []
        outputs = {f"{name}.{ended.job}": address for name, address in outputs.items()}
    readable = []
    for key, address in outputs.items():
        name, _, job = key.partition(".")
        for channel in jobs.read(job).outputs:
            if name in (channel.option, channel.name):
                readable.append(results.at(ended.run, job, channel.name, address))
    return readable


def _content(ended: _Ended, outputs: Sequence[Result]) -> dict[str, Any]:
    """Return the input of ``mlflow_client``; see ``mlflow_client.log``."""
    run = compared_runs.read(ended.run, outputs)
    records = [result.record for result in outputs if result.record]
    tags = {"launch": ended.name, "job": ended.job, "backend": ended.backend}
    tags |= {f"{each.job}.output.{each.channel}": each.address for each in outputs}
    for name, job in run.jobs.items():
        known = {"commit": job.commit, "image": job.image}
        tags |= {f"{name}.{key}": value for key, value in known.items() if value}
        tags |= {f"{name}.input.{channel}": value for channel, value in job.inputs.items()}
        tags |= {f"{name}.digest.{channel}": value for channel, value in job.outputs.items()}
    commits = {job.commit for job in run.jobs.values() if job.commit}
    if len(commits) == 1:
        tags["mlflow.source.git.commit"] = commits.pop()
    return {
        "experiment": project.name(),
        "run": ended.run,
        "launch": ended.name,
        "status": _STATUS[ended.status],
        "started": min((_milliseconds(record.started) for record in records), default=None),
        "ended": max((_milliseconds(record.finished) for record in records), default=None),
        "params": {
            f"{name}.{option}": value if isinstance(value, str) else json.dumps(value)
            for name, job in run.jobs.items()
            for option, value in job.options.items()
        },
        "metrics": dict(run.metrics),
        "tags": tags,
    }


def _milliseconds(time: str | None) -> int:
    """Return a time of a record as MLflow takes it: milliseconds since 1970."""
    return int(datetime.fromisoformat(time or "").timestamp() * 1000)


def _send(address: str, content: Mapping[str, Any]) -> None:
    """Log a launch in a separate process, the only one that imports MLflow.

    MLflow keeps the address of the server for the whole process, and takes some of its settings
    when it is imported. A process can also be ended if it takes too long.

    Raises:
        LaunchError: It was not logged.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", mlflow_client.__file__],  # -P: no imports from its folder
            env={**_DEFAULTS, **os.environ, **_FIXED, SETTING: address},
            input=json.dumps(content),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LaunchError(
            f"no answer within {TIMEOUT_SECONDS:.0f} s: {_advice(address)}"
        ) from error
    if done.returncode == mlflow_client.NOT_INSTALLED:
        raise LaunchError(
            f"{SETTING} is set, but MLflow is not installed: "
            "`make install GROUPS='dev launch notebook mlflow'` installs it"
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise LaunchError(f"{last[:_REASON_CHARACTERS]}: {_advice(address)}")
    if done.stdout:
        print(done.stdout.strip(), flush=True)


def _advice(address: str) -> str:
    return f"check {SETTING} ({address}), the network and your permissions"


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep launches of this machine from logging at the same time."""
    with ExitStack() as stack:
        with suppress(OSError):  # nothing can be written, or the file system has no locks
            project.OUT.mkdir(exist_ok=True)
            lock = stack.enter_context((project.OUT / ".mlflow-lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
