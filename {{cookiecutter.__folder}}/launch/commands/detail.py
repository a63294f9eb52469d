"""Everything that is known about one job or run of the pipeline, and what to do next."""

import json
import shlex
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from {{ cookiecutter.__package_name }} import runtime

from ..aws import clients, errors
from ..backends.logs import GROUP
from ..history import command_lines, listing, recordings
from ..history.account import Account, step_job
from ..history.command_lines import Words
from ..history.entries import PIPELINE, Entry
from ..history.recordings import LAST_LINES
from ..requests import jobs
from ..settings.addresses import is_s3
from ..settings.project import COMMAND, LaunchError
from ..storage import s3
from . import table

_REQUEST = (
    *("ProcessingJobName", "AppSpecification", "ProcessingInputs", "ProcessingOutputConfig"),
    *("ProcessingResources", "StoppingCondition", "Environment", "NetworkConfig", "RoleArn"),
)
"""Fields of DescribeProcessingJob's answer that the request had."""

_LOG_MINUTES = 1
"""How long before the end of a job the search for its last lines begins."""

_LOG_FACTOR = 8
"""How much earlier the search begins again if there are too few lines."""


@dataclass
class Details:
    """The details of an entry: text in a terminal, a table in a notebook."""

    entry: Entry
    image: str = ""
    options: str = ""
    """Without secrets."""
    reason: str = ""
    """SageMaker's reason for the failure."""
    steps: Sequence[tuple[str, str]] = ()
    """Of a run of the pipeline: names of steps, and their statuses and jobs."""
    last_lines: Sequence[str] = ()
    """The end of the log of what has failed."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """Without secrets."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """Of the first output, without its list of files."""
    failed: str = ""
    """In a run of the pipeline: the job that has failed."""
    problems: Sequence[str] = ()

    @property
    def next_actions(self) -> list[str]:
        """Commands, and what they do."""
        name = self.entry.short_name
        if self.entry.is_running:
            return [
                f"`{COMMAND} logs {name}` follows it",
                f"`{COMMAND} stop {name}` stops it",
            ]
        if self.failed:
            return [f"`{COMMAND} show {self.failed}` shows the job that has failed"]
        if self.entry.backend != "sagemaker" and not self.entry.folder:  # `again` knows no options
            return [
                f"`{COMMAND} {self.entry.job}` with the arguments in its record runs it again with "
                "the code as it is now"
            ]
        actions = [f"`{COMMAND} again {name}` runs it again with the code as it is now"]
        if self.entry.status == "Completed":
            return actions
        if self.entry.backend == "sagemaker" and self.entry.job != PIPELINE:
            return [f"`{COMMAND} again {name} --backend docker` repeats it in Docker", *actions]
        if self.entry.folder:
            return [f"`{COMMAND} logs {name}` prints its whole log", *actions]
        return actions

    def facts(self) -> list[tuple[str, str]]:
        """Return names and values that describe the launch and its progress."""
        entry = self.entry
        ended = entry.ended and table.local_time(entry.ended)
        pairs = [
            ("name", entry.name),
            ("status", entry.status),
            ("job", entry.job),
            ("run", entry.run),
            ("backend", " ".join(filter(None, [entry.backend, entry.instance]))),
            ("started", table.local_time(entry.started)),
            ("ended", f"{ended}, after {table.duration(entry.seconds)}" if ended else ""),
            ("commit", entry.commit),
            ("image", self.image),
            ("options", self.options),
            *((f"--{option}", address) for option, address in entry.outputs.items()),
            *self.steps,
        ]
        return [(name, value) for name, value in pairs if value]

    def conclusions(self) -> list[tuple[str, str]]:
        """Return names and values about the failure and the next commands."""
        pairs = [
            ("FailureReason", self.reason),
            ("ExitMessage", self.entry.message),
            ("end of the log", "\n".join(self.last_lines)),
            ("next", "\n".join(self.next_actions)),
        ]
        return [(name, value) for name, value in pairs if value]

    def to_json(self) -> dict[str, Any]:
        """Return what ``show --json`` prints."""
        return {
            **self.entry.to_json(),
            "image": self.image,
            "reason": self.reason,
            "steps": dict(self.steps),
            "last_lines": list(self.last_lines),
            "request": self.request,
            "record": self.record,
            "next": self.next_actions,
        }

    def __str__(self) -> str:
        """Return everything as text; the most important part is last, at the prompt."""
        facts, conclusions = self.facts(), self.conclusions()
        width = max(len(name) for name, _ in [*facts, *conclusions])
        lines = _lines(facts, width)
        for name, content in (("request", self.request), ("record", self.record)):
            if content:
                lines.append(f"{name}\n{json.dumps(content, indent=2, default=str)}")
        return "\n".join([*lines, *_lines(conclusions, width)])

    def _repr_html_(self) -> str:
        return table.pairs_to_html([*self.facts(), *self.conclusions()])


def show(name: str) -> Details:
    """Return what is known about a job or a run of the pipeline.

    Raises:
        LaunchError: There is none of this name, or there are several.
    """
    entry = listing.find(name)
    if entry.backend != "sagemaker":
        return _local(entry)
    account = Account()
    shown = _execution(account, entry) if entry.job == PIPELINE else _job(account, entry)
    shown.problems = account.problems
    return shown


def _lines(pairs: Sequence[tuple[str, str]], width: int) -> list[str]:
    indent = "\n" + " " * (width + 2)
    return [f"{name:{width}}  {value.replace(chr(10), indent)}" for name, value in pairs]


def _local(entry: Entry) -> Details:
    request = recordings.request(entry)
    details = Details(
        entry,
        image=str(request.get("image", "")) if entry.backend == "docker" else "",
        options=_options(Words(request.get("options", []), request.get("hidden", []))),
        request=request.get("request", {}),
        record=_record(entry),
    )
    ended_badly = not entry.is_running and entry.status != "Completed"
    if entry.job == PIPELINE:
        steps = {job: recordings.read(name) for job, name in request.get("steps", {}).items()}
        details.steps = [
            (f"step {job}", f"{step.status}: {step.short_name}" if step else "not started")
            for job, step in steps.items()
        ]
        failed = [step for step in steps.values() if step and step.status == "Failed"]
        if failed:
            details.failed = failed[0].short_name
            details.last_lines = recordings.last_lines(failed[0])
    elif ended_badly:
        details.last_lines = recordings.last_lines(entry)
    return details


def _job(account: Account, entry: Entry) -> Details:
    description = account.description(entry.name)
    if description is None:
        return Details(entry)
    made = {key: description[key] for key in _REQUEST if key in description}
    known = entry.job in jobs.names()
    actions = jobs.read(entry.job).build_parser().actions if known else []
    details = Details(
        entry,
        image=description["AppSpecification"]["ImageUri"],
        reason=description.get("FailureReason", ""),
        options=_options(command_lines.of_request(jobs.read(entry.job), made)) if known else "",
        request=command_lines.hide(made, actions),
    )
    if entry.status == "Completed":
        details.record = _record(entry)
    elif not entry.is_running:
        details.last_lines = _last_lines(entry)
    return details


def _execution(account: Account, entry: Entry) -> Details:
    steps = account.steps(entry.arn)
    details = Details(
        entry,
        steps=[
            (
                f"step {state['StepName']}",
                f"{state['StepStatus']}: {_step_text(state)}".rstrip(": "),
            )
            for state in steps
        ],
        reason="\n".join(
            f"{state['StepName']}: {state['FailureReason']}"
            for state in steps
            if "FailureReason" in state
        ),
    )
    failed = [step_job(state) for state in steps if state["StepStatus"] == "Failed"]
    if job := next(filter(None, failed), ""):
        details.failed = job
        if found := account.job(job):
            details.last_lines = _last_lines(found)
    return details


def _step_text(state: Mapping[str, Any]) -> str:
    cached = " (from the cache)" if "CacheHitResult" in state else ""
    return f"{step_job(state)}{cached}"


def _last_lines(entry: Entry) -> list[str]:
    """Return the last lines of a job's log in CloudWatch, or why they cannot be read.

    CloudWatch searches from the oldest line on. The search therefore begins shortly before the end,
    and again earlier while it finds too few lines.
    """
    begin = entry.started - timedelta(minutes=1)
    end = max(entry.ended or datetime.now(UTC), begin)
    minutes, lines = _LOG_MINUTES, deque[str](maxlen=LAST_LINES)
    try:
        with errors.as_launch_error("the log cannot be read"):
            client = clients.client("logs")
            while True:
                start = max(begin, end - timedelta(minutes=minutes))
                lines = deque(_log(client, entry.name, start), maxlen=LAST_LINES)
                if len(lines) == LAST_LINES or start == begin:
                    break
                minutes *= _LOG_FACTOR
    except LaunchError as error:
        lines.append(str(error))
    return list(lines)


def _log(client: Any, job: str, start: datetime) -> Iterator[str]:
    """Yield the lines of all hosts of a job from a time on."""
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=GROUP,
        logStreamNamePrefix=f"{job}/",
        startTime=int(start.timestamp() * 1000),
    )
    with suppress(client.exceptions.ResourceNotFoundException):
        for page in pages:
            for event in page["events"]:
                host = event["logStreamName"].partition("/")[2].rpartition("-")[0]
                yield f"{host} | {event['message'].rstrip()}"


def _options(launched: Words) -> str:
    """Return options as they are typed, with ``***`` for secret values."""
    hidden = [f"{option}{'=' if ' ' in option else ' '}***" for option in launched.hidden]
    return " ".join([shlex.join(launched.words), *hidden]).strip()


def _record(entry: Entry) -> dict[str, Any]:
    """Return the record of an entry's first output that has one, with the number of its files."""
    for address in entry.outputs.values():
        with suppress(LaunchError, OSError, ValueError):
            record = json.loads(_read_record(address))
            files = record.pop("files", {})
            return {**record, "files": f"{len(files)} files"}
    return {}


def _read_record(address: str) -> bytes:
    if not is_s3(address):
        names = runtime.record_names(path.name for path in Path(address).iterdir())
        return Path(address, names[0] if names else "job.json").read_bytes()
    names = runtime.record_names(item.name for item in s3.listing(address.rstrip("/")))
    return s3.read(address.rstrip("/"), names[0] if names else "job.json")
