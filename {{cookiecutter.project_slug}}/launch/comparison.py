"""Compares runs: what differs between them, and their metrics side by side.

It reads what the runs have left: the records of their jobs, the files with their metrics and, where
it is known, the request of each job. Nothing has to be logged during a run.
"""

import argparse
import html
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from {{ cookiecutter.__package_name }} import runtime

from . import aws, config, history, jobs, names, project, results
from .addresses import is_s3
from .backends import sources
from .project import LaunchError
from .results import Result, short_commit

_FILES = re.compile(r"(.*/)?metrics[^/]*\.json")
"""Files with metrics in a repository whose ``launch.toml`` names none."""

_DIGEST = re.compile(r"/inputs/([0-9a-f]{64})/?$")
"""Ends the address of an input that is stored under the digest of its content."""

_SHOWN_DIGITS = 12
"""Characters of a digest in a table."""

_KINDS = {
    "commit": True,
    "option": False,
    "input": False,
    "job": False,
    "output": True,
    "metric": True,
}
"""The kinds of lines in the order of the table, and whether they are shown if nothing differs."""

_MISSING = "-"
"""Shown for what a run does not have."""


@dataclass(frozen=True)
class ComparedJob:
    """A job of a run."""

    run: str
    """The run whose results these are: another one if the pipeline has taken them from there."""
    commit: str | None
    image: str | None
    """As far as it is known; ``None`` for a job that ran without one."""
    options: Mapping[str, Any]
    """As its record says, without its channels."""
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


@dataclass(frozen=True)
class Row:
    """A line of the table: a value for each run, ``None`` for a run that has none."""

    kind: str
    """``commit``, ``option``, ``input``, ``output``, ``job`` or ``metric``."""
    name: str
    values: Sequence[Any]

    @property
    def differs(self) -> bool:
        """Whether the runs do not all have the same value."""
        return any(value != self.values[0] for value in self.values)


@dataclass(frozen=True)
class Comparison:
    """Runs side by side. It shows itself as a table, in a terminal and in Jupyter."""

    runs: Sequence[ComparedRun]
    metric: str = ""
    """The name of the pipeline's metric among the metrics of a run; empty if there is none."""
    rows: Sequence[Row] = field(init=False)
    """Commits, outputs and metrics, and of anything else what differs."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(_rows(self.runs)))

    def __str__(self) -> str:
        columns = list(zip(*self._lines(), strict=True))
        widths = [max(map(len, column)) for column in columns]
        padded = (
            [text.ljust(width) for text, width in zip(line, widths, strict=True)]
            for line in self._lines()
        )
        return "\n".join("  ".join(line).rstrip() for line in padded)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the table for Jupyter."""
        cells = ["".join(f"<td>{html.escape(text)}</td>" for text in row) for row in self._lines()]
        cells[0] = cells[0].replace("td>", "th>")
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"

    def _lines(self) -> list[list[str]]:
        """Return the table as texts, its head first."""
        head = ["", "", *(run.name for run in self.runs)]
        return [
            head,
            *(
                [row.kind, row.name, *(_to_text(row, each) for each in row.values)]
                for row in self.rows
            ),
        ]

    def to_json(self) -> str:
        """Return everything that is known of the runs, with whole commits and digests."""
        content = {
            "metric": self.metric or None,
            "runs": [
                {
                    "name": run.name,
                    "jobs": {name: vars(job) for name, job in run.jobs.items()},
                    "metrics": run.metrics,
                }
                for run in self.runs
            ],
            "differences": [
                {"kind": row.kind, "name": row.name, "values": row.values}
                for row in self.rows
                if row.differs
            ],
        }
        return json.dumps(_finite(content), indent=2)


def compare(runs: Sequence[str]) -> Comparison:
    """Compare runs.

    Args:
        runs: Names of runs, of launches or of pipelines' executions. What is in ``out/`` is taken
            from there, and from S3 otherwise.

    Raises:
        LaunchError: A run is unknown, or has no results.
    """
    metric = config.metric()
    compared = [read(*_find(run)) for run in dict.fromkeys(runs)]
    return Comparison(compared, f"{metric.job}.{metric.name}" if metric else "")


