"""What a pipeline takes from an earlier run instead of running all of its jobs."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


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
    description: str
    """Says where it comes from, and from which commit if it is not this one."""
    found_in: str = ""
    """The run that was searched, which may have taken it from ``run``; empty on SageMaker."""


@dataclass(frozen=True)
class Source:
    """An execution on SageMaker, and what is taken from it."""

    arn: str = ""
    """Empty if nothing is taken."""
    reused: Sequence[Reused] = ()

    def outputs(self) -> dict[str, Mapping[str, str]]:
        """Return the addresses of the results, by job and channel."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for result in self.reused:
            found[result.job][result.channel] = result.address
        return dict(found)


def display_name(run_name: str) -> str:
    """Return the name of a run as SageMaker accepts it for an execution."""
    return re.sub("[^a-zA-Z0-9]+", "-", run_name).strip("-")[:82].rstrip("-")
