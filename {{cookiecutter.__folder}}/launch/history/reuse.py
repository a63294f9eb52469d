"""The results that a pipeline takes from an earlier run instead of running all of its jobs."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..settings.project import short_stamp


@dataclass(frozen=True)
class Selection:
    """The part of a pipeline that runs."""

    skipped: Sequence[str] = ()
    """The jobs that do not run."""
    needed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The outputs of skipped jobs that the others read: names of channels, by job."""
    run: str = ""
    """The run that has them; empty for the newest one in which they are complete."""

    @property
    def listed(self) -> str:
        """The jobs whose results are needed, for messages."""
        return ", ".join(self.needed)


@dataclass(frozen=True)
class Reused:
    """A result of an earlier run."""

    run: str
    job: str
    channel: str
    """The name of the output."""
    address: str
    commit: str | None
    """The stamp of the code that wrote it, if it is known."""
    found_in: str = ""
    """The run that was searched, which may have taken it from ``run``; empty on SageMaker."""

    def describe(self, stamp: str) -> str:
        """Describe its origin, and its commit if that is not the launched one."""
        description = f"{self.job}: {self.channel} is taken from {self.run}"
        if self.commit == stamp:
            return description
        then, now = short_stamp(self.commit), short_stamp(stamp)
        return f"{description}, a result of commit {then} (this commit: {now})"


@dataclass(frozen=True)
class Source:
    """An execution on SageMaker, and the results that are taken from it."""

    arn: str = ""
    """Empty if nothing is taken."""
    reused: Sequence[Reused] = ()

    def outputs(self) -> dict[str, Mapping[str, str]]:
        """Return the addresses of the results, by job and channel."""
        outputs: dict[str, dict[str, str]] = defaultdict(dict)
        for result in self.reused:
            outputs[result.job][result.channel] = result.address
        return dict(outputs)


def display_name(run_name: str) -> str:
    """Return the name of a run as SageMaker accepts it for an execution."""
    return re.sub("[^a-zA-Z0-9]+", "-", run_name).strip("-")[:82].rstrip("-")
