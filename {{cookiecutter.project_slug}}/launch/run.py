"""What a backend is given, and what it returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Request = dict[str, Any]
"""The arguments of CreateProcessingJob."""


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


class ExitCode:
    """The exit codes of ``python -m launch``; 128 plus its number after a signal."""

    COMPLETED = 0
    FAILED = 1
    REJECTED = 2
    STILL_RUNNING = 3
