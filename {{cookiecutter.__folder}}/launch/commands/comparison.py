"""Compares runs: what differs between them, and their metrics side by side.

It reads the records of the jobs, the files with their metrics and, if it is known, the request of
each job. Nothing has to be logged during a run.
"""

import html
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..backends import sources
from ..history import results
from ..history.results import Result
from ..settings import config, names, project
from ..settings.parser import Parser
from ..settings.project import LaunchError, short_stamp
from . import table
from .compared_runs import SHOWN_DIGITS, ComparedRun, read

_KINDS = {
    "commit": True,
    "option": False,
    "input": False,
    "job": False,
    "output": True,
    "time": True,
    "metric": True,
}
"""The kinds of lines in the order of the table, and whether they are shown if nothing differs."""

_MISSING = "-"
"""Shown for a missing value."""


@dataclass(frozen=True)
class Row:
    """A line of the table: a value for each run, ``None`` for a run that has none."""

    kind: str
    """``commit``, ``option``, ``input``, ``output``, ``job``, ``time`` or ``metric``."""
    name: str
    values: Sequence[Any]

    @property
    def differs(self) -> bool:
        """Whether the runs do not all have the same value."""
        return any(value != self.values[0] for value in self.values)


@dataclass(frozen=True)
class Comparison:
    """Runs side by side. Terminals and Jupyter display it as a table."""

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
    parser = Parser(
        "compare", description="Show what differs between runs, and their metrics side by side."
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="name of a run, or name or ARN of an execution of the pipeline",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parsed = parser.parse_args(argv)
    comparison = compare(parsed.runs)
    print(comparison.to_json() if parsed.json else comparison)


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
    """Yield everything that is compared: kind, job, name and value."""
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
        yield "time", name, "", job.seconds
        if job.problems:
            yield "job", name, "incomplete", "; ".join(job.problems)
    for name, number in run.metrics.items():
        yield "metric", name, "", number


def _to_text(row: Row, value: Any) -> str:
    """Return a value for the table; commits and digests are shortened."""
    if value is None:
        return _MISSING
    if row.kind == "commit":
        return short_stamp(value)
    if row.kind == "time":
        return table.duration(value)
    if row.kind in ("input", "output") and re.fullmatch("[0-9a-f]{64}", value):
        return str(value[:SHOWN_DIGITS])
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
