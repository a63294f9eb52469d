"""Reads the launches of this project on SageMaker.

A job or pipeline belongs to the project whose name is its tag ``project``: the name alone is
ambiguous, as one project may be named ``birds`` and another ``birds-2``. A job without known tags,
for example without the permission to read them, belongs to it if its whole name is one that a
launch makes.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ..aws import clients, errors
from ..requests import cluster, jobs
from ..settings import project
from ..settings.project import LaunchError
from ..storage import s3
from .entries import PIPELINE, Entry

_PAGE = 100
"""Maximum number of jobs or executions that one call lists, and of resources with tags."""

_PAGES = 30
"""Maximum number of pages to read; they can contain jobs of other projects."""

_DESCRIBED = 50
"""Maximum number of jobs and executions that one list describes."""

_THREADS = 10

_STATUS = {"Succeeded": "Completed", "Executing": "InProgress", "CompletedWithFailures": "Failed"}
"""Statuses of executions, as the statuses of jobs that they correspond to."""

_ID = r"\d{8}-\d{6}-[a-z0-9]{6}"
_EXECUTION = re.compile(r"arn:[^:]+:sagemaker:[^:]*:\d*:pipeline/([^/]+)/execution/([^/]+)")

Description = Mapping[str, Any]


@dataclass
class Account:
    """Reads SageMaker. What cannot be read is left out, and ``problems`` says why."""

    problems: list[str] = field(default_factory=list)
    """One line each, which includes what to do."""

    @cached_property
    def _sagemaker(self) -> Any:
        return _client("sagemaker")

    @cached_property
    def _tagging(self) -> Any:
        return _client("resourcegroupstaggingapi")

    def entries(self, limit: int) -> list[Entry]:
        """Return the newest jobs and executions of this project, at most ``limit`` of each.

        This takes one call for the jobs and one for their tags per hundred jobs, and one for the
        executions of each of the two pipelines; see ``describe`` for the rest.
        """
        if not self._is_set_up():
            return []
        with ThreadPoolExecutor(_THREADS) as pool:
            executions = [
                pool.submit(self._executions, name, limit)
                for name in (project.name(), f"{project.name()}-launched")
            ]
            launched = self._jobs(limit, pool)
            for future in executions:
                launched += future.result()
        return launched

    def describe(self, entries: Sequence[Entry]) -> list[Entry]:
        """Add instances and outputs to jobs, and their ends to executions: a call for each.

        Only the first ``_DESCRIBED`` are described. A launch that has ended never changes, so its
        description is cached in ``out/.cache``.
        """
        details = {entry.name: _cached(entry) for entry in entries if entry.arn}
        missing = [entry for entry in entries if entry.arn and not details[entry.name]]
        if missing and self._is_set_up():
            with ThreadPoolExecutor(_THREADS) as pool:
                described = pool.map(self._details, missing[:_DESCRIBED])
                for entry, detail in zip(missing, described, strict=False):
                    details[entry.name] = detail
        return [_with_details(entry, details.get(entry.name, {})) for entry in entries]

    def job(self, name: str) -> Entry | None:
        """Return a job of this project by its whole name; ``None`` if there is none."""
        description = self.description(name) if self._is_set_up() else None
        if description is None:
            return None
        own = self._own([description], self._tags([description["ProcessingJobArn"]]))
        return _with_details(own[0], _job_details(description)) if own else None

    def execution(self, arn: str) -> Entry | None:
        """Return an execution of this project's pipelines; ``None`` if there is none."""
        if not _EXECUTION.fullmatch(arn) or not self._is_set_up():
            return None
        description = self.call("describe_pipeline_execution", PipelineExecutionArn=arn)
        if description is None or not self._is_own_pipeline(arn):
            return None
        entry = _execution_entry({**description, "StartTime": description["CreationTime"]})
        return _with_details(entry, _execution_details(description))

    def description(self, name: str) -> Description | None:
        """Return what SageMaker knows about a job; ``None`` if there is none or it is unknown."""
        description: Description | None = self.call(
            "describe_processing_job", ProcessingJobName=name
        )
        return description

    def steps(self, arn: str) -> list[Mapping[str, Any]]:
        """Return the steps of an execution that have begun, in their order."""
        return self._all(
            "list_pipeline_execution_steps",
            "PipelineExecutionSteps",
            PipelineExecutionArn=arn,
            SortOrder="Ascending",
        )

    def definition(self, arn: str) -> dict[str, Any]:
        """Return the definition of an execution's pipeline, with the values of its parameters."""
        found = self.call("describe_pipeline_definition_for_execution", PipelineExecutionArn=arn)
        definition: dict[str, Any] = json.loads((found or {}).get("PipelineDefinition", "{}"))
        listed = self._all(
            "list_pipeline_parameters_for_execution", "PipelineParameters", PipelineExecutionArn=arn
        )
        values = {item["Name"]: item["Value"] for item in listed}
        for parameter in definition.get("Parameters", []):
            values.setdefault(parameter["Name"], parameter.get("DefaultValue"))
        return {**definition, "Values": values}

    def call(self, operation: str, **arguments: Any) -> Any:
        """Call SageMaker; ``None`` if the resource does not exist or cannot be read."""
        return self._try(
            "SageMaker", lambda: getattr(self._sagemaker, operation)(**arguments), operation
        )

    def _all(self, operation: str, key: str, **arguments: Any) -> list[Mapping[str, Any]]:
        """Return the items of all pages, as far as they can be read."""
        items: list[Mapping[str, Any]] = []
        token: dict[str, Any] = {}
        while True:
            page = self.call(operation, **arguments, **token)
            items += (page or {}).get(key, [])
            if not page or "NextToken" not in page:
                return items
            token = {"NextToken": page["NextToken"]}

    def _is_set_up(self) -> bool:
        """Return whether clients can be created. They are created here, not in threads."""
        return self._try("SageMaker", lambda: (self._sagemaker, self._tagging)) is not None

    def _try(self, what: str, act: Callable[[], Any], operation: str = "") -> Any:
        from botocore.exceptions import ClientError

        try:
            with errors.as_launch_error(f"{what} cannot be read"):
                try:
                    return act()
                except ClientError as error:
                    if error.response["Error"]["Code"] in errors.NOT_FOUND and operation:
                        return None
                    raise
        except LaunchError as error:
            reason = " ".join(str(error).split())
            if reason not in self.problems:
                self.problems.append(reason)
            return None

    def _jobs(self, limit: int, pool: ThreadPoolExecutor) -> list[Entry]:
        """Return the newest jobs; the tags of one page are fetched along with the next page."""
        entries: list[Entry] = []
        waiting: list[tuple[list[Description], Future[Any]]] = []
        token: dict[str, Any] = {}
        for _ in range(_PAGES):
            page = self.call(
                "list_processing_jobs",
                SortBy="CreationTime",
                SortOrder="Descending",
                NameContains=f"{project.name()}-",
                MaxResults=_PAGE,
                **token,
            )
            listed = (page or {}).get("ProcessingJobSummaries", [])
            if listed:
                arns = [each["ProcessingJobArn"] for each in listed]
                waiting.append((listed, pool.submit(self._tags, arns)))
            more = page and "NextToken" in page
            if not more or len(entries) + sum(len(each) for each, _ in waiting) >= limit:
                for summaries, future in waiting:
                    entries += self._own(summaries, future.result())
                waiting.clear()
            if not more or len(entries) >= limit:
                return entries
            token = {"NextToken": page["NextToken"]}
        self.problems.append(
            f"SageMaker has more jobs with similar names: only the newest {_PAGES * _PAGE} were "
            "looked at; name an older one by its whole name"
        )
        return entries

    def _executions(self, pipeline: str, limit: int) -> list[Entry]:
        entries: list[Entry] = []
        token: dict[str, Any] = {}
        while len(entries) < limit:
            page = self.call(
                "list_pipeline_executions",
                PipelineName=pipeline,
                SortBy="CreationTime",
                SortOrder="Descending",
                MaxResults=min(_PAGE, limit),
                **token,
            )
            listed = (page or {}).get("PipelineExecutionSummaries", [])
            if (
                not token
                and listed
                and not self._is_own_pipeline(listed[0]["PipelineExecutionArn"])
            ):
                return []
            entries += [_execution_entry(each) for each in listed]
            if not page or "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        return entries[:limit]

    def _is_own_pipeline(self, arn: str) -> bool:
        """Return whether the pipeline of an execution is this project's."""
        pipeline = arn.partition("/execution/")[0]
        tags = (self._tags([pipeline]) or {}).get(pipeline)
        if tags is not None and "project" in tags:
            return tags["project"] == project.name()
        return pipeline.rpartition("/")[2] in (project.name(), f"{project.name()}-launched")

    def _tags(self, arns: Sequence[str]) -> Mapping[str, Mapping[str, str]] | None:
        """Return the tags of at most a hundred resources, by ARN; ``None`` without the permission.

        Those of a job that was just created may be missing.
        """
        answer = self._try(
            "the tags of jobs (tag:GetResources)",
            lambda: self._tagging.get_resources(ResourceARNList=list(arns)),
        )
        if answer is None:
            return None
        return {
            item["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in item["Tags"]}
            for item in answer["ResourceTagMappingList"]
        }

    def _own(
        self, summaries: Iterable[Description], tags: Mapping[str, Mapping[str, str]] | None
    ) -> list[Entry]:
        """Return the entries of this project's jobs."""
        pattern = _name_pattern()
        entries = []
        for summary in summaries:
            own = (tags or {}).get(summary["ProcessingJobArn"], {})
            if "project" in own:
                if own["project"] == project.name():
                    entries.append(_job_entry(summary, own))
            elif found := pattern.fullmatch(summary["ProcessingJobName"]):
                entries.append(_job_entry(summary, {"job": found[1], **own}))
        return entries

    def _details(self, entry: Entry) -> dict[str, Any]:
        if any("DescribeP" in problem for problem in self.problems):
            return {}  # the others would fail, too
        if entry.job == PIPELINE:
            found = self.call("describe_pipeline_execution", PipelineExecutionArn=entry.arn)
            details = _execution_details(found) if found else {}
        else:
            found = self.description(entry.name)
            details = _job_details(found) if found else {}
        if details and not entry.is_running:
            _cache(entry, details)
        return details


def step_job(state: Mapping[str, Any]) -> str:
    """Return the name of a step's processing job; empty if it has none."""
    arn = state.get("Metadata", {}).get("ProcessingJob", {}).get("Arn", "")
    return str(arn.rpartition("/")[2])


def instances(description: Description) -> str:
    """Return the instances of a job: ``ml.m5.xlarge``, or ``2 x ml.m5.xlarge``.

    Of several types, only the one that SageMaker has selected, and until then all of them.
    """
    found = description.get("ProcessingResources", {}).get("ClusterConfig", {})
    named = list(cluster.offers(description))
    if "SelectedInstanceType" in found:
        named = [found["SelectedInstanceType"]]
    count = cluster.host_count(description)
    return f"{count} x {'/'.join(named)}" if named and count > 1 else "/".join(named)


def _client(service: str) -> Any:
    """Return a client with timeouts of seconds, because a user waits for the list."""
    return clients.client(
        service,
        connect_timeout=3,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=_THREADS,
    )


def _name_pattern() -> re.Pattern[str]:
    """Return the pattern of the names that launches of this project's jobs have."""
    known = "|".join(re.escape(name.replace("_", "-")) for name in jobs.names())
    return re.compile(f"{re.escape(project.name())}-({known})-{_ID}")


def _job_entry(summary: Description, tags: Mapping[str, str]) -> Entry:
    name = summary["ProcessingJobName"]
    launch_id = re.search(f"{_ID}$", name)
    return Entry(
        name=name,
        job=tags.get("job", ""),
        run=tags.get("run") or (launch_id[0] if launch_id else ""),
        backend="sagemaker",
        status=summary["ProcessingJobStatus"],
        started=summary["CreationTime"],
        ended=summary.get("ProcessingEndTime"),
        commit=tags.get("commit", ""),
        message=summary.get("ExitMessage") or summary.get("FailureReason", ""),
        arn=summary["ProcessingJobArn"],
    )


def _execution_entry(summary: Description) -> Entry:
    arn = summary["PipelineExecutionArn"]
    status = str(summary["PipelineExecutionStatus"])
    found = _EXECUTION.fullmatch(arn)
    pipeline, execution = found.groups() if found else ("", arn)
    return Entry(
        name=f"{pipeline}/{execution}",
        job=PIPELINE,
        run=summary.get("PipelineExecutionDisplayName") or execution,
        backend="sagemaker",
        status=_STATUS.get(status) or status,
        started=summary["StartTime"],
        message=summary.get("PipelineExecutionFailureReason") or summary.get("FailureReason", ""),
        arn=arn,
    )


def _job_details(description: Description) -> dict[str, Any]:
    """Return the instances of a job, and its outputs by channel."""
    return {
        "instance": instances(description),
        "outputs": s3.output_addresses(description),
    }


def _execution_details(description: Description) -> dict[str, Any]:
    if description["PipelineExecutionStatus"] in ("Executing", "Stopping"):
        return {}
    return {"ended": description["LastModifiedTime"].isoformat()}


def _with_details(entry: Entry, details: Mapping[str, Any]) -> Entry:
    if "ended" in details:
        return replace(entry, ended=datetime.fromisoformat(details["ended"]))
    if "outputs" in details:
        details = {**details, "outputs": jobs.by_option(entry.job, details["outputs"])}
    return replace(entry, **details)


def _cache_file(entry: Entry) -> Path:
    return project.OUT / ".cache" / "descriptions" / f"{entry.name.replace('/', '+')}.json"


def _cached(entry: Entry) -> dict[str, Any]:
    if not entry.is_running:
        with suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(_cache_file(entry).read_bytes())
            if found.pop("arn", "") == entry.arn:
                return found
    return {}


def _cache(entry: Entry, details: Mapping[str, Any]) -> None:
    """Cache details; concurrent writers write the same content."""
    file = _cache_file(entry)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.{id(details)}")
        new.write_text(json.dumps({"arn": entry.arn, **details}), encoding="utf-8")
        new.rename(file)
