"""The request that a backend takes, the run that it returns, and the exit codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Request = dict[str, Any]
"""The arguments of CreateProcessingJob."""


@dataclass(frozen=True)
class Usage:
    """Instances that a job has used, which AWS charges for."""

    instance_type: str
    instance_count: int
    seconds: float


@dataclass(frozen=True)
class Run:
    """A job or a pipeline that was launched."""

    name: str
    status: str
    """``Completed``, ``Failed``, ``Stopped`` or ``InProgress``, as SageMaker names them."""
    outputs: Mapping[str, str]
    """Addresses of the outputs, by option: local folders or ``s3://`` prefixes."""
    exit_message: str = ""
    exit_code: int = 0
    """What ``python -m launch`` exits with: see ``ExitCode``."""
    metric: str = ""
    """Of a pipeline that has completed: its metric and the limit, such as
    ``score 0.95 (minimum 0.9)``."""
    usage: Sequence[Usage] = ()
    """The instances of SageMaker that were used."""
    cost: str = ""
    """What these have cost by the price list of AWS, or that it is unknown."""


class ExitCode:
    """The exit codes of ``python -m launch``; 128 plus its number after a signal."""

    COMPLETED = 0
    FAILED = 1
    REJECTED = 2
    STILL_RUNNING = 3
