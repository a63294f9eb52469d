"""What became of a launch."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """A job that was launched, in the words of SageMaker's DescribeProcessingJob."""

    name: str
    status: str
    """``Completed``, ``Failed`` or ``Stopped``; ``InProgress`` where nobody waited."""
    outputs: Mapping[str, str]
    """Addresses by option: folders of this machine or ``s3://``."""
    exit_message: str = ""
    exit_code: int = 0
    """0 where nothing is wrong; of the host that failed first where hosts run on this machine."""
