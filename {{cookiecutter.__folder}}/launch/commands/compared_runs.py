"""Reads the options, inputs and outputs of a run's jobs, and its metrics.

``comparison`` shows it side by side with other runs, ``tracking`` logs it.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from {{ cookiecutter.__package_name }} import runtime

from ..aws import clients, errors
from ..history import recordings
from ..history.results import Result
from ..requests import jobs
from ..settings import config, project
from ..settings.addresses import is_s3
from ..settings.project import LaunchError

_FILES = re.compile(r"(.*/)?metrics[^/]*\.json")
"""Files with metrics in a repository whose ``launch.toml`` names none."""

_DIGEST = re.compile(r"/inputs/([0-9a-f]{64})/?$")
"""Ends the address of an input that is stored under the digest of its content."""

SHOWN_DIGITS = 12
"""Characters of a digest in a table."""


@dataclass(frozen=True)
class ComparedJob:
    """A job of a run."""

    run: str
    """The run that wrote the results; another one if the pipeline has reused them."""
    commit: str | None
    image: str | None
    """As far as it is known; ``None`` for a job that ran without one."""
    options: Mapping[str, Any]
    """From its record, without its channels."""
    inputs: Mapping[str, str]
    """By channel, as far as they are known: the digest of an input that was uploaded, the address
    of any other, with a digest of its files' names, sizes and times if it is local."""
    outputs: Mapping[str, str]
    """The digest of the files of each output: equal for the same content."""
    seconds: float | None
    hosts: int | None
    problems: Sequence[str]
    """Why outputs are not complete."""


@dataclass(frozen=True)
class ComparedRun:
    """A run, as far as it can be read."""

    name: str
    jobs: Mapping[str, ComparedJob]
    metrics: Mapping[str, float]
    """Numbers by name, that of the pipeline's metric first."""


def read(run: str, results: Sequence[Result]) -> ComparedRun:
    """Return a run.

    Args:
        run: Its name.
        results: The results of its jobs.
    """
    by_job: dict[str, list[Result]] = {}
    for result in results:
        by_job.setdefault(result.job, []).append(result)
    ordered = sorted(by_job, key=lambda job: min(result.finished for result in by_job[job]))
    written = {result.address for result in results}
    compared = {job: _read_job(by_job[job], written) for job in ordered}
    return ComparedRun(run, compared, _metrics(results))


def _read_job(results: Sequence[Result], written: Collection[str]) -> ComparedJob:
    """Return a job of a run.

    Args:
        results: Its results.
        written: The addresses of the results of all jobs of the run.
    """
    records = [result.record for result in results if result.record]
    record = records[0] if records else None
    image, inputs = _origin(results[0], record, written) if record else (None, {})
    return ComparedJob(
        run=results[0].run,
        commit=record.commit if record else None,
        image=image,
        options=_options(record) if record else {},
        inputs=inputs,
        outputs={result.channel: result.digest for result in results if result.record},
        seconds=_seconds(record) if record else None,
        hosts=record.hosts if record else None,
        problems=[f"{result.channel}: {result.problem}" for result in results if result.problem],
    )


def _options(record: runtime.Record) -> dict[str, Any]:
    """Return the options of a job, without those that name a folder of the container."""
    folders = (runtime.INPUT, runtime.OUTPUT)
    return {
        name: value
        for name, value in (record.arguments or {}).items()
        if not (isinstance(value, str) and value.startswith(folders))
    }


def _origin(
    result: Result, record: runtime.Record, written: Collection[str]
) -> tuple[str | None, Mapping[str, str]]:
    """Return the image of a job and its inputs by channel, as far as they are known.

    Inputs that another job of its run wrote are left out.
    """
    name = str(record.processing_job_name)
    with suppress(LaunchError, OSError, ValueError, LookupError, TypeError, AttributeError):
        if is_s3(result.address):
            return _remote_origin(name, written)
        return _local_origin(name, result.job, written)
    return None, {}


def _remote_origin(name: str, written: Collection[str]) -> tuple[str | None, Mapping[str, str]]:
    """Return the image and the inputs of a job on SageMaker, by the request that it keeps."""
    with errors.as_launch_error(name):
        client = clients.client("sagemaker")
        request = client.describe_processing_job(ProcessingJobName=name)
    addresses = {
        str(item["InputName"]): str(item["S3Input"]["S3Uri"])
        for item in request.get("ProcessingInputs", [])
        if "S3Input" in item
    }
    inputs = {
        channel: digest[1] if (digest := _DIGEST.search(address)) else address
        for channel, address in addresses.items()
        if address.rstrip("/") not in written
    }
    return request.get("AppSpecification", {}).get("ImageUri"), inputs


def _local_origin(
    name: str, job: str, written: Collection[str]
) -> tuple[str | None, Mapping[str, str]]:
    """Return the image and the inputs of a job on this machine, by what is kept of its launch."""
    entry = recordings.read(name)
    kept = recordings.request(entry) if entry else {}
    addresses, contents = kept["inputs"], kept.get("content", {})
    inputs = {
        channel.name: _with_content(addresses[channel.option], contents.get(channel.option))
        for channel in jobs.read(job).inputs
        if channel.option in addresses and addresses[channel.option] not in written
    }
    return kept["image"] if kept.get("backend") == "docker" else None, inputs


def _with_content(address: str, content: str | None) -> str:
    """Return a local address with the digest of its files' names, sizes and times."""
    path = address.removeprefix(f"{project.ROOT}/")
    return f"{path} ({content[:SHOWN_DIGITS]})" if content else path


def _seconds(record: runtime.Record) -> float | None:
    with suppress(TypeError, ValueError):
        started, finished = map(datetime.fromisoformat, (record.started, record.finished or ""))
        return (finished - started).total_seconds()
    return None


def _metrics(results: Sequence[Result]) -> dict[str, float]:
    """Return all numbers of the file with the pipeline's metric, that of the metric first.

    Without a metric in ``launch.toml``, these are the numbers of all files named ``metrics*.json``.
    Numbers in lists have no names, and are left out.
    """
    metric = config.metric()
    numbers: dict[str, float] = {}
    for result in results:
        for name in sorted(result.sizes):
            is_metrics = (
                (result.job, result.channel, name) == (metric.job, metric.output, metric.file)
                if metric
                else _FILES.fullmatch(name)
            )
            if is_metrics:
                with suppress(ValueError, RecursionError):
                    numbers |= _flatten(result.job, json.loads(result.read(name)))
    first = f"{metric.job}.{metric.name}" if metric else ""
    return {key: numbers[key] for key in sorted(numbers, key=lambda key: key != first)}


def _flatten(prefix: str, value: Any) -> dict[str, float]:
    if isinstance(value, dict):
        return {
            name: number
            for key, item in value.items()
            for name, number in _flatten(f"{prefix}.{key}", item).items()
        }
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {prefix: value} if is_number else {}