def main(argv: Sequence[str]) -> None:
    """Carry out the command line ``python -m launch compare``.

    Raises:
        LaunchError: A run is unknown, or the command line is wrong.
    """
    parser = _Parser(
        prog=f"{project.COMMAND} compare",
        description="Show what differs between runs, and their metrics side by side.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="name of a run in out/ or in S3, or of a pipeline's execution",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parsed = parser.parse_args(argv)
    comparison = compare(parsed.runs)
    print(comparison.to_json() if parsed.json else comparison)


class _Parser(argparse.ArgumentParser):
    """A parser that rejects with a ``LaunchError``."""

    def error(self, message: str) -> NoReturn:
        raise LaunchError(message)


def read(run: str, found: Sequence[Result]) -> ComparedRun:
    """Return a run.

    Args:
        run: Its name.
        found: What its jobs have written.
    """
    by_job: dict[str, list[Result]] = {}
    for result in found:
        by_job.setdefault(result.job, []).append(result)
    ordered = sorted(by_job, key=lambda job: min(result.finished for result in by_job[job]))
    written = {result.address for result in found}
    compared = {job: _read_job(by_job[job], written) for job in ordered}
    return ComparedRun(run, compared, _metrics(found))


def _find(run: str) -> tuple[str, list[Result]]:
    """Return the name of a run and its results in ``out/``, or else in S3.

    Raises:
        LaunchError: There is no such run.
    """
    candidates = results.names_of(run)
    known = results.local_runs()
    for name in candidates:
        if name in known and (found := results.with_reused(name)):
            return name, found
    if not project.setting("S3_BUCKET"):
        raise LaunchError(
            f"there is no run {run!r} with results in out/, and S3_BUCKET is not set"
            f"{names.similar(run, known)}"
        )
    with suppress(LaunchError):  # it may be a run of single jobs, or asking may be denied
        return sources.results_of(run)
    try:
        for name in candidates:
            if found := results.in_s3(name):
                return name, found
        known += results.runs_in_s3()
    except LaunchError as error:
        raise type(error)(
            f"there is no run {run!r} with results in out/{names.similar(run, known)}; it may be "
            f"in S3: {error}"
        ) from error
    raise LaunchError(
        f"there is no run {run!r} with results in out/ or in S3{names.similar(run, known)}"
    )


def _read_job(found: Sequence[Result], written: Collection[str]) -> ComparedJob:
    """Return a job of a run.

    Args:
        found: Its results.
        written: The addresses of the results of all jobs of the run.
    """
    records = [result.record for result in found if result.record]
    record = records[0] if records else None
    image, inputs = _origin(found[0], record, written) if record else (None, {})
    return ComparedJob(
        run=found[0].run,
        commit=record.commit if record else None,
        image=image,
        options=_options(record) if record else {},
        inputs=inputs,
        outputs={result.channel: result.digest for result in found if result.record},
        seconds=_seconds(record) if record else None,
        hosts=record.hosts if record else None,
        problems=[f"{result.channel}: {result.problem}" for result in found if result.problem],
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


def _remote_origin(name: str, written: Collection[str]) -> tuple[str, Mapping[str, str]]:
    """Return the image and the inputs of a job on SageMaker, by the request that it keeps."""
    with aws.errors(name):
        client = aws.client("sagemaker")
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
    return str(request["AppSpecification"]["ImageUri"]), inputs


def _local_origin(
    name: str, job: str, written: Collection[str]
) -> tuple[str | None, Mapping[str, str]]:
    """Return the image and the inputs of a job on this machine, by what is kept of its launch."""
    entry = history.read(name)
    kept = history.request(entry) if entry else {}
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
    return f"{path} ({content[:_SHOWN_DIGITS]})" if content else path


def _seconds(record: runtime.Record) -> float | None:
    with suppress(TypeError, ValueError):
        started, finished = map(datetime.fromisoformat, (record.started, record.finished or ""))
        return (finished - started).total_seconds()
    return None


def _metrics(found: Sequence[Result]) -> dict[str, float]:
    """Return all numbers of the file with the pipeline's metric, that of the metric first.

    Without a metric in ``launch.toml``, these are the numbers of all files named ``metrics*.json``.
    Numbers in lists have no names, and are left out.
    """
    metric = config.metric()
    numbers: dict[str, float] = {}
    for result in found:
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


def _rows(runs: Sequence[ComparedRun]) -> Iterator[Row]:
    """Yield the lines of the table: some always, others if jobs that several runs have differ."""
    by_run = [{(kind, job, name): value for kind, job, name, value in _values(run)} for run in runs]
    keys = dict.fromkeys(key for values in by_run for key in values)
    for kind, always in _KINDS.items():
        for key in (key for key in keys if key[0] == kind):
            _, job, name = key
            row = Row(kind, f"{job}.{name}".strip("."), [values.get(key) for values in by_run])
            having = [
                values.get(key) for run, values in zip(runs, by_run, strict=True) if job in run.jobs
            ]
            if always or any(value != having[0] for value in having):
                yield row


def _values(run: ComparedRun) -> Iterator[tuple[str, str, str, Any]]:
    """Yield all that is compared: its kind, the job, the name and the value."""
    for name, job in run.jobs.items():
        yield "commit", name, "", job.commit or "unknown"
        for option, value in job.options.items():
            yield "option", name, option, value
        for channel, value in job.inputs.items():
            yield "input", name, channel, value
        for channel, digest in job.outputs.items():
            yield "output", name, channel, digest
        if job.run != run.name:
            yield "job", name, "taken from", job.run
        yield "job", name, "hosts", job.hosts
        yield "job", name, "seconds", job.seconds
        if job.problems:
            yield "job", name, "incomplete", "; ".join(job.problems)
    for name, number in run.metrics.items():
        yield "metric", name, "", number


def _to_text(row: Row, value: Any) -> str:
    """Return a value for the table; commits and digests are shortened."""
    if value is None:
        return _MISSING
    if row.kind == "commit":
        return short_commit(value)
    if row.kind in ("input", "output") and re.fullmatch("[0-9a-f]{64}", value):
        return str(value[:_SHOWN_DIGITS])
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def _finite(value: Any) -> Any:
    """Return a value of JSON, with ``null`` instead of numbers that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return value
