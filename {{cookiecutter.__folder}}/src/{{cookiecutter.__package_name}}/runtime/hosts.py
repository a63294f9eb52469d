"""The hosts of a job, and how files and other items are distributed over them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .container import job_config, resource_config
from .files import files_below
from .messages import JobError

_T = TypeVar("_T")

_MAX_NAMES = 3
"""How many file names a message shows."""


@dataclass(frozen=True)
class Host:
    """This host among the hosts of the job. Outside of SageMaker, a job has one host."""

    name: str = "algo-1"
    index: int = 0
    count: int = 1
    sharded: frozenset[Path] = frozenset()
    """Inputs with ``ShardedByS3Key``, of which each host has different files."""

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """Return this host's share of a sequence that is the same on every host."""
        return items[self.index :: self.count]

    def files(self, path: Path, pattern: str) -> list[Path]:
        """Return this host's files below an input, in the same order on every machine.

        The files are distributed by size, largest first, so that two hosts differ by at most one
        file. The list can be empty if there are more hosts than files.

        Raises:
            JobError: No file of the job matches.
        """
        files = sorted(files_below(path, pattern), key=lambda file: -file.lstat().st_size)
        if not files and (self.count == 1 or path not in self.sharded):
            raise JobError(_no_match(path, pattern))
        return files if path in self.sharded else list(self.share(files))


def _no_match(path: Path, pattern: str) -> str:
    others = [other for other in files_below(path, "*") if not other.is_dir()]
    if not others:
        return f"{path} is empty: name a folder that holds files {pattern}"
    shown = ", ".join(other.relative_to(path).as_posix() for other in others[:_MAX_NAMES])
    more = ", …" if len(others) > _MAX_NAMES else ""
    return f"{path}: no file matches {pattern}; it holds {shown}{more}"


def this_host() -> Host:
    """Read from ``/opt/ml/config`` which host this is and which inputs are sharded."""
    resources = resource_config()
    if not resources:
        return Host()
    hosts = sorted(resources["hosts"])
    inputs = [
        channel["S3Input"]
        for channel in job_config().get("ProcessingInputs", [])
        if "S3Input" in channel
    ]
    return Host(
        name=resources["current_host"],
        index=hosts.index(resources["current_host"]),
        count=len(hosts),
        sharded=frozenset(
            Path(channel["LocalPath"])
            for channel in inputs
            if channel.get("S3DataDistributionType") == "ShardedByS3Key"
        ),
    )
