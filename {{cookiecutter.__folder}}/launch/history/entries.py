"""The entries of the list of launches: one for each job and each run of the pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..settings import project

RUNNING = ("InProgress", "Stopping")
"""Statuses of launches that have not ended; ``Completed``, ``Failed`` and ``Stopped`` are final."""

PIPELINE = "pipeline"
"""The ``job`` of an entry that is a run of the pipeline."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A job, or a run of the pipeline, that was launched."""

    name: str
    """Of the job; a pipeline execution is ``<pipeline>/<execution>``."""
    job: str
    run: str
    backend: str
    status: str
    started: datetime
    ended: datetime | None = None
    instance: str = ""
    """Number and type of the instances; empty if they are not known, or there are none."""
    commit: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Addresses by option; empty if they are not known."""
    message: str = ""
    arn: str = ""
    """Of a job or an execution on SageMaker."""
    folder: Path | None = None
    """Where a launch on this machine keeps its history; see ``recordings``."""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.status in RUNNING

    @property
    def seconds(self) -> float:
        """How long it ran, or has been running."""
        return max(0.0, ((self.ended or datetime.now(UTC)) - self.started).total_seconds())

    @property
    def short_name(self) -> str:
        """The name without the project's, as it is listed."""
        return self.name.removeprefix(f"{project.name()}-")

    @property
    def names_run(self) -> bool:
        """Whether its name contains that of the run, which is so unless a run name was chosen."""
        name = self.short_name
        return name.startswith(f"{self.run}/") or name.endswith((f"-{self.run}", f"/{self.run}"))

    @property
    def names(self) -> set[str]:
        """The names by which it is found, besides that of its run."""
        own = {self.name, self.short_name, self.arn, self.arn.rpartition("/")[2]}
        if self.job == PIPELINE:
            own.add(f"{project.name()}-{self.run}")
        return own - {""}

    def to_json(self) -> dict[str, Any]:
        """Return what ``list --json`` prints; times are ISO 8601, a duration is in seconds."""
        return {
            "name": self.name,
            "job": self.job,
            "run": self.run,
            "backend": self.backend,
            "status": self.status,
            "started": self.started.isoformat(timespec="seconds"),
            "ended": self.ended and self.ended.isoformat(timespec="seconds"),
            "seconds": round(self.seconds),
            "instance": self.instance,
            "commit": self.commit,
            "outputs": dict(self.outputs),
            "message": self.message,
            "arn": self.arn,
        }
