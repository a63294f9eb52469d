"""The hosts of a job, and which files and items each of them works on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from .container import job_config, resource_config
from .files import files_below
from .messages import JobError

_T = TypeVar("_T")

_SHOWN = 3
"""How many names of files a message shows."""


@dataclass(frozen=True)
class Host:
    """This host among the hosts of the job; outside of SageMaker a job has one host."""

    name: str = "algo-1"
    index: int = 0
    count: int = 1
    sharded: frozenset[Path] = frozenset()
    """Inputs that SageMaker distributed by key, so that each host holds different files."""

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """This host's items of a sequence that is the same on every host."""
        return items[self.index :: self.count]

    def files(self, path: Path, pattern: str) -> list[Path]:
        """This host's files below an input, in an order that does not depend on the machine.

        The files are distributed by size, largest first, so that no host reads more than another
        by more than one file. The list may be empty if there are more hosts than files.

        Raises:
            JobError: No file of the whole job matches.
        """
        found = sorted(files_below(path, pattern), key=lambda file: -file.lstat().st_size)
        mine = found if path in self.sharded else list(self.share(found))
        if not found and (self.count == 1 or path not in self.sharded):
            raise JobError(_nothing_found(path, pattern))
        return mine


def _nothing_found(path: Path, pattern: str) -> str:
    others = [other for other in files_below(path, "*") if not other.is_dir()]
    if not others:
        return f"{path} is empty: name a folder that holds files {pattern}"
    shown = ", ".join(other.relative_to(path).as_posix() for other in others[:_SHOWN])
    more = ", …" if len(others) > _SHOWN else ""
    return f"{path}: no file matches {pattern}; it holds {shown}{more}"


def this_host() -> Host:
    """Read from ``/opt/ml/config`` which host this is and how its inputs were distributed."""
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
